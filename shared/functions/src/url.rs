//! URLs as Java reads them, and UUIDs.

mod uri;

use arrow::array::ArrayRef;
use datafusion::error::Result;

use crate::functions::Functions;
use crate::scalar::{Call, Evaluated, TrinoFunction, function, invalid};
use uri::{Uri, decoded};

pub(crate) fn functions() -> Functions {
    Functions::of_scalars(vec![
        function("url_extract_fragment", |call| part(call, |uri| uri.fragment.map(decoded))),
        function("url_extract_host", |call| part(call, |uri| uri.host.map(str::to_owned))),
        function("url_extract_path", |call| part(call, |uri| uri.path.map(decoded))),
        function("url_extract_protocol", |call| part(call, |uri| uri.scheme.map(str::to_owned))),
        function("url_extract_query", |call| part(call, |uri| uri.query.map(decoded))),
        function("url_extract_port", |call| {
            let text = call.text(0)?;
            call.make_integers(|row| Some(Ok(i64::from(Uri::parse(text.get(row)?)?.port?))))
        }),
        function("url_extract_parameter", |call| {
            let (text, name) = (call.text(0)?, call.text(1)?);
            call.make_texts(|row| parameter(text.get(row)?, name.get(row)?))
        }),
        function("url_decode", |call| {
            let text = call.text(0)?;
            call.make_texts(|row| Some(decode(text.get(row)?)))
        }),
        function("url_encode", |call| {
            let text = call.text(0)?;
            call.make_texts(|row| Some(Ok(encode(text.get(row)?))))
        }),
        function("$uuid_to_varchar", |call| {
            let text = call.text(0)?;
            call.make_texts(|row| Some(Ok(text.get(row)?)))
        }),
        TrinoFunction::new("uuid", |call| {
            call.make_texts(|_| Some(Ok(uuid::Uuid::new_v4().to_string())))
        })
        .volatile()
        .shared(),
    ])
}

type Part = fn(&Uri<'_>) -> Option<String>;

/// A part of a URL: NULL if it is none, empty if it has none.
fn part(call: &Call<'_>, of: Part) -> Result<ArrayRef> {
    let text = call.text(0)?;
    call.make_texts(|row| Some(Ok(of(&Uri::parse(text.get(row)?)?).unwrap_or_default())))
}

/// The value of the first parameter of a name; empty if it stands there without one.
fn parameter(url: &str, name: &str) -> Option<Evaluated<String>> {
    let query = Uri::parse(url)?.query?;
    let mut parameters = query.split('&').map(|one| one.split_once('=').unwrap_or((one, "")));
    parameters.find(|(key, _)| *key == name).map(|(_, value)| decode(value))
}

/// Percent signs and pluses of a form.
fn decode(text: &str) -> Evaluated<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        rest = behind;
        match first {
            b'+' => bytes.push(b' '),
            b'%' => {
                let digits = rest.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
                let Some(byte) = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok())
                else {
                    let message = "Illegal hex characters in escape (%) pattern";
                    return Err(invalid(format!("{message}: {text}")));
                };
                bytes.push(byte);
                rest = &rest[2..];
            }
            byte => bytes.push(*byte),
        }
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'*' => {
                encoded.push(char::from(byte));
            }
            b' ' => encoded.push('+'),
            byte => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

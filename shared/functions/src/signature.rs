//! Which signature of a function a call means, by the rules of Trino's implicit coercions.

use std::collections::HashMap;

use arrow::datatypes::{DataType, Field, Fields, TimeUnit};
use datafusion::error::{DataFusionError, Result};
use waterbear_protocol::{ErrorCode, Failure};
use waterbear_types::TrinoType;

use crate::registry::{Function, signatures};

/// A call's signature.
#[derive(Debug, Clone)]
pub(crate) struct Resolved {
    /// The types that the arguments are to be coerced to.
    pub arguments: Vec<TrinoType>,
    /// The line's result type, with what the arguments say put in.
    pub result: Option<TrinoType>,
}

/// What a signature's variables (`T`, `x`) stand for in a call.
#[derive(Debug, Default)]
struct Bindings<'a> {
    types: HashMap<&'a str, TrinoType>,
    lengths: HashMap<&'a str, u32>,
}

/// What is known of arguments that Arrow carries as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Texts {
    /// What is said to be varchar is.
    AreVarchar,
    /// It may be json or uuid.
    AreAnything,
}

impl<'a> Bindings<'a> {
    fn length(&mut self, variable: &'a str, length: u32) {
        if !variable.is_empty() {
            self.lengths.insert(variable, length);
        }
    }
}

/// The signature that fits best.
///
/// # Errors
/// FUNCTION_NOT_FOUND with all signatures that there are.
pub(crate) fn resolve(name: &str, arguments: &[TrinoType], texts: Texts) -> Result<Resolved> {
    let mut best: Option<(u32, Resolved)> = None;
    for function in signatures(name) {
        if let Some((cost, resolved)) = matched(function, arguments, texts)
            && best.as_ref().is_none_or(|(least, _)| cost < *least)
        {
            best = Some((cost, resolved));
        }
    }
    best.map(|(_, resolved)| resolved).ok_or_else(|| unexpected(name, arguments))
}

fn unexpected(name: &str, arguments: &[TrinoType]) -> DataFusionError {
    let given: Vec<String> = arguments.iter().map(TrinoType::listing).collect();
    let expected: Vec<String> = signatures(name)
        .iter()
        .map(|function| format!("{name}({})", function.listed_arguments()))
        .collect();
    let message = format!(
        "Unexpected parameters ({}) for function {name}. Expected: {}",
        given.join(", "),
        expected.join(", ")
    );
    DataFusionError::External(Box::new(Failure::new(ErrorCode::FUNCTION_NOT_FOUND, message)))
}

/// What a call costs by this line, if it fits.
fn matched(
    function: &'static Function,
    given: &[TrinoType],
    texts: Texts,
) -> Option<(u32, Resolved)> {
    let patterns = split_list(function.arguments);
    let variadic = patterns.last().is_some_and(|last| last.ends_with("..."));
    let fits = if variadic {
        // Trino wants at least one of what may repeat.
        given.len() >= patterns.len()
    } else {
        given.len() == patterns.len()
    };
    if !fits {
        return None;
    }
    let mut bindings = Bindings::default();
    let mut cost = 0;
    let mut arguments = Vec::with_capacity(given.len());
    for (index, given) in given.iter().enumerate() {
        let pattern = patterns.get(index).or(patterns.last())?.trim_end_matches("...");
        let anything = texts == Texts::AreAnything && matches!(given, TrinoType::Varchar(_));
        let (more, target) = match pattern {
            "ANY" => (0, given.clone()),
            "json" | "uuid" if anything => (0, given.clone()),
            pattern => coerced(pattern, given, &mut bindings)?,
        };
        cost += more;
        arguments.push(target);
    }
    Some((cost, Resolved { arguments, result: substitute(function.result, &bindings) }))
}

/// Divides at the commas outside of brackets.
fn split_list(text: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0_u32, 0);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => {
                parts.push(text[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    let last = text[start..].trim();
    if !last.is_empty() {
        parts.push(last);
    }
    parts
}

/// `array(T)` as `array` and `T`.
fn parts(pattern: &str) -> (&str, &str) {
    match pattern.split_once('(') {
        Some((base, rest)) => (base, rest.strip_suffix(')').unwrap_or(rest)),
        None => (pattern, ""),
    }
}

fn is_variable(pattern: &str) -> bool {
    pattern.starts_with(|first: char| first.is_ascii_uppercase())
}

/// The type that an argument is coerced to, and how far that is.
fn coerced<'a>(
    pattern: &'a str,
    given: &TrinoType,
    bindings: &mut Bindings<'a>,
) -> Option<(u32, TrinoType)> {
    const UNKNOWN: TrinoType = TrinoType::Plain("unknown");
    if is_variable(pattern) {
        return match bindings.types.get(pattern) {
            Some(bound) if bound == given || *given == UNKNOWN => Some((0, bound.clone())),
            Some(bound) if *bound != UNKNOWN => None,
            _ => {
                bindings.types.insert(pattern, given.clone());
                Some((0, given.clone()))
            }
        };
    }
    let (base, inner) = parts(pattern);
    if *given == UNKNOWN {
        return substitute(pattern, bindings).map(|target| (1, target));
    }
    match (base, given) {
        ("varchar", TrinoType::Varchar(length)) => {
            if let Some(length) = length {
                bindings.length(inner, *length);
            }
            Some((0, given.clone()))
        }
        ("varchar", TrinoType::Char(length)) => {
            bindings.length(inner, *length);
            Some((1, given.clone()))
        }
        ("char", TrinoType::Char(length)) => {
            bindings.length(inner, *length);
            Some((0, given.clone()))
        }
        ("array", TrinoType::Array(item)) => {
            let (cost, item) = coerced(inner, item, bindings)?;
            Some((cost, TrinoType::Array(Box::new(item))))
        }
        ("map", TrinoType::Map(key, value)) => {
            let halves = split_list(inner);
            let (key_cost, key) = coerced(halves.first()?, key, bindings)?;
            let (value_cost, value) = coerced(halves.get(1)?, value, bindings)?;
            Some((key_cost + value_cost, TrinoType::Map(Box::new(key), Box::new(value))))
        }
        ("decimal", _) => decimal_of(given),
        ("timestamp", TrinoType::Timestamp(_)) if !pattern.ends_with("zone") => {
            Some((0, given.clone()))
        }
        ("timestamp", TrinoType::TimestampWithTimeZone(_)) if pattern.ends_with("zone") => {
            Some((0, given.clone()))
        }
        ("time", TrinoType::Time(_)) => Some((0, given.clone())),
        (base, given) => {
            let target = plain(base)?;
            if target == *given {
                return Some((0, target));
            }
            let (from, to) = (rank(given)?, rank(&target)?);
            (from < to).then(|| (to - from, target))
        }
    }
}

/// Numbers go to the right in this order.
fn rank(number: &TrinoType) -> Option<u32> {
    let names = ["tinyint", "smallint", "integer", "bigint", "decimal", "real", "double"];
    let name = match number {
        TrinoType::Plain(name) => *name,
        TrinoType::Decimal(..) => "decimal",
        _ => return None,
    };
    names.iter().zip(0..).find_map(|(known, rank)| (*known == name).then_some(rank))
}

fn decimal_of(given: &TrinoType) -> Option<(u32, TrinoType)> {
    let digits = match given {
        TrinoType::Decimal(..) => return Some((0, given.clone())),
        TrinoType::Plain("tinyint") => 3,
        TrinoType::Plain("smallint") => 5,
        TrinoType::Plain("integer") => 10,
        TrinoType::Plain("bigint") => 19,
        _ => return None,
    };
    Some((4 - rank(given)?, TrinoType::Decimal(digits, 0)))
}

fn plain(name: &str) -> Option<TrinoType> {
    const NAMES: &[&str] = &[
        "boolean",
        "tinyint",
        "smallint",
        "integer",
        "bigint",
        "real",
        "double",
        "varbinary",
        "date",
        "json",
        "uuid",
        "interval day to second",
        "interval year to month",
    ];
    NAMES.iter().find(|known| **known == name).map(|known| TrinoType::Plain(known))
}

/// The type that a pattern is in a call; nothing when the line does not say it.
fn substitute(pattern: &str, bindings: &Bindings<'_>) -> Option<TrinoType> {
    if is_variable(pattern) {
        return bindings.types.get(pattern).cloned();
    }
    let (base, inner) = parts(pattern);
    let length = || inner.parse().ok().or_else(|| bindings.lengths.get(inner).copied());
    let boxed = |pattern: &str| substitute(pattern, bindings).map(Box::new);
    match base {
        "varchar" => Some(TrinoType::Varchar(length())),
        "char" => length().map(TrinoType::Char),
        "array" => boxed(inner).map(TrinoType::Array),
        "map" => {
            let halves = split_list(inner);
            Some(TrinoType::Map(boxed(halves.first()?)?, boxed(halves.get(1)?)?))
        }
        "decimal" => {
            let (precision, scale) = inner.split_once(',')?;
            Some(TrinoType::Decimal(precision.parse().ok()?, scale.parse().ok()?))
        }
        name => plain(name),
    }
}

/// The Arrow type that carries a Trino type here.
pub(crate) fn arrow_type(trino: &TrinoType) -> Result<DataType> {
    let item = |name: &str, trino: &TrinoType, nullable| {
        Ok::<_, DataFusionError>(trino.annotate(Field::new(name, arrow_type(trino)?, nullable)))
    };
    Ok(match trino {
        TrinoType::Plain(name) => match *name {
            "boolean" => DataType::Boolean,
            "tinyint" => DataType::Int8,
            "smallint" => DataType::Int16,
            "integer" => DataType::Int32,
            "bigint" => DataType::Int64,
            "real" => DataType::Float32,
            "double" => DataType::Float64,
            "varbinary" => DataType::Binary,
            "date" => DataType::Date32,
            "json" | "uuid" | "ipaddress" => DataType::Utf8,
            "unknown" => DataType::Null,
            other => return Err(no_arrow_type(other)),
        },
        TrinoType::Varchar(_) | TrinoType::Char(_) => DataType::Utf8,
        TrinoType::Decimal(precision, scale) => {
            DataType::Decimal128(*precision, i8::try_from(*scale).unwrap_or(i8::MAX))
        }
        TrinoType::Timestamp(precision) => DataType::Timestamp(
            match precision {
                0 => TimeUnit::Second,
                1..=3 => TimeUnit::Millisecond,
                4..=6 => TimeUnit::Microsecond,
                _ => TimeUnit::Nanosecond,
            },
            None,
        ),
        TrinoType::Array(element) => DataType::List(item("item", element, true)?.into()),
        TrinoType::Map(key, value) => {
            let fields: Fields = vec![item("key", key, false)?, item("value", value, true)?].into();
            let entries = Field::new("entries", DataType::Struct(fields), false);
            DataType::Map(entries.into(), false)
        }
        other => return Err(no_arrow_type(&other.listing())),
    })
}

fn no_arrow_type(name: &str) -> DataFusionError {
    let message = format!("Type {name} is not supported as an argument of this function");
    DataFusionError::External(Box::new(Failure::new(ErrorCode::NOT_SUPPORTED, message)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn types(names: &[&str]) -> Vec<TrinoType> {
        let bindings = Bindings::default();
        let known = |name: &&str| {
            if *name == "unknown" {
                TrinoType::Plain("unknown")
            } else {
                substitute(name, &bindings).unwrap()
            }
        };
        names.iter().map(known).collect()
    }

    #[test]
    fn the_nearest_signature_wins() {
        let cases: &[(&str, &[&str], &[&str], &str)] = &[
            ("length", &["varchar(3)"], &["varchar(3)"], "bigint"),
            ("length", &["varbinary"], &["varbinary"], "bigint"),
            ("lower", &["char(3)"], &["char(3)"], "char(3)"),
            ("upper", &["varchar(3)"], &["varchar(3)"], "varchar(3)"),
            ("reverse", &["char(3)"], &["char(3)"], "varchar(3)"),
            ("abs", &["integer"], &["integer"], "integer"),
            ("mod", &["integer", "bigint"], &["bigint", "bigint"], "bigint"),
            ("mod", &["integer", "double"], &["double", "double"], "double"),
            ("sqrt", &["decimal(5,2)"], &["double"], "double"),
            ("substr", &["varchar", "integer"], &["varchar", "bigint"], "varchar"),
            (
                "concat",
                &["varchar", "varchar(2)", "char(1)"],
                &["varchar", "varchar(2)", "char(1)"],
                "varchar",
            ),
            ("split", &["varchar(4)", "varchar"], &["varchar(4)", "varchar"], "array(varchar(4))"),
            (
                "lpad",
                &["varchar", "unknown", "varchar"],
                &["varchar", "bigint", "varchar"],
                "varchar",
            ),
            (
                "width_bucket",
                &["integer", "array(integer)"],
                &["double", "array(double)"],
                "bigint",
            ),
        ];
        for (name, given, arguments, result) in cases {
            let resolved = resolve(name, &types(given), Texts::AreVarchar).unwrap();
            assert_eq!(resolved.arguments, types(arguments), "{name} {given:?}");
            assert_eq!(resolved.result, Some(types(&[result])[0].clone()), "{name} {given:?}");
        }
    }

    #[test]
    fn what_fits_no_signature_is_refused() {
        let text = |name, given: &[&str]| {
            resolve(name, &types(given), Texts::AreVarchar).unwrap_err().to_string()
        };
        assert!(text("length", &["integer"]).ends_with(
            "Unexpected parameters (integer) for function length. \
             Expected: length(varchar(x)), length(char(x)), length(varbinary)"
        ));
        for (name, given) in [
            ("sqrt", &["varchar(1)"] as &[&str]),
            ("concat", &["varchar(1)", "integer"]),
            ("pi", &["double"]),
            ("bitwise_and", &["double", "bigint"]),
            ("lpad", &["varchar", "bigint"]),
        ] {
            assert!(text(name, given).contains("Unexpected parameters"), "{name}");
        }
    }
}

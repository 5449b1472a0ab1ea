//! Hashes of bytes.

use std::sync::Arc;

use arrow::array::ArrayRef;
use datafusion::error::Result;
use datafusion::logical_expr::ScalarUDF;
use hmac::digest::KeyInit;
use hmac::{Hmac, Mac};
use md5::{Digest, Md5};
use sha1::Sha1;
use sha2::{Sha256, Sha512};

use crate::scalar::{Call, function, invalid};

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        function("crc32", |call| {
            let bytes = call.bytes(0)?;
            call.make_integers(|row| Some(Ok(i64::from(crc32fast::hash(bytes.get(row)?)))))
        }),
        function("hmac_md5", authenticate::<Hmac<Md5>>),
        function("hmac_sha1", authenticate::<Hmac<Sha1>>),
        function("hmac_sha256", authenticate::<Hmac<Sha256>>),
        function("hmac_sha512", authenticate::<Hmac<Sha512>>),
        function("md5", digest::<Md5>),
        function("sha1", digest::<Sha1>),
        function("sha256", digest::<Sha256>),
        function("sha512", digest::<Sha512>),
        function("xxhash64", |call| {
            let bytes = call.bytes(0)?;
            let hash = |bytes: &[u8]| twox_hash::XxHash64::oneshot(0, bytes).to_be_bytes();
            call.make_bytes(|row| Some(Ok(hash(bytes.get(row)?))))
        }),
    ]
}

fn digest<D: Digest>(call: &Call<'_>) -> Result<ArrayRef> {
    let bytes = call.bytes(0)?;
    call.make_bytes(|row| Some(Ok(D::digest(bytes.get(row)?).to_vec())))
}

/// The second argument is the key.
fn authenticate<M: Mac + KeyInit>(call: &Call<'_>) -> Result<ArrayRef> {
    let (bytes, keys) = (call.bytes(0)?, call.bytes(1)?);
    call.make_bytes(|row| {
        let (bytes, key) = (bytes.get(row)?, keys.get(row)?);
        if key.is_empty() {
            return Some(Err(invalid("Empty key")));
        }
        let Ok(mut code) = <M as KeyInit>::new_from_slice(key) else {
            return Some(Err(invalid("Invalid key")));
        };
        code.update(bytes);
        Some(Ok(code.finalize().into_bytes().to_vec()))
    })
}

//! URLs and UUIDs.

use super::{Function, scalar};

pub(super) const FUNCTIONS: &[Function] = &[
    scalar("$uuid_to_varchar", "uuid", "varchar", "").special(),
    scalar("url_decode", "varchar(x)", "varchar(x)", "Unescape a URL-encoded string"),
    scalar(
        "url_encode",
        "varchar(x)",
        "varchar",
        "Escape a string for use in URL query parameter names and values",
    ),
    scalar("url_extract_fragment", "varchar(x)", "varchar(x)", "Extract fragment from url"),
    scalar("url_extract_host", "varchar(x)", "varchar(x)", "Extract host from url"),
    scalar(
        "url_extract_parameter",
        "varchar(x), varchar(y)",
        "varchar(x)",
        "Extract query parameter from url",
    ),
    scalar("url_extract_path", "varchar(x)", "varchar(x)", "Extract part from url"),
    scalar("url_extract_port", "varchar(x)", "bigint", "Extract port from url"),
    scalar("url_extract_protocol", "varchar(x)", "varchar(x)", "Extract protocol from url"),
    scalar("url_extract_query", "varchar(x)", "varchar(x)", "Extract query from url"),
    scalar("uuid", "", "uuid", "Generates a random UUID").random(),
];

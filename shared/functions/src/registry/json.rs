//! JSON.

use super::{Function, scalar};

pub(super) const FUNCTIONS: &[Function] = &[
    scalar("$json_to_varchar", "json", "varchar", "").special(),
    scalar("is_json_scalar", "json", "boolean", "Whether a JSON value is a scalar"),
    scalar("is_json_scalar", "varchar(x)", "boolean", "Whether a JSON value is a scalar"),
    scalar(
        "json_array_contains",
        "json, varchar(x)",
        "boolean",
        "Whether a JSON array contains a value",
    ),
    scalar(
        "json_array_contains",
        "varchar(y), varchar(x)",
        "boolean",
        "Whether a JSON array contains a value",
    ),
    scalar(
        "json_array_contains",
        "json, boolean",
        "boolean",
        "Whether a JSON array contains a value",
    ),
    scalar(
        "json_array_contains",
        "varchar(y), boolean",
        "boolean",
        "Whether a JSON array contains a value",
    ),
    scalar(
        "json_array_contains",
        "json, bigint",
        "boolean",
        "Whether a JSON array contains a value",
    ),
    scalar(
        "json_array_contains",
        "varchar(y), bigint",
        "boolean",
        "Whether a JSON array contains a value",
    ),
    scalar(
        "json_array_contains",
        "json, double",
        "boolean",
        "Whether a JSON array contains a value",
    ),
    scalar(
        "json_array_contains",
        "varchar(y), double",
        "boolean",
        "Whether a JSON array contains a value",
    ),
    scalar("json_array_get", "json, bigint", "json", "The element of a JSON array at an index"),
    scalar(
        "json_array_get",
        "varchar(x), bigint",
        "json",
        "The element of a JSON array at an index",
    ),
    scalar("json_array_length", "json", "bigint", "The number of elements of a JSON array"),
    scalar("json_array_length", "varchar(x)", "bigint", "The number of elements of a JSON array"),
    scalar("json_extract", "json, varchar(y)", "json", "The JSON value at a JSON path"),
    scalar("json_extract", "varchar(x), varchar(y)", "json", "The JSON value at a JSON path"),
    scalar(
        "json_extract_scalar",
        "json, varchar(y)",
        "varchar",
        "The scalar at a JSON path as text",
    ),
    scalar(
        "json_extract_scalar",
        "varchar(x), varchar(y)",
        "varchar(x)",
        "The scalar at a JSON path as text",
    ),
    scalar("json_format", "json", "varchar", "The text of a JSON value"),
    scalar("json_parse", "varchar(x)", "json", "The JSON value of a text"),
    scalar(
        "json_size",
        "json, varchar(y)",
        "bigint",
        "The number of elements of the JSON value at a JSON path",
    ),
    scalar(
        "json_size",
        "varchar(x), varchar(y)",
        "bigint",
        "The number of elements of the JSON value at a JSON path",
    ),
];

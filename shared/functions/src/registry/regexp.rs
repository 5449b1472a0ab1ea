//! Regular expressions.

use super::{Function, scalar};

pub(super) const FUNCTIONS: &[Function] = &[
    scalar(
        "regexp_count",
        "varchar(x), varchar(y)",
        "bigint",
        "Returns the number of times that a pattern occurs in a string",
    ),
    scalar(
        "regexp_extract",
        "varchar(x), varchar(y)",
        "varchar(x)",
        "String extracted using the given pattern",
    ),
    scalar(
        "regexp_extract",
        "varchar(x), varchar(y), bigint",
        "varchar(x)",
        "Returns regex group of extracted string with a pattern",
    ),
    scalar(
        "regexp_extract_all",
        "varchar(x), varchar(y)",
        "array(varchar(x))",
        "String(s) extracted using the given pattern",
    ),
    scalar(
        "regexp_extract_all",
        "varchar(x), varchar(y), bigint",
        "array(varchar(x))",
        "Group(s) extracted using the given pattern",
    ),
    scalar(
        "regexp_like",
        "varchar(x), varchar(y)",
        "boolean",
        "Returns whether the pattern is contained within the string",
    ),
    scalar(
        "regexp_position",
        "varchar(x), varchar(y)",
        "integer",
        "Returns the index of the matched substring",
    ),
    scalar(
        "regexp_position",
        "varchar(x), varchar(y), integer",
        "integer",
        "Returns the index of the matched substring starting from the specified position",
    ),
    scalar(
        "regexp_position",
        "varchar(x), varchar(y), integer, integer",
        "integer",
        "Returns the index of the n-th matched substring starting from the specified position",
    ),
    scalar(
        "regexp_replace",
        "varchar(x), varchar(y)",
        "varchar(x)",
        "Removes substrings matching a regular expression",
    ),
    scalar(
        "regexp_replace",
        "varchar(x), varchar(y), varchar(z)",
        "varchar",
        "Replaces substrings matching a regular expression by given string",
    ),
    scalar(
        "regexp_split",
        "varchar(x), varchar(y)",
        "array(varchar(x))",
        "Returns array of strings split by pattern",
    ),
];

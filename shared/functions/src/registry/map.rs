//! Maps and rows.

use super::{Function, scalar};

pub(super) const FUNCTIONS: &[Function] = &[
    scalar("map", "", "map(unknown, unknown)", "Creates an empty map").datafusion(),
    scalar("map", "array(K), array(V)", "map(K, V)", "Constructs a map of keys and values")
        .datafusion(),
    scalar("map_concat", "map(K, V)...", "map(K, V)", "Union of maps; later ones win"),
    scalar("map_entries", "map(K, V)", "array(row(K,V))", "The entries of a map"),
    scalar(
        "map_filter",
        "map(K, V), function(K,V,boolean)",
        "map(K, V)",
        "The entries that match a predicate",
    ),
    scalar("map_from_entries", "array(row(K,V))", "map(K, V)", "Constructs a map of entries"),
    scalar("map_keys", "map(K, V)", "array(K)", "The keys of a map"),
    scalar("map_values", "map(K, V)", "array(V)", "The values of a map"),
    scalar(
        "map_zip_with",
        "map(K, V1), map(K, V2), function(K,V1,V2,V3)",
        "map(K, V3)",
        "Merges two maps by a lambda",
    ),
    scalar(
        "multimap_from_entries",
        "array(row(K,V))",
        "map(K, array(V))",
        "Constructs a multimap of entries",
    ),
    scalar("row", "T...", "row(T)", "").special(),
    scalar(
        "transform_keys",
        "map(K1, V), function(K1,V,K2)",
        "map(K2, V)",
        "Applies a lambda to each key",
    ),
    scalar(
        "transform_values",
        "map(K, V1), function(K,V1,V2)",
        "map(K, V2)",
        "Applies a lambda to each value",
    ),
];

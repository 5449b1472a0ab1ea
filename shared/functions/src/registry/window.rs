//! Functions of windows.

use super::{Function, window};

pub(super) const FUNCTIONS: &[Function] = &[
    window("cume_dist", "", "double", "The share of rows up to this one and its peers")
        .datafusion(),
    window("dense_rank", "", "bigint", "Rank without gaps").datafusion(),
    window("first_value", "T", "T", "The value of the first row of the frame").datafusion(),
    window("lag", "T", "T", "The value of the row before").datafusion(),
    window("lag", "T, bigint", "T", "The value of a row before").datafusion(),
    window("lag", "T, bigint, T", "T", "The value of a row before, or a default").datafusion(),
    window("last_value", "T", "T", "The value of the last row of the frame").datafusion(),
    window("lead", "T", "T", "The value of the row behind").datafusion(),
    window("lead", "T, bigint", "T", "The value of a row behind").datafusion(),
    window("lead", "T, bigint, T", "T", "The value of a row behind, or a default").datafusion(),
    window("nth_value", "T, bigint", "T", "The value of a row of the frame").datafusion(),
    window("ntile", "bigint", "bigint", "The bucket of the row of that many").datafusion(),
    window("percent_rank", "", "double", "The relative rank").datafusion(),
    window("rank", "", "bigint", "Rank with gaps").datafusion(),
    window("row_number", "", "bigint", "The number of the row in its partition").datafusion(),
];

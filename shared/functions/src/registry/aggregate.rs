//! Functions of groups.

use super::{Function, aggregate};

pub(super) const FUNCTIONS: &[Function] = &[
    aggregate("any_value", "T", "T", "Return an arbitrary non-null input value"),
    aggregate("approx_distinct", "T", "bigint", "Approximate number of distinct values")
        .datafusion(),
    aggregate("approx_distinct", "T, double", "bigint", "Approximate number of distinct values"),
    aggregate(
        "approx_most_frequent",
        "bigint, T, bigint",
        "map(T, bigint)",
        "Approximate most frequent values",
    ),
    aggregate("approx_percentile", "bigint, double", "bigint", "Approximate percentile"),
    aggregate("approx_percentile", "double, double", "double", "Approximate percentile"),
    aggregate("approx_percentile", "real, double", "real", "Approximate percentile"),
    aggregate("arbitrary", "T", "T", "Return an arbitrary non-null input value"),
    aggregate("array_agg", "T", "array(T)", "Return an array of values"),
    aggregate("avg", "bigint", "double", "Returns the average value of the argument").datafusion(),
    aggregate("avg", "decimal(p,s)", "decimal(p,s)", "Returns the average value of the argument")
        .datafusion(),
    aggregate("avg", "double", "double", "Returns the average value of the argument").datafusion(),
    aggregate("avg", "real", "real", "Returns the average value of the argument"),
    aggregate("bitwise_and_agg", "bigint", "bigint", "Bitwise AND of all values"),
    aggregate("bitwise_or_agg", "bigint", "bigint", "Bitwise OR of all values"),
    aggregate("bitwise_xor_agg", "bigint", "bigint", "Bitwise XOR of all values"),
    aggregate("bool_and", "boolean", "boolean", "Whether all values are true").datafusion(),
    aggregate("bool_or", "boolean", "boolean", "Whether any value is true").datafusion(),
    aggregate("checksum", "T", "varbinary", "Checksum of the given values"),
    aggregate("corr", "double, double", "double", "Correlation").datafusion(),
    aggregate("corr", "real, real", "real", "Correlation"),
    aggregate("count", "", "bigint", "Number of rows").datafusion(),
    aggregate("count", "T", "bigint", "Counts the non-null values").datafusion(),
    aggregate("count_if", "boolean", "bigint", "Number of true values").datafusion(),
    aggregate("covar_pop", "double, double", "double", "Covariance of a population").datafusion(),
    aggregate("covar_samp", "double, double", "double", "Covariance of a sample").datafusion(),
    aggregate("entropy", "bigint", "double", "Entropy of counts in bits"),
    aggregate("every", "boolean", "boolean", "Whether all values are true").datafusion(),
    aggregate("geometric_mean", "bigint", "double", "Geometric mean").datafusion(),
    aggregate("geometric_mean", "double", "double", "Geometric mean").datafusion(),
    aggregate("geometric_mean", "real", "real", "Geometric mean").datafusion(),
    aggregate("histogram", "K", "map(K, bigint)", "Count the number of times each value occurs"),
    aggregate("kurtosis", "bigint", "double", "Excess kurtosis"),
    aggregate("kurtosis", "double", "double", "Excess kurtosis"),
    aggregate("listagg", "varchar, varchar", "varchar", "Concatenates the values with a separator"),
    aggregate("map_agg", "K, V", "map(K, V)", "Aggregates the pairs into a single map"),
    aggregate("map_union", "map(K, V)", "map(K, V)", "Aggregates the maps into a single map"),
    aggregate("max", "E", "E", "Returns the maximum value of the argument").datafusion(),
    aggregate("max", "E, bigint", "array(E)", "Returns the maximum values of the argument")
        .datafusion(),
    aggregate(
        "max_by",
        "V, K",
        "V",
        "Returns the value of the first argument, associated with the maximum value of the second",
    ),
    aggregate(
        "max_by",
        "V, K, bigint",
        "array(V)",
        "Returns the values of the first argument associated with the maximum values of the second",
    ),
    aggregate("min", "E", "E", "Returns the minimum value of the argument").datafusion(),
    aggregate("min", "E, bigint", "array(E)", "Returns the minimum values of the argument")
        .datafusion(),
    aggregate(
        "min_by",
        "V, K",
        "V",
        "Returns the value of the first argument, associated with the minimum value of the second",
    ),
    aggregate(
        "min_by",
        "V, K, bigint",
        "array(V)",
        "Returns the values of the first argument associated with the minimum values of the second",
    ),
    aggregate(
        "multimap_agg",
        "K, V",
        "map(K, array(V))",
        "Aggregates the pairs into a single multimap",
    ),
    aggregate(
        "numeric_histogram",
        "bigint, double",
        "map(double, double)",
        "Approximate histogram",
    ),
    aggregate("regr_avgx", "double, double", "double", "Average of the independent value of pairs")
        .datafusion(),
    aggregate("regr_avgy", "double, double", "double", "Average of the dependent value of pairs")
        .datafusion(),
    aggregate("regr_count", "double, double", "double", "Number of pairs"),
    aggregate("regr_intercept", "double, double", "double", "Intercept of the regression line")
        .datafusion(),
    aggregate("regr_r2", "double, double", "double", "Square of the correlation").datafusion(),
    aggregate("regr_slope", "double, double", "double", "Slope of the regression line")
        .datafusion(),
    aggregate("regr_sxx", "double, double", "double", "Sum of squares of the independent value")
        .datafusion(),
    aggregate("regr_sxy", "double, double", "double", "Sum of products of pairs").datafusion(),
    aggregate("regr_syy", "double, double", "double", "Sum of squares of the dependent value")
        .datafusion(),
    aggregate("skewness", "bigint", "double", "Skewness"),
    aggregate("skewness", "double", "double", "Skewness"),
    aggregate("stddev", "double", "double", "Sample standard deviation").datafusion(),
    aggregate("stddev_pop", "double", "double", "Standard deviation of a population").datafusion(),
    aggregate("stddev_samp", "double", "double", "Sample standard deviation").datafusion(),
    aggregate("sum", "bigint", "bigint", "Sum of the values").datafusion(),
    aggregate("sum", "decimal(p,s)", "decimal(38,s)", "Sum of the values").datafusion(),
    aggregate("sum", "double", "double", "Sum of the values").datafusion(),
    aggregate("sum", "real", "real", "Sum of the values"),
    aggregate("var_pop", "double", "double", "Variance of a population").datafusion(),
    aggregate("var_samp", "double", "double", "Sample variance").datafusion(),
    aggregate("variance", "double", "double", "Sample variance").datafusion(),
];

use super::{check_failures, check_rows};

#[tokio::test]
async fn results_have_trinos_types() {
    check_rows(&[
        ("SELECT length('a'), strpos('a', 'a'), codepoint('a')", "bigint bigint integer", "1 1 97"),
        ("SELECT abs(-1), abs(-1.50), abs(-1e0)", "integer decimal(3,2) double", "1 1.50 1.0"),
        (
            "SELECT ceil(9.9), floor(-9.9), round(9.95), round(9.95, 1)",
            "decimal(2,0) decimal(2,0) decimal(2,0) decimal(4,2)",
            "10 -10 10 10.00",
        ),
        (
            "SELECT truncate(9.95), truncate(9.95, 1), sign(9.95), mod(9.95, 2)",
            "decimal(1,0) decimal(3,2) decimal(1,0) decimal(3,2)",
            "9 9.90 1 1.95",
        ),
        (
            "SELECT sqrt(4), power(2, 3), from_base('a', 16), to_base(10, 16)",
            "double double bigint varchar(64)",
            "2.0 8.0 10 a",
        ),
        (
            "SELECT split('a,b', ','), regexp_extract_all('ab', '.')",
            "array(varchar) array(varchar)",
            "[a, b] [a, b]",
        ),
        (
            "SELECT crc32(X''), xxhash64(X'') = md5(X''), from_big_endian_32(X'00000001')",
            "bigint boolean integer",
            "0 false 1",
        ),
        (
            "SELECT json_parse('[1, 2]'), json_size('[1]', '$'), soundex('a')",
            "json bigint varchar(4)",
            "[1,2] 1 A000",
        ),
        ("SELECT current_user, current_catalog, random(1)", "varchar varchar integer", " NULL 0"),
        (
            "SELECT concat(ARRAY[1], ARRAY[2]), reverse(ARRAY[1, 2])",
            "array(integer) array(integer)",
            "[1, 2] [2, 1]",
        ),
        ("SELECT trim('xax', 'x'), substr('abc', 2)", "varchar(3) varchar(3)", "a bc"),
        (
            "SELECT upper(s), length(s) FROM (VALUES 'a', CAST(NULL AS varchar)) t(s)",
            "varchar bigint",
            "A 1; NULL NULL",
        ),
    ])
    .await;
}

#[tokio::test]
async fn what_trino_has_not_cannot_be_called() {
    check_failures(&[
        ("SELECT date_bin(1, 2)", "FUNCTION_NOT_FOUND", "line 1:8: Function 'date_bin' not registered"),
        ("SELECT 1 + upper(1)", "FUNCTION_NOT_FOUND", "line 1:12: Unexpected parameters (integer) for function upper. Expected: upper(varchar(x)), upper(char(x))"),
        ("SELECT murmur3(X'')", "NOT_SUPPORTED", "line 1:8: Function 'murmur3' is not supported"),
        ("SELECT rank()", "MISSING_OVER", "line 1:8: Window function rank requires an OVER clause"),
        ("SELECT upper('a') OVER ()", "FUNCTION_NOT_WINDOW", "line 1:8: Not a window function: upper"),
        ("SELECT CAST(JSON '1' AS bigint)", "NOT_SUPPORTED", "line 1:8: A cast of json to bigint is not supported"),
    ])
    .await;
}

use super::{check_failures, check_rows};

#[tokio::test]
async fn literals_and_arithmetic_have_trinos_types() {
    check_rows(&[
        ("SELECT 1, 2147483648, 1.10, 1e0", "integer bigint decimal(3,2) double", "1 2147483648 1.10 1.0"),
        ("SELECT 0x1F, 0b11, 0o17, 1_000", "integer integer integer integer", "31 3 15 1000"),
        ("SELECT -2147483648, -9223372036854775808, - 5", "integer bigint integer", "-2147483648 -9223372036854775808 -5"),
        ("SELECT 1 + 2, 7 / 2, -7 / 2, -7 % 3, 2 * 3 - 1", "integer integer integer integer integer", "3 3 -3 -1 5"),
        ("SELECT 1 + 2147483648, 1 + 1e0, 1 + 1.5", "bigint double decimal(12,1)", "2147483649 2.0 2.5"),
        ("SELECT 1.0 / 3, 2.00 / 3.0, -2.00 / 3.0, 1 / 8.00", "decimal(2,1) decimal(4,2) decimal(4,2) decimal(14,2)", "0.3 0.67 -0.67 0.13"),
        ("SELECT 1.5 * 2.25, 1.5 - 2, 7.5 % 2", "decimal(5,3) decimal(12,1) decimal(2,1)", "3.375 -0.5 1.5"),
        ("SELECT 1e0 / 0, -1e0 / 0, 5e0 % 3", "double double double", "inf -inf 2.0"),
        ("SELECT 1 + NULL, NULL * 2.5", "integer decimal(4,2)", "NULL NULL"),
        ("SELECT -x, -(x + 1) FROM (VALUES (1), (2)) t(x)", "integer integer", "-1 -2; -2 -3"),
        ("SELECT a + b FROM (VALUES (1, 2.5), (3, 4.25)) t(a, b)", "decimal(13,2)", "3.50; 7.25"),
        ("SELECT x + 1, count(*) FROM (VALUES (1), (1)) t(x) GROUP BY x + 1", "integer bigint", "2 2"),
        ("SELECT x, count(*) FROM (VALUES (1), (1)) t(x) GROUP BY 1 ORDER BY 1 OFFSET 0 LIMIT 1", "integer bigint", "1 2"),
        ("SELECT DISTINCT x + 1 FROM (VALUES (2), (1)) t(x) ORDER BY x + 1 DESC", "integer", "3; 2"),
        ("SELECT sum(x) OVER (ORDER BY x ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM (VALUES (1), (2), (3)) t(x)", "bigint", "1; 3; 5"),
        ("SELECT lag(x, 1) OVER (ORDER BY x), ntile(2) OVER (ORDER BY x) FROM (VALUES (1), (2)) t(x)", "integer bigint", "NULL 1; 1 2"),
    ])
    .await;
}

#[tokio::test]
async fn what_meets_gets_a_common_type() {
    check_rows(&[
        ("SELECT 1 UNION ALL SELECT 2.5", "decimal(11,1)", "1.0; 2.5"),
        ("SELECT x FROM (VALUES (1), (2.50), (NULL)) t(x)", "decimal(12,2)", "1.00; 2.50; NULL"),
        (
            "SELECT CASE WHEN x > 1 THEN 1 ELSE 2.5 END FROM (VALUES (1), (2)) t(x)",
            "decimal(11,1)",
            "2.5; 1.0",
        ),
        ("SELECT coalesce(NULL, 1, 2.5)", "decimal(11,1)", "1.0"),
        (
            "SELECT 1 IN (1.0, 2e0), 1 BETWEEN 0.5 AND 2, 2 = 2.0, NULL = 1",
            "boolean boolean boolean boolean",
            "true true true NULL",
        ),
        (
            "SELECT 1 IS DISTINCT FROM NULL, 1 IS NOT DISTINCT FROM 1.0",
            "boolean boolean",
            "true true",
        ),
        (
            "SELECT count(*) FROM (VALUES (1), (2)) a(x) JOIN (VALUES (2.0), (3.0)) b(y) ON x = y",
            "bigint",
            "1",
        ),
        ("SELECT 'a' || 'b', 'a' || NULL", "varchar varchar", "ab NULL"),
    ])
    .await;
}

#[tokio::test]
async fn what_has_no_value_is_an_error() {
    check_failures(&[
        (
            "SELECT 2147483647 + 1",
            "NUMERIC_VALUE_OUT_OF_RANGE",
            "integer addition overflow: 2147483647 + 1",
        ),
        (
            "SELECT x * x FROM (VALUES (9223372036854775807)) t(x)",
            "NUMERIC_VALUE_OUT_OF_RANGE",
            "bigint multiplication overflow: 9223372036854775807 * 9223372036854775807",
        ),
        ("SELECT 1 / 0", "DIVISION_BY_ZERO", "Division by zero"),
        ("SELECT 1.0 / 0", "DIVISION_BY_ZERO", "Division by zero"),
        ("SELECT x % 0 FROM (VALUES (1)) t(x)", "DIVISION_BY_ZERO", "Division by zero"),
        (
            "SELECT 9223372036854775808",
            "INVALID_LITERAL",
            "line 1:8: Invalid numeric literal: 9223372036854775808",
        ),
    ])
    .await;
}

#[tokio::test]
async fn operands_that_do_not_fit_are_named_with_their_place() {
    check_failures(&[
        ("SELECT 1 = 'abc'", "TYPE_MISMATCH", "line 1:10: Cannot apply operator: integer = varchar(3)"),
        ("SELECT 1\n  , x + true FROM (VALUES (1)) t(x)", "TYPE_MISMATCH", "line 2:7: Cannot apply operator: integer + boolean"),
        ("SELECT DATE '2020-01-01' <> '2020-01-01'", "TYPE_MISMATCH", "line 1:26: Cannot apply operator: date <> varchar(10)"),
        ("SELECT count(*) FROM (VALUES (1)) a(x) JOIN (VALUES ('a')) b(y) ON (x) = y", "TYPE_MISMATCH", "line 1:72: Cannot apply operator: integer = varchar"),
        ("SELECT -'a'", "TYPE_MISMATCH", "line 1:8: Cannot negate varchar(1)"),
        ("SELECT 1 IN (1, 'a')", "TYPE_MISMATCH", "line 1:8: IN value and list items must be the same type or coercible to a common type. Cannot find common type between integer and varchar(1), all types (without duplicates): [integer, varchar(1)]"),
        ("SELECT 1 UNION SELECT 'a'", "TYPE_MISMATCH", "line 1:1: column 1 in UNION query has incompatible types: integer, varchar"),
        ("SELECT NOT 1", "TYPE_MISMATCH", "line 1:12: Value of logical NOT expression must evaluate to a boolean (actual: integer)"),
    ])
    .await;
}

#[tokio::test]
async fn casts_convert_as_trino_does() {
    check_rows(&[
        ("SELECT CAST(2.5 AS integer), CAST(-2.5e0 AS bigint), CAST('12' AS smallint)", "integer bigint smallint", "3 -3 12"),
        ("SELECT CAST(1e0 AS varchar), CAST(1.50 AS varchar), CAST(true AS varchar)", "varchar varchar varchar", "1.0E0 1.50 true"),
        ("SELECT CAST(DATE '2020-01-31' AS varchar)", "varchar", "2020-01-31"),
        ("SELECT CAST('abcdef' AS varchar(3)), CAST(1234 AS decimal(6,1)), CAST(1.25 AS decimal)", "varchar(3) decimal(6,1) decimal(38,0)", "abc 1234.0 1"),
        ("SELECT TRY_CAST('x' AS integer), TRY_CAST('1' AS tinyint), CAST(NULL AS boolean)", "integer tinyint boolean", "NULL 1 NULL"),
        ("SELECT DECIMAL '10', DECIMAL '-0.50', BIGINT '7', DOUBLE '1.5', BOOLEAN 'true'", "decimal(2,0) decimal(2,2) bigint double boolean", "10 -0.50 7 1.5 true"),
        ("SELECT CAST(x AS bigint) FROM (VALUES ('1'), (' 2 ')) t(x) WHERE CAST(x AS integer) = 2", "bigint", "2"),
        ("SELECT x FROM (VALUES (CAST(1 AS varchar)), ('b')) t(x)", "varchar", "1; b"),
        ("SELECT CAST('a  ' AS char(5)) = CAST('a' AS char(2))", "boolean", "true"),
    ])
    .await;
}

#[tokio::test]
async fn casts_that_cannot_be_are_errors() {
    check_failures(&[
        ("SELECT CAST('abc' AS bigint)", "INVALID_CAST_ARGUMENT", "Cannot cast 'abc' to BIGINT"),
        (
            "SELECT CAST(x AS tinyint) FROM (VALUES (300)) t(x)",
            "NUMERIC_VALUE_OUT_OF_RANGE",
            "Out of range for tinyint: 300",
        ),
        (
            "SELECT 1,\n CAST(x AS bigint) FROM (VALUES (DATE '2020-01-01')) t(x)",
            "TYPE_MISMATCH",
            "line 2:2: Cannot cast date to bigint",
        ),
        ("SELECT CAST(1 AS char(3))", "TYPE_MISMATCH", "line 1:8: Cannot cast integer to char(3)"),
        ("SELECT CAST(1 AS text)", "TYPE_NOT_FOUND", "line 1:13: Unknown type: text"),
        ("SELECT CAST(1 AS float)", "TYPE_NOT_FOUND", "line 1:13: Unknown type: float"),
        (
            "SELECT CAST(1 AS decimal(39))",
            "TYPE_MISMATCH",
            "line 1:13: Invalid decimal type: decimal(39,0)",
        ),
        ("SELECT DECIMAL 'x'", "INVALID_LITERAL", "line 1:16: 'x' is not a valid DECIMAL literal"),
        (
            "VALUES (1), ('a')",
            "TYPE_MISMATCH",
            "line 1:8: Values rows have mismatched types: integer vs varchar(1)",
        ),
    ])
    .await;
}

#[tokio::test]
async fn texts_have_their_length_in_their_type() {
    check_rows(&[
        ("SELECT 'abc', CAST(1 AS varchar(5)), 'a' || 'b', NULL", "varchar(3) varchar(5) varchar unknown", "abc 1 ab NULL"),
        ("SELECT x, upper(x), max(x) FROM (VALUES ('a'), ('bcd')) t(x) GROUP BY x ORDER BY x LIMIT 1", "varchar(3) varchar(3) varchar(3)", "a A a"),
        ("SELECT CASE WHEN true THEN 'a' ELSE 'bcd' END UNION ALL SELECT 'efghi'", "varchar(5)", "a; efghi"),
        ("SELECT coalesce(x, 'zz') FROM (VALUES ('a'), (NULL)) t(x)", "varchar(2)", "a; zz"),
        ("SELECT typeof(1), typeof('ab'), typeof(x), typeof(NULL) FROM (VALUES (1.5)) t(x)", "varchar varchar varchar varchar", "integer varchar(2) decimal(2,1) unknown"),
        ("SELECT CAST('abc' AS varchar), coalesce(CAST('a' AS varchar), 'b'), coalesce(CAST(NULL AS varchar), 'b'), TRY_CAST('x' AS varchar)", "varchar varchar varchar varchar", "abc a b x"),
        ("SELECT * FROM (VALUES (CAST('a' AS varchar)), ('bcd')) t(x)", "varchar", "a; bcd"),
        ("SELECT date_format(DATE '2020-01-02', CAST('%Y' AS varchar)), lower(CAST('A' AS varchar))", "varchar varchar", "2020 a"),
        ("SELECT CHAR 'ab ', CAST('x' AS char(3)), (SELECT 'abcd')", "char(3) char(3) varchar(4)", "ab x abcd"),
    ])
    .await;
}

#[tokio::test]
async fn choices_between_values() {
    check_rows(&[
        ("SELECT if(x > 1, 'big', 'small'), if(x > 1, x) FROM (VALUES (1), (2)) t(x)", "varchar(5) integer", "small NULL; big 2"),
        ("SELECT greatest(1, 2.5, 2), least(1, NULL), greatest('a', 'b')", "decimal(11,1) integer varchar(1)", "2.5 NULL b"),
        ("SELECT nullif(1, 1.0), nullif(1, 2), nullif('a', 'b')", "integer integer varchar(1)", "NULL 1 a"),
        ("SELECT x FROM (VALUES (1), (NULL), (2)) t(x) ORDER BY x DESC", "integer", "2; 1; NULL"),
        ("SELECT x, row_number() OVER (ORDER BY x DESC) FROM (VALUES (NULL), (1), (2)) t(x) ORDER BY 2", "integer bigint", "2 1; 1 2; NULL 3"),
        ("SELECT x FROM (VALUES (1), (2), (3)) t(x) ORDER BY x OFFSET 1 LIMIT 1", "integer", "2"),
        ("SELECT x FROM (VALUES (1), (2)) t(x) ORDER BY x LIMIT ALL", "integer", "1; 2"),
        ("SELECT x FROM (VALUES (1), (2), (3)) t(x) ORDER BY x OFFSET 1 ROW FETCH FIRST ROW ONLY", "integer", "2"),
        ("SELECT \"X\", T.\"x\" FROM (VALUES (1)) t(x)", "integer integer", "1 1"),
    ])
    .await;
    check_failures(&[
        ("SELECT coalesce(1)", "INVALID_FUNCTION_ARGUMENT", "line 1:8: The 'coalesce' function must have at least two arguments"),
        ("SELECT if(true, 1, 'a')", "TYPE_MISMATCH", "line 1:8: All CASE results must be the same type or coercible to a common type. Cannot find common type between integer and varchar(1), all types (without duplicates): [integer, varchar(1)]"),
    ])
    .await;
}

#[tokio::test]
async fn try_gives_null_for_what_fails() {
    check_rows(&[
        ("SELECT try(1 / x), try(10 / x + 1) FROM (VALUES (0), (2)) t(x)", "integer integer", "NULL NULL; 0 6"),
        ("SELECT try(CAST(x AS integer)) FROM (VALUES ('1'), ('a')) t(x)", "integer", "1; NULL"),
        ("SELECT coalesce(try(2147483647 + x), -1) FROM (VALUES (1), (0)) t(x)", "integer", "-1; 2147483647"),
        ("SELECT try(CASE WHEN x > 0 THEN 4 / (x - 1) ELSE 7 END) FROM (VALUES (1), (0), (3)) t(x)", "integer", "NULL; 7; 2"),
        ("SELECT x FROM (VALUES (0), (2)) t(x) WHERE try(4 / x) = 2", "integer", "2"),
    ])
    .await;
    check_failures(&[(
        "SELECT try(coalesce(1 / 0, 5))",
        "NOT_SUPPORTED",
        "TRY of an expression that gives a value for NULL is not supported",
    )])
    .await;
}

#[tokio::test]
async fn parameters_have_the_types_of_literals() {
    check_rows(&[
        ("EXECUTE IMMEDIATE 'SELECT ?, ? + 1, ? FROM (VALUES (1)) t(x) ORDER BY 1 LIMIT ?' USING 1, 1e0, -2.50, 5", "integer double decimal(3,2)", "1 2.0 -2.50"),
    ])
    .await;
}

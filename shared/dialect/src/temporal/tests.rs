#![allow(clippy::unwrap_used)]

use arrow::array::{Array, ArrayRef};
use arrow::util::display::array_value_to_string;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::prelude::SessionContext;
use waterbear_functions::{datetime, failure_of};
use waterbear_protocol::{ErrorCode, Failure};
use waterbear_types::TrinoType;

use crate::{ClientContext, Statement, configure, parse, plan_query};

/// Runs a query in a session of Brussels.
async fn run(sql: &str) -> Result<Vec<(String, String)>, Failure> {
    let state = configure(SessionStateBuilder::new_with_default_features()).build();
    let client =
        ClientContext { time_zone: Some("Europe/Brussels".into()), ..ClientContext::default() };
    let Statement::Query(query) = parse(sql)? else { panic!("{sql} is no query") };
    let planned = plan_query(&Statement::Query(query), &state, &client).await?;
    let failure = |error| failure_of(&error);
    let plan = state.create_physical_plan(&planned.plan).await.map_err(failure)?;
    let context = SessionContext::new_with_state(state);
    let batches =
        datafusion::physical_plan::collect(plan, context.task_ctx()).await.map_err(failure)?;
    let mut values = Vec::new();
    for batch in &batches {
        for row in 0..batch.num_rows() {
            for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
                values.push((TrinoType::of_field(field)?.listing(), text(column, row)?));
            }
        }
    }
    Ok(values)
}

fn text(column: &ArrayRef, row: usize) -> Result<String, Failure> {
    if column.is_null(row) {
        return Ok("NULL".to_owned());
    }
    match datetime::to_varchar(column) {
        Some(texts) => Ok(texts?.value(row).to_owned()),
        None => Ok(array_value_to_string(column, row).unwrap()),
    }
}

/// Checks type and text of one expression each.
async fn check(cases: &[(&str, &str, &str)]) {
    let mut wrong = Vec::new();
    for (expression, data_type, text) in cases {
        let found = run(&format!("SELECT {expression}")).await;
        if !matches!(found.as_deref(), Ok([(t, v)]) if t == data_type && v == text) {
            wrong.push(format!("{expression}: wanted {data_type} {text}, found {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Checks code and a part of the message of one expression each.
async fn check_failures(cases: &[(&str, ErrorCode, &str)]) {
    let mut wrong = Vec::new();
    for (expression, code, part) in cases {
        let found = run(&format!("SELECT {expression}")).await;
        if !matches!(&found, Err(failure) if failure.code == *code && failure.message.contains(part))
        {
            wrong.push(format!("{expression}: wanted {code:?} {part}, found {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn literals_have_the_type_that_they_are_written_in() {
    check(&[
        ("DATE '2001-08-22'", "date", "2001-08-22"),
        ("DATE '0001-01-01'", "date", "0001-01-01"),
        ("DATE '-0001-12-31'", "date", "-0001-12-31"),
        ("TIME '01:02:03'", "time(0)", "01:02:03"),
        ("TIME '01:02:03.456'", "time(3)", "01:02:03.456"),
        ("TIME '01:02:03.456789'", "time(6)", "01:02:03.456789"),
        ("TIMESTAMP '2001-08-22'", "timestamp(0)", "2001-08-22 00:00:00"),
        ("TIMESTAMP '2001-08-22 03:04'", "timestamp(0)", "2001-08-22 03:04:00"),
        ("TIMESTAMP '2001-08-22 03:04:05.321'", "timestamp(3)", "2001-08-22 03:04:05.321"),
        ("TIMESTAMP '2001-08-22 03:04:05.654321'", "timestamp(6)", "2001-08-22 03:04:05.654321"),
        (
            "TIMESTAMP '2001-08-22 03:04:05.123456789'",
            "timestamp(9)",
            "2001-08-22 03:04:05.123456789",
        ),
        (
            "TIMESTAMP '2001-08-22 03:04:05.321 America/Los_Angeles'",
            "timestamp(3) with time zone",
            "2001-08-22 03:04:05.321 America/Los_Angeles",
        ),
        (
            "TIMESTAMP '2001-08-22 03:04:05 -08:00'",
            "timestamp(0) with time zone",
            "2001-08-22 03:04:05 -08:00",
        ),
        (
            "TIMESTAMP '2001-08-22 03:04:05 Z'",
            "timestamp(0) with time zone",
            "2001-08-22 03:04:05 UTC",
        ),
        ("INTERVAL '2' DAY", "interval day to second", "2 00:00:00.000"),
        ("INTERVAL '2 01:02:03.4' DAY TO SECOND", "interval day to second", "2 01:02:03.400"),
        ("INTERVAL -'1' HOUR", "interval day to second", "-0 01:00:00.000"),
        ("- INTERVAL '1' HOUR", "interval day to second", "-0 01:00:00.000"),
        ("INTERVAL '1:30' HOUR TO MINUTE", "interval day to second", "0 01:30:00.000"),
        ("INTERVAL '1-2' YEAR TO MONTH", "interval year to month", "1-2"),
        ("INTERVAL '-14' MONTH", "interval year to month", "-1-2"),
    ])
    .await;
    check_failures(&[
        (
            "DATE '2001-02-30'",
            ErrorCode::INVALID_LITERAL,
            "line 1:13: '2001-02-30' is not a valid DATE literal",
        ),
        ("TIMESTAMP 'x'", ErrorCode::INVALID_LITERAL, "line 1:18: 'x' is not a valid TIMESTAMP"),
        ("TIMESTAMP '2001-01-01 00:00:00 Mars'", ErrorCode::INVALID_LITERAL, "TIMESTAMP"),
        ("TIME '25:00'", ErrorCode::INVALID_LITERAL, "TIME"),
        ("TIME '01:02:03+01:00'", ErrorCode::NOT_SUPPORTED, "time with time zone"),
        ("TIMESTAMP '2001-01-01 00:00:00.0123456789'", ErrorCode::NOT_SUPPORTED, "timestamp(10)"),
        ("INTERVAL '1-2' DAY", ErrorCode::INVALID_LITERAL, "line 1:17"),
        ("INTERVAL '1' WEEK", ErrorCode::NOT_SUPPORTED, "WEEK"),
    ])
    .await;
}

#[tokio::test]
async fn sums_and_differences_have_trinos_types() {
    check(
        &[
            ("DATE '2012-08-08' + INTERVAL '2' DAY", "date", "2012-08-10"),
            ("INTERVAL '2' DAY + DATE '2012-08-08'", "date", "2012-08-10"),
            ("DATE '2012-01-31' + INTERVAL '1' MONTH", "date", "2012-02-29"),
            ("DATE '2012-03-31' - INTERVAL '1' MONTH", "date", "2012-02-29"),
            ("TIME '01:00' + INTERVAL '3' HOUR", "time(3)", "04:00:00.000"),
            ("TIME '23:00' + INTERVAL '3' HOUR", "time(3)", "02:00:00.000"),
            (
                "TIMESTAMP '2012-08-08 01:00' + INTERVAL '29' HOUR",
                "timestamp(3)",
                "2012-08-09 06:00:00.000",
            ),
            (
                "TIMESTAMP '2012-10-31 01:00' + INTERVAL '1' MONTH",
                "timestamp(0)",
                "2012-11-30 01:00:00",
            ),
            (
                "TIMESTAMP '2012-10-28 01:30:00 Europe/Brussels' + INTERVAL '1' DAY",
                "timestamp(3) with time zone",
                "2012-10-29 00:30:00.000 Europe/Brussels",
            ),
            ("INTERVAL '2' DAY + INTERVAL '3' HOUR", "interval day to second", "2 03:00:00.000"),
            ("INTERVAL '3' YEAR - INTERVAL '5' MONTH", "interval year to month", "2-7"),
            ("INTERVAL '2' DAY * 3", "interval day to second", "6 00:00:00.000"),
            ("1.5 * INTERVAL '2' DAY", "interval day to second", "3 00:00:00.000"),
            ("INTERVAL '3' YEAR / 2", "interval year to month", "1-6"),
            ("DATE '2012-08-08' - DATE '2012-08-01'", "interval day to second", "7 00:00:00.000"),
            (
                "TIMESTAMP '2012-08-08 01:00' - TIMESTAMP '2012-08-07 00:00:00.500'",
                "interval day to second",
                "1 00:59:59.500",
            ),
        ][..15],
    )
    .await;
    check_failures(&[
        ("DATE '2012-08-08' + 1", ErrorCode::TYPE_MISMATCH, "Cannot apply operator: date + "),
        ("1 + DATE '2012-08-08'", ErrorCode::TYPE_MISMATCH, " + date"),
        ("DATE '2012-08-08' + DATE '2012-08-08'", ErrorCode::TYPE_MISMATCH, "date + date"),
        ("INTERVAL '1' DAY + INTERVAL '1' MONTH", ErrorCode::TYPE_MISMATCH, "interval"),
        ("INTERVAL '1' DAY < INTERVAL '1' MONTH", ErrorCode::TYPE_MISMATCH, "interval"),
        ("DATE '2012-08-08' = '2012-08-08'", ErrorCode::TYPE_MISMATCH, "date = varchar"),
        (
            "DATE '2012-08-08' + INTERVAL '1' HOUR",
            ErrorCode::INVALID_FUNCTION_ARGUMENT,
            "Cannot add hour",
        ),
        ("TIME '01:00' + INTERVAL '1' MONTH", ErrorCode::TYPE_MISMATCH, "time(0) + interval"),
        ("INTERVAL '1' DAY / 0", ErrorCode::DIVISION_BY_ZERO, "zero"),
    ])
    .await;
}

#[tokio::test]
async fn values_compare_as_what_they_are() {
    for condition in [
        "INTERVAL '24' HOUR = INTERVAL '1' DAY",
        "INTERVAL '1' YEAR > INTERVAL '11' MONTH",
        "DATE '2020-01-01' < TIMESTAMP '2020-01-01 00:00:01'",
        "DATE '9999-12-31' > TIMESTAMP '2020-01-01 00:00:00'",
        "TIMESTAMP '2020-01-01 00:00:00 UTC' = TIMESTAMP '2020-01-01 01:00:00.000 Europe/Brussels'",
        "TIMESTAMP '2020-01-01 01:00:00' = TIMESTAMP '2020-01-01 00:00:00 UTC'",
        "DATE '2020-01-01' = TIMESTAMP '2019-12-31 23:00:00 UTC'",
        "TIMESTAMP '2020-01-01 00:00:00' BETWEEN DATE '2020-01-01' AND DATE '2020-01-02'",
        "TIMESTAMP '2020-01-01 00:00:00' IN (DATE '2020-01-01')",
        "TIME '01:00:00' = TIME '01:00:00.000000'",
        "DATE '2020-01-01' IS DISTINCT FROM TIMESTAMP '2020-01-01 00:00:01'",
        "TIMESTAMP '2020-01-01 00:00:00' = TIMESTAMP '2020-01-01 00:00:00.000000000'",
    ] {
        check(&[(condition, "boolean", "true")]).await;
    }
}

#[tokio::test]
async fn a_column_has_one_zone() {
    let utc = "TIMESTAMP '2020-01-01 00:00:00 UTC'";
    let tokyo = "TIMESTAMP '2020-01-01 00:00:00 Asia/Tokyo'";
    let plain = "TIMESTAMP '2020-01-01 00:00:00'";
    for (left, right) in [(utc, tokyo), (utc, plain), (plain, tokyo)] {
        for query in [
            format!("SELECT {left} UNION ALL SELECT {right}"),
            format!("SELECT coalesce({left}, {right})"),
            format!("SELECT CASE WHEN true THEN {left} ELSE {right} END"),
            format!("VALUES ({left}), ({right})"),
        ] {
            let failure = run(&query).await.expect_err(&query);
            assert_eq!(failure.code, ErrorCode::NOT_SUPPORTED, "{query}: {failure}");
        }
    }
    let zoned = run(&format!("SELECT {tokyo} UNION SELECT {tokyo}")).await.unwrap();
    assert_eq!(zoned[0].1, "2020-01-01 00:00:00 Asia/Tokyo");
}

#[tokio::test]
async fn zones_are_for_display_and_for_reading() {
    check(&[
        (
            "TIMESTAMP '2012-10-31 01:00 UTC' AT TIME ZONE 'America/Los_Angeles'",
            "timestamp(0) with time zone",
            "2012-10-30 18:00:00 America/Los_Angeles",
        ),
        (
            "TIMESTAMP '2012-10-31 01:00' AT TIME ZONE 'UTC'",
            "timestamp(0) with time zone",
            "2012-10-31 00:00:00 UTC",
        ),
        (
            "TIMESTAMP '2012-10-31 01:00 UTC' AT TIME ZONE INTERVAL '-08:00' HOUR TO MINUTE",
            "timestamp(0) with time zone",
            "2012-10-30 17:00:00 -08:00",
        ),
        (
            "at_timezone(TIMESTAMP '2012-10-31 01:00 UTC', '+02:00')",
            "timestamp(0) with time zone",
            "2012-10-31 03:00:00 +02:00",
        ),
        (
            "with_timezone(TIMESTAMP '2021-08-01 08:10:11.123', 'America/New_York')",
            "timestamp(3) with time zone",
            "2021-08-01 08:10:11.123 America/New_York",
        ),
        ("timezone_hour(TIMESTAMP '2001-08-22 03:04:05 -08:30')", "bigint", "-8"),
        ("timezone_minute(TIMESTAMP '2001-08-22 03:04:05 -08:30')", "bigint", "-30"),
        ("current_timezone()", "varchar", "Europe/Brussels"),
        (
            "from_unixtime(0)",
            "timestamp(3) with time zone",
            "1970-01-01 01:00:00.000 Europe/Brussels",
        ),
        ("from_unixtime(1.5, 'UTC')", "timestamp(3) with time zone", "1970-01-01 00:00:01.500 UTC"),
        (
            "from_unixtime(0, -8, 30)",
            "timestamp(3) with time zone",
            "1969-12-31 16:30:00.000 -07:30",
        ),
        ("to_unixtime(TIMESTAMP '1970-01-01 00:00:01.500 UTC')", "double", "1.5"),
        (
            "CAST(TIMESTAMP '2020-06-01 00:00:00' AS timestamp with time zone)",
            "timestamp(3) with time zone",
            "2020-06-01 00:00:00.000 Europe/Brussels",
        ),
        (
            "CAST(TIMESTAMP '2020-06-01 00:00:00 UTC' AS timestamp(0) with time zone)",
            "timestamp(0) with time zone",
            "2020-06-01 00:00:00 UTC",
        ),
        ("CAST(TIMESTAMP '2020-06-01 23:00:00 Asia/Tokyo' AS date)", "date", "2020-06-01"),
        (
            "CAST(TIMESTAMP '2020-06-01 23:00:00 Asia/Tokyo' AS timestamp)",
            "timestamp(3)",
            "2020-06-01 23:00:00.000",
        ),
        (
            "CAST('2020-06-01 23:00:00 Asia/Tokyo' AS timestamp with time zone)",
            "timestamp(3) with time zone",
            "2020-06-01 23:00:00.000 Asia/Tokyo",
        ),
        (
            "CAST('2020-06-01 23:00:00.5678' AS timestamp(3))",
            "timestamp(3)",
            "2020-06-01 23:00:00.568",
        ),
        ("CAST(' 2020-06-01 ' AS date)", "date", "2020-06-01"),
        ("TRY_CAST('x' AS date)", "date", "NULL"),
        ("CAST(TIMESTAMP '2020-06-01 23:59:59.999999' AS time(3))", "time(3)", "00:00:00.000"),
        ("CAST(DATE '2020-06-01' AS varchar)", "varchar", "2020-06-01"),
        (
            "CAST(TIMESTAMP '2020-06-01 01:02:03.456' AS varchar)",
            "varchar",
            "2020-06-01 01:02:03.456",
        ),
    ])
    .await;
    check_failures(&[
        ("CAST('x' AS date)", ErrorCode::INVALID_CAST_ARGUMENT, "Value cannot be cast to date: x"),
        ("CAST(1 AS date)", ErrorCode::TYPE_MISMATCH, "Cannot cast"),
        (
            "CAST(DATE '2020-01-01' AS bigint)",
            ErrorCode::TYPE_MISMATCH,
            "Cannot cast date to bigint",
        ),
        ("CAST('x' AS timestamp(2))", ErrorCode::NOT_SUPPORTED, "timestamp(2)"),
        ("TIMESTAMP '2012-10-31 01:00' AT TIME ZONE 'Mars'", ErrorCode::NOT_SUPPORTED, "Mars"),
        ("current_time", ErrorCode::NOT_SUPPORTED, "current_time"),
        (
            "EXTRACT(century FROM DATE '2020-01-01')",
            ErrorCode::SYNTAX_ERROR,
            "Invalid EXTRACT field",
        ),
        ("year('2020-01-01')", ErrorCode::FUNCTION_NOT_FOUND, "Unexpected parameters (varchar"),
    ])
    .await;
}

#[tokio::test]
async fn now_is_the_same_everywhere_in_a_query() {
    let rows =
        run("SELECT current_timestamp = now(), CAST(current_timestamp AS date) = current_date, \
         CAST(current_timestamp(6) AS timestamp(6)) = localtimestamp(6), \
         CAST(localtimestamp AS time) = localtime")
        .await
        .unwrap();
    assert!(rows.iter().all(|(_, value)| value == "true"), "{rows:?}");
    let rows = run("SELECT current_timestamp, current_timestamp(0), localtime(6)").await.unwrap();
    let types: Vec<&str> = rows.iter().map(|(data_type, _)| data_type.as_str()).collect();
    assert_eq!(types, ["timestamp(3) with time zone", "timestamp(0) with time zone", "time(6)"]);
    assert!(rows[0].1.ends_with(" Europe/Brussels"));
}

#[tokio::test]
async fn functions_give_what_the_documentation_says() {
    let at = "TIMESTAMP '2020-05-30 03:04:05.321'";
    let cases = [
        ("year({at})", "bigint", "2020"),
        ("quarter({at})", "bigint", "2"),
        ("month({at})", "bigint", "5"),
        ("week({at})", "bigint", "22"),
        ("week_of_year(DATE '2021-01-01')", "bigint", "53"),
        ("yow(DATE '2021-01-01')", "bigint", "2020"),
        ("day({at})", "bigint", "30"),
        ("day_of_month(DATE '2020-05-30')", "bigint", "30"),
        ("day_of_week({at})", "bigint", "6"),
        ("dow(DATE '2020-05-31')", "bigint", "7"),
        ("EXTRACT(DOW FROM DATE '2020-05-31')", "bigint", "7"),
        ("EXTRACT(DAY_OF_WEEK FROM DATE '2020-06-01')", "bigint", "1"),
        ("EXTRACT(YEAR FROM DATE '2020-06-01')", "bigint", "2020"),
        ("doy({at})", "bigint", "151"),
        ("hour({at})", "bigint", "3"),
        ("minute({at})", "bigint", "4"),
        ("second({at})", "bigint", "5"),
        ("millisecond({at})", "bigint", "321"),
        ("hour(TIME '03:04')", "bigint", "3"),
        ("day(INTERVAL '2 03:04' DAY TO MINUTE)", "bigint", "2"),
        ("hour(INTERVAL '2 03:04' DAY TO MINUTE)", "bigint", "3"),
        ("year(INTERVAL '3-2' YEAR TO MONTH)", "bigint", "3"),
        ("hour(TIMESTAMP '2020-05-30 03:04:05 America/Los_Angeles')", "bigint", "3"),
        ("date_trunc('second', {at})", "timestamp(3)", "2020-05-30 03:04:05.000"),
        ("date_trunc('hour', {at})", "timestamp(3)", "2020-05-30 03:00:00.000"),
        ("date_trunc('WEEK', {at})", "timestamp(3)", "2020-05-25 00:00:00.000"),
        ("date_trunc('quarter', DATE '2020-05-30')", "date", "2020-04-01"),
        ("date_trunc('year', DATE '2020-05-30')", "date", "2020-01-01"),
        ("date_trunc('minute', TIME '01:02:03')", "time(0)", "01:02:00"),
        (
            "date_trunc('day', TIMESTAMP '2020-05-30 03:04:05 Asia/Tokyo')",
            "timestamp(0) with time zone",
            "2020-05-30 00:00:00 Asia/Tokyo",
        ),
        (
            "date_add('second', 86, TIMESTAMP '2020-03-01 00:00:00')",
            "timestamp(0)",
            "2020-03-01 00:01:26",
        ),
        (
            "date_add('hour', 9, TIMESTAMP '2020-03-01 00:00:00')",
            "timestamp(0)",
            "2020-03-01 09:00:00",
        ),
        ("date_add('month', 1, DATE '2020-01-31')", "date", "2020-02-29"),
        ("date_add('week', -1, DATE '2020-01-31')", "date", "2020-01-24"),
        ("date_add('hour', -1, TIME '00:30')", "time(0)", "23:30:00"),
        (
            "date_diff('second', TIMESTAMP '2020-03-01 00:00:00', TIMESTAMP '2020-03-02 00:00:00')",
            "bigint",
            "86400",
        ),
        (
            "date_diff('hour', TIMESTAMP '2020-03-01 00:00:00 UTC', TIMESTAMP '2020-03-02 00:00:00 UTC')",
            "bigint",
            "24",
        ),
        ("date_diff('day', DATE '2020-03-01', DATE '2020-03-02')", "bigint", "1"),
        ("date_diff('month', DATE '2020-01-31', DATE '2020-02-29')", "bigint", "1"),
        ("date_diff('month', DATE '2020-01-31', DATE '2020-02-28')", "bigint", "0"),
        ("date_diff('month', DATE '2020-03-31', DATE '2020-02-29')", "bigint", "-1"),
        ("date_diff('year', DATE '2020-02-29', DATE '2021-02-28')", "bigint", "1"),
        (
            "date_diff('day', TIMESTAMP '2020-03-01 12:00:00', TIMESTAMP '2020-03-02 11:00:00')",
            "bigint",
            "0",
        ),
        ("last_day_of_month(DATE '2020-02-01')", "date", "2020-02-29"),
        ("date(TIMESTAMP '2020-02-01 12:00:00')", "date", "2020-02-01"),
        ("date('2020-02-01')", "date", "2020-02-01"),
        ("to_iso8601({at})", "varchar", "2020-05-30T03:04:05.321"),
        ("to_iso8601(TIMESTAMP '2020-05-30 03:04:05 UTC')", "varchar", "2020-05-30T03:04:05Z"),
        (
            "to_iso8601(TIMESTAMP '2020-05-30 03:04:05 Europe/Brussels')",
            "varchar",
            "2020-05-30T03:04:05+02:00",
        ),
        ("to_iso8601(DATE '2020-05-30')", "varchar", "2020-05-30"),
        ("from_iso8601_date('2020-05-11')", "date", "2020-05-11"),
        ("from_iso8601_date('2020-W10')", "date", "2020-03-02"),
        ("from_iso8601_date('2020-123')", "date", "2020-05-02"),
        (
            "from_iso8601_timestamp('2020-05-11')",
            "timestamp(3) with time zone",
            "2020-05-11 00:00:00.000 Europe/Brussels",
        ),
        (
            "from_iso8601_timestamp('2020-05-11T11:15:05')",
            "timestamp(3) with time zone",
            "2020-05-11 11:15:05.000 Europe/Brussels",
        ),
        (
            "from_iso8601_timestamp('2020-05-11T11:15:05.055+01:00')",
            "timestamp(3) with time zone",
            "2020-05-11 11:15:05.055 +01:00",
        ),
        ("date_format({at}, '%Y-%m-%d %H:%i:%s.%f')", "varchar", "2020-05-30 03:04:05.321000"),
        (
            "date_format({at}, '%a %b %c %e %j %y %W %M %p %r')",
            "varchar",
            "Sat May 5 30 151 20 Saturday May AM 03:04:05 AM",
        ),
        ("date_parse('2022/10/20/05', '%Y/%m/%d/%H')", "timestamp(3)", "2022-10-20 05:00:00.000"),
        ("date_parse('20200101', '%Y%m%d')", "timestamp(3)", "2020-01-01 00:00:00.000"),
        (
            "format_datetime({at}, 'yyyy-MM-dd''T''HH:mm:ss.SSS')",
            "varchar",
            "2020-05-30T03:04:05.321",
        ),
        (
            "format_datetime(TIMESTAMP '2020-01-30 03:04:05 Europe/Brussels', 'E MMM d h:mm a ZZ z')",
            "varchar",
            "Thu Jan 30 3:04 AM +01:00 CET",
        ),
        (
            "parse_datetime('2020-05-30 03:04', 'yyyy-MM-dd HH:mm')",
            "timestamp(3) with time zone",
            "2020-05-30 03:04:00.000 Europe/Brussels",
        ),
        (
            "parse_datetime('2020-05-30 03:04 +0100', 'yyyy-MM-dd HH:mm Z')",
            "timestamp(3) with time zone",
            "2020-05-30 03:04:00.000 +01:00",
        ),
        ("human_readable_seconds(93784)", "varchar", "1 day, 2 hours, 3 minutes, 4 seconds"),
        ("human_readable_seconds(0)", "varchar", "0 seconds"),
        ("parse_duration('3.81 d')", "interval day to second", "3 19:26:24.000"),
        ("to_milliseconds(INTERVAL '1' SECOND)", "bigint", "1000"),
        ("year(CAST(NULL AS date))", "bigint", "NULL"),
        ("CAST(NULL AS date) + INTERVAL '1' DAY", "date", "NULL"),
    ];
    let cases = cases.map(|(call, data_type, text)| (call.replace("{at}", at), data_type, text));
    let cases: Vec<_> = cases.iter().map(|(call, t, v)| (call.as_str(), *t, *v)).collect();
    check(&cases).await;
    check_failures(&[
        (
            "date_trunc('hour', DATE '2020-01-01')",
            ErrorCode::INVALID_FUNCTION_ARGUMENT,
            "'hour' is not a valid DATE field",
        ),
        (
            "date_format(DATE '2020-01-01', '%D')",
            ErrorCode::INVALID_FUNCTION_ARGUMENT,
            "%D not supported in date format string",
        ),
        (
            "date_parse('2020-x', '%Y-%m')",
            ErrorCode::INVALID_FUNCTION_ARGUMENT,
            "Invalid format: \"2020-x\" is malformed at \"x\"",
        ),
        (
            "format_datetime(TIMESTAMP '2020-01-01 00:00:00', 'J')",
            ErrorCode::INVALID_FUNCTION_ARGUMENT,
            "Illegal pattern component: J",
        ),
        (
            "date_add('year', 300000, DATE '2020-01-01')",
            ErrorCode::NUMERIC_VALUE_OUT_OF_RANGE,
            "date",
        ),
    ])
    .await;
}

#[tokio::test]
async fn constant_dates_fold_before_tables_are_read() {
    let state = configure(SessionStateBuilder::new_with_default_features()).build();
    let sql = "SELECT d FROM (VALUES (DATE '1998-01-01'), (DATE '1999-01-01')) t(d) \
               WHERE d <= DATE '1998-12-01' - INTERVAL '90' DAY";
    let (statement, client) = (parse(sql).unwrap(), ClientContext::default());
    let planned = plan_query(&statement, &state, &client).await.unwrap();
    let optimized = state.optimize(&planned.plan).unwrap();
    let text = optimized.to_string();
    assert!(text.contains("Filter: column1 <= Date32(\"1998-09-02\")"), "{text}");
}

#[tokio::test]
async fn windows_are_bounded_by_intervals() {
    let rows = run(
        "SELECT count(*) OVER (ORDER BY d RANGE BETWEEN INTERVAL '1' DAY PRECEDING AND CURRENT ROW) \
         FROM (VALUES (DATE '2020-01-01'), (DATE '2020-01-02'), (DATE '2020-01-04')) t(d) ORDER BY d",
    )
    .await
    .unwrap();
    let counts: Vec<&str> = rows.iter().map(|(_, value)| value.as_str()).collect();
    assert_eq!(counts, ["1", "2", "1"]);
}

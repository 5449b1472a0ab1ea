//! The types of columns, and values that are none of them.

use arrow::array::{
    BinaryArray, Decimal256Array, DictionaryArray, Float16Array, LargeStringArray, ListArray,
    UInt8Array, UInt16Array, UInt32Array, UInt64Array,
};
use arrow::datatypes::{Int32Type, UInt8Type, i256};

use super::*;

#[tokio::test]
async fn columns_of_parquet_have_types_with_all_their_values() {
    let (folder, connector) = lake();
    let words: DictionaryArray<Int32Type> = ["x", "y"].into_iter().collect();
    let lists = ListArray::from_iter_primitive::<UInt8Type, _, _>([Some([Some(255)]), None]);
    let wide = Decimal256Array::from(vec![i256::from(150), i256::from(-1)]);
    let half = Float16Array::from(vec![None, None]);
    write(
        &folder.path().join("hr/t/a.parquet"),
        vec![
            ("u8", Arc::new(UInt8Array::from(vec![255, 1])) as ArrayRef),
            ("u16", Arc::new(UInt16Array::from(vec![u16::MAX, 1]))),
            ("u32", Arc::new(UInt32Array::from(vec![u32::MAX, 1]))),
            ("u64", Arc::new(UInt64Array::from(vec![u64::MAX, 1]))),
            ("d", Arc::new(words)),
            ("l", Arc::new(lists)),
            ("w", Arc::new(wide.with_precision_and_scale(30, 2).unwrap())),
            ("h", Arc::new(half)),
        ],
    );
    let table = open(&connector, "t").await;
    assert_eq!(
        types(table.as_ref()),
        [
            "u8 smallint",
            "u16 integer",
            "u32 bigint",
            "u64 decimal(20,0)",
            "d varchar",
            "l array(smallint)",
            "w decimal(30,2)",
            "h real"
        ]
    );
    let sql = "select u8 + u8 as a, u16 + u16 as b, u32 + u32 as c, u64, d, l, w from t \
               where u32 > 1 and u8 = 255 and d = 'x'";
    let answer = query(table.as_ref(), sql).await;
    let row = "| 510 | 131070 | 8589934590 | 18446744073709551615 | x | [255] | 1.50 |";
    assert!(answer.contains(row), "{answer}");

    let too_wide = Decimal256Array::from(vec![i256::from(1)]);
    let too_wide = too_wide.with_precision_and_scale(50, 2).unwrap();
    write(&folder.path().join("hr/wide/a.parquet"), vec![("w", Arc::new(too_wide))]);
    let message = error(&connector, "wide").await;
    assert!(message.contains("column w has type Decimal256(50, 2), which SQL lacks"), "{message}");
}

#[tokio::test]
async fn files_may_store_one_type_in_several_ways() {
    let (folder, connector) = lake();
    let root = folder.path().join("hr/t");
    let words: DictionaryArray<Int32Type> = ["x"].into_iter().collect();
    write(&root.join("a.parquet"), vec![("a", Arc::new(words))]);
    write(&root.join("b.parquet"), vec![("a", Arc::new(StringArray::from(vec!["y"])))]);
    write(&root.join("c.parquet"), vec![("a", Arc::new(LargeStringArray::from(vec!["z"])))]);
    let table = open(&connector, "t").await;
    let answer = query(table.as_ref(), "select max(a) as m, count(*) as n from t").await;
    assert!(answer.contains("| z | 3 |"), "{answer}");
    let bytes: ArrayRef = Arc::new(BinaryArray::from(vec![b"x".as_slice()]));
    write(&root.join("d.parquet"), vec![("a", bytes)]);
    assert!(error(&connector, "t").await.contains("column a is BinaryView, not Utf8View"));
}

#[tokio::test]
async fn an_empty_file_hides_no_statistics() {
    let (folder, connector) = lake();
    write(&folder.path().join("hr/t/a.parquet"), people(&[3, 7]));
    write(&folder.path().join("hr/t/b.parquet"), people(&[]));
    let table = open(&connector, "t").await;
    let context = SessionContext::new();
    let plan = table.provider().scan(&context.state(), None, &[], None).await.unwrap();
    let statistics = plan.statistics_from_inputs(&[], &Default::default()).unwrap();
    assert_eq!(statistics.num_rows, Precision::Exact(2));
    assert_eq!(statistics.column_statistics[0].max_value, Precision::Exact(7_i64.into()));
}

/// Reads a JSON file as a worker does: a row that all later ones should be like, a thousand times,
/// and one more.
async fn last_row(usual: &str, last: &str) -> Result<String, String> {
    let (folder, connector) = lake();
    let usual = format!("{usual}\n").repeat(1000);
    text(&folder.path().join("hr/t/a.json"), &format!("{usual}{last}"));
    let table = open(&connector, "t").await;
    let context = SessionContext::new();
    let plan = table.provider().scan(&context.state(), None, &[], None).await.unwrap();
    let plan = guarded(plan, &context.runtime_env()).unwrap();
    let batches = datafusion::physical_plan::collect(plan, context.task_ctx()).await;
    let batches = batches.map_err(|error| error.to_string())?;
    let last = pretty_format_batches(&batches).unwrap().to_string();
    Ok(last.lines().rev().nth(1).unwrap().to_owned())
}

#[tokio::test]
async fn later_json_that_does_not_fit_fails_the_query() {
    for (usual, last, expected) in [
        (
            r#"{"a": 1}"#,
            r#"{"a": 1.5}"#,
            "a: 1.5 does not fit a column that the first rows make bigint",
        ),
        (r#"{"a": 1}"#, r#"{"a": "12"}"#, "a: the text \"12\" does not fit"),
        (r#"{"a": 1}"#, r#"{"a": 9223372036854775808}"#, "a: 9223372036854775808 does not fit"),
        (r#"{"a": 1.5}"#, r#"{"a": "1.5"}"#, "a: the text \"1.5\" does not fit"),
        (r#"{"a": "x"}"#, r#"{"a": [1]}"#, "a: an array does not fit"),
        (r#"{"a": 1}"#, r#"{"a": 1, "zz": 5}"#, "the key \"zz\" is in none of the first rows"),
        (r#"{"a": {"x": 1}}"#, r#"{"a": {"y": 1}}"#, "a: the key \"y\" is in none"),
        (r#"{"a": [1]}"#, r#"{"a": [1.5]}"#, "a: 1.5 does not fit"),
        (r#"{"a": 1}"#, r#"{"a": 1} {"a": 2}"#, "trailing characters"),
        (r#"{"a": 1}"#, r#"{"a": 1"#, "EOF while parsing"),
    ] {
        let message = last_row(usual, last).await.unwrap_err();
        assert!(message.contains(expected), "{message}");
        assert!(message.contains("hr/t/a.json: "), "{message}");
    }
    for (usual, last, expected) in [
        (r#"{"a": 1.5}"#, r#"{"a": 2}"#, "| 2.0 |"),
        (r#"{"a": "x"}"#, r#"{"a": 1.50}"#, "| 1.50 |"),
        (r#"{"a": "x"}"#, r#"{"a": true}"#, "| true |"),
        (r#"{"a": 1}"#, "{}\n\n", "|   |"),
    ] {
        // The hidden columns follow.
        let row = last_row(usual, last).await.unwrap().replace(' ', "");
        assert!(row.starts_with(&expected.replace(' ', "")), "{row}");
    }
}

#[tokio::test]
async fn types_can_read_the_rows_that_they_come_from() {
    let (folder, connector) = lake();
    let root = folder.path().join("hr");
    text(&root.join("mixed/a.json"), "\u{feff}{\"a\": 1}\n{\"a\": \"x\"}\n{\"a\": true}\n");
    text(&root.join("mixed/b.json"), "{\"a\": null, \"b\": [null]}\n");
    let table = open(&connector, "mixed").await;
    assert_eq!(types(table.as_ref()), ["a varchar", "b array(varchar)"]);
    text(&root.join("day/a.csv"), "d,e\n2020-01-01,2020-01-01\n2020-02-30,2020-02-29\n");
    let table = open(&connector, "day").await;
    assert_eq!(types(table.as_ref()), ["d varchar", "e date"]);
    let answer = query(table.as_ref(), "select d from t where e > date '2020-02-01'").await;
    assert!(answer.contains("| 2020-02-30 |"), "{answer}");
    for (rows, expected) in [
        ("{\"a\": 1}\n{\"a\": [1]}\n", "line 2: a: an array here and a scalar in another row"),
        ("{\"a\": {}}\n", "a has only objects without keys"),
        ("[1]\n", "line 1: it is no JSON object"),
        ("{\"$path\": 1}\n", "a column is named $path, which each table has for itself"),
    ] {
        text(&root.join("bad/a.json"), rows);
        let message = error(&connector, "bad").await;
        assert!(message.contains(expected), "{message}");
    }
    text(&root.join("blank/a.csv"), "\n\n");
    assert!(error(&connector, "blank").await.ends_with("blank/a.csv: it has no header"));
}

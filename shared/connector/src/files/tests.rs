use std::{collections::BTreeMap, fs, fs::File, path::Path, sync::Arc};

use arrow::{
    array::{ArrayRef, DurationSecondArray, Int32Array, Int64Array, RecordBatch, StringArray},
    util::pretty::pretty_format_batches,
};
use datafusion::{
    common::stats::Precision, datasource::source::DataSourceExec, parquet::arrow::ArrowWriter,
    prelude::SessionContext,
};
use tempfile::TempDir;

use super::guarded;
use crate::{
    connector::{Connector, ConnectorError, ConnectorTable},
    create,
};

mod changes;
mod types;

fn catalog(location: &str) -> Result<Arc<dyn Connector>, Vec<String>> {
    let properties = [("files.location".to_owned(), location.to_owned())];
    create("lake", "files", &BTreeMap::from(properties))
}

fn lake() -> (TempDir, Arc<dyn Connector>) {
    let folder = TempDir::new().unwrap();
    let connector = catalog(folder.path().to_str().unwrap()).unwrap();
    (folder, connector)
}

fn write(file: &Path, columns: Vec<(&str, ArrayRef)>) {
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut writer =
        ArrowWriter::try_new(File::create(file).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

fn people(ids: &[i64]) -> Vec<(&'static str, ArrayRef)> {
    let names = StringArray::from_iter_values(ids.iter().map(|id| format!("name {id}")));
    vec![("id", Arc::new(Int64Array::from(ids.to_vec()))), ("name", Arc::new(names))]
}

async fn query(table: &dyn ConnectorTable, sql: &str) -> String {
    let context = SessionContext::new();
    context.register_table("t", table.provider()).unwrap();
    let batches = context.sql(sql).await.unwrap().collect().await.unwrap();
    pretty_format_batches(&batches).unwrap().to_string()
}

async fn error(connector: &Arc<dyn Connector>, table: &str) -> String {
    connector.table("hr", table).await.map(|_| ()).unwrap_err().to_string()
}

#[tokio::test]
async fn tables_are_folders_of_parquet_files() {
    let (folder, connector) = lake();
    let root = folder.path();
    write(&root.join("HR/People/a.parquet"), people(&[1, 2]));
    write(&root.join("HR/People/2026/x*[1]? 100%.parquet"), people(&[3]));
    write(&root.join("HR/People/_tmp.parquet"), people(&[4]));
    write(&root.join("HR/People/.hidden/b.parquet"), people(&[5]));
    fs::write(root.join("HR/People/notes.txt"), "no data").unwrap();
    fs::create_dir_all(root.join("HR/empty")).unwrap();
    fs::create_dir_all(root.join("_trash/t")).unwrap();
    fs::write(root.join("readme"), "no folder").unwrap();

    assert_eq!(connector.schemas().await.unwrap(), ["hr"]);
    assert_eq!(connector.tables("hr").await.unwrap(), ["empty", "people"]);
    let table = connector.table("hr", "people").await.unwrap().unwrap();
    let described: Vec<_> = table
        .columns()
        .iter()
        .map(|c| (c.name.as_str(), c.trino_type.as_str(), c.nullable))
        .collect();
    assert_eq!(described[..2], [("id", "bigint", true), ("name", "varchar", true)]);
    assert_eq!(
        described[2..],
        [
            ("$path", "varchar", false),
            ("$file_size", "bigint", false),
            ("$file_modified_time", "timestamp(3) with time zone", false)
        ]
    );
    assert!(table.columns()[2..].iter().all(|column| column.hidden));
    let answer = query(table.as_ref(), "select id, name from t where id > 1 order by id").await;
    assert!(answer.contains("| 3  | name 3 |") && !answer.contains("name 1"), "{answer}");
    let answer = query(table.as_ref(), "select count(*) as n from t").await;
    assert!(answer.contains("| 3 |"), "{answer}");
}

#[tokio::test]
async fn scan_is_datafusions_own_with_statistics() {
    let (folder, connector) = lake();
    for i in 0..3 {
        write(&folder.path().join(format!("hr/people/{i}.parquet")), people(&[i, i + 10]));
    }
    let table = connector.table("hr", "people").await.unwrap().unwrap();
    let context = SessionContext::new();
    let plan = table.provider().scan(&context.state(), None, &[], None).await.unwrap();
    assert!(plan.downcast_ref::<DataSourceExec>().is_some());
    let statistics = plan.statistics_from_inputs(&[], &Default::default()).unwrap();
    assert_eq!(statistics.num_rows, Precision::Exact(6));
}

#[tokio::test]
async fn names_cannot_lead_out_of_the_location() {
    let (folder, connector) = lake();
    let secret = TempDir::new_in(folder.path().parent().unwrap()).unwrap();
    write(&secret.path().join("t/a.parquet"), people(&[1]));
    write(&folder.path().join("hr/people/a.parquet"), people(&[1]));
    let outside = secret.path().file_name().unwrap().to_str().unwrap();
    for schema in ["..", ".", "", "/", "/tmp", "hr/people", "hr/..", &format!("../{outside}")] {
        for result in
            [connector.tables(schema).await.err(), connector.table(schema, "t").await.err()]
        {
            assert!(matches!(result, Some(ConnectorError::SchemaNotFound { .. })), "{schema}");
        }
    }
    for table in ["..", ".", "", "/", "../hr/people", "people/", &format!("../../{outside}/t")] {
        assert!(connector.table("hr", table).await.unwrap().is_none(), "{table}");
    }
}

#[tokio::test]
async fn columns_in_mixed_case_are_read_in_lower_case() {
    let (folder, connector) = lake();
    let ids: ArrayRef = Arc::new(Int32Array::from(vec![1, 2]));
    let names: ArrayRef = Arc::new(StringArray::from(vec!["a", "b"]));
    write(&folder.path().join("hr/t/a.parquet"), vec![("CustomerId", ids), ("name", names)]);
    let table = connector.table("hr", "t").await.unwrap().unwrap();
    assert_eq!(table.columns()[0].name, "customerid");
    assert_eq!(table.provider().schema().field(0).name(), "customerid");
    let sql = "select name, customerid from t where customerid = 2";
    assert!(query(table.as_ref(), sql).await.contains("| b    | 2          |"));
}

#[tokio::test]
async fn files_that_do_not_fit_are_named() {
    let (folder, connector) = lake();
    let root = folder.path().join("hr");
    let ids: ArrayRef = Arc::new(Int32Array::from(vec![1]));
    write(&root.join("types/a.parquet"), people(&[1]));
    let mut other = people(&[1]);
    other[0].1 = Arc::clone(&ids);
    write(&root.join("types/b.parquet"), other);
    let message = error(&connector, "types").await;
    assert!(message.contains("types/b.parquet: unlike "), "{message}");
    assert!(message.ends_with("types/a.parquet, column id is Int32, not Int64"), "{message}");

    write(&root.join("missing/a.parquet"), people(&[1]));
    write(&root.join("missing/b.parquet"), people(&[1])[..1].to_vec());
    assert!(error(&connector, "missing").await.ends_with("it has no column name"));

    write(&root.join("more/a.parquet"), people(&[1])[..1].to_vec());
    write(&root.join("more/b.parquet"), people(&[1]));
    assert!(error(&connector, "more").await.ends_with("it has name"));

    // The order of columns is free.
    write(&root.join("order/a.parquet"), people(&[1]));
    write(&root.join("order/b.parquet"), people(&[2]).into_iter().rev().collect());
    let table = connector.table("hr", "order").await.unwrap().unwrap();
    let answer = query(table.as_ref(), "select id, name from t order by id").await;
    assert!(answer.contains("| 2  | name 2 |"), "{answer}");

    write(&root.join("case/a.parquet"), vec![("a", Arc::clone(&ids)), ("A", ids)]);
    assert!(error(&connector, "case").await.contains("two columns are named a but for case"));

    let spans: ArrayRef = Arc::new(DurationSecondArray::from(vec![1]));
    write(&root.join("span/a.parquet"), vec![("s", spans)]);
    assert!(error(&connector, "span").await.contains("column s has type Duration"));

    fs::create_dir_all(root.join("damaged")).unwrap();
    for content in ["", "PAR1", "this is not a Parquet file, but long enough to look like one"] {
        fs::write(root.join("damaged/a.parquet"), content).unwrap();
        assert!(error(&connector, "damaged").await.contains("hr/damaged/a.parquet: "));
    }

    fs::create_dir_all(root.join("empty/.git")).unwrap();
    assert!(
        error(&connector, "empty")
            .await
            .ends_with("hr/empty: the table's folder holds no .parquet, .csv or .json file")
    );

    fs::create_dir_all(root.join("Twice")).unwrap();
    fs::create_dir_all(root.join("twice")).unwrap();
    assert!(error(&connector, "twice").await.contains("has the same name but for case"));
    assert!(connector.table("hr", "none").await.unwrap().is_none());
}

#[tokio::test]
async fn a_file_added_later_is_seen() {
    let (folder, connector) = lake();
    write(&folder.path().join("hr/t/a.parquet"), people(&[1]));
    let before = connector.table("hr", "t").await.unwrap().unwrap();
    write(&folder.path().join("hr/t/b.parquet"), people(&[2]));
    let after = connector.table("hr", "t").await.unwrap().unwrap();
    let sql = "select count(*) as n from t";
    assert!(query(before.as_ref(), sql).await.contains("| 1 |"));
    assert!(query(after.as_ref(), sql).await.contains("| 2 |"));
}

#[tokio::test]
async fn a_location_must_be_a_readable_folder() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    for (location, expected) in [
        ("relative/path", "must be an absolute path or a file:// URI"),
        ("/no/such/folder", "cannot read /no/such/folder: No such file or directory"),
        (file.to_str().unwrap(), "Not a directory"),
        ("", "files.location is missing"),
    ] {
        let problems = catalog(location).map(|_| ()).unwrap_err();
        assert_eq!(problems.len(), 1);
        assert!(problems[0].starts_with("catalog lake: files.location"), "{problems:?}");
        assert!(problems[0].contains(expected), "{problems:?}");
    }
    assert!(catalog(&format!("file://{}", folder.path().display())).is_ok());

    let connector = catalog(folder.path().to_str().unwrap()).unwrap();
    let path = folder.path().to_owned();
    drop(folder);
    let error = connector.schemas().await.unwrap_err();
    assert!(matches!(&error, ConnectorError::Unreadable { path: p, .. } if *p == path), "{error}");
}

fn text(file: &Path, content: &str) {
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, content).unwrap();
}

async fn open(connector: &Arc<dyn Connector>, table: &str) -> Arc<dyn ConnectorTable> {
    connector.table("hr", table).await.unwrap().unwrap()
}

fn types(table: &dyn ConnectorTable) -> Vec<String> {
    let shown = table.columns().iter().filter(|column| !column.hidden);
    shown.map(|column| format!("{} {}", column.name, column.trino_type)).collect()
}

#[tokio::test]
async fn csv_files_have_their_columns_from_header_and_sample() {
    let (folder, connector) = lake();
    let root = folder.path().join("hr/t");
    text(
        &root.join("a.csv"),
        "Id,ok,day,n,s,at\n1,true,2026-01-02,1,\"a,\nb\",2026-01-02T03:04:05+02:00\n",
    );
    text(&root.join("b/b.csv"), "Id,ok,day,n,s,at\n2,,2026-01-03,1.5,,x\n");
    let table = open(&connector, "t").await;
    assert_eq!(
        types(table.as_ref()),
        ["id bigint", "ok boolean", "day date", "n double", "s varchar", "at varchar"]
    );
    let sql = "select id, ok, day, n, s, at from t order by id";
    let answer = query(table.as_ref(), sql).await;
    assert!(answer.contains("| 1  | true | 2026-01-02 | 1.0 | a,"), "{answer}");
    assert!(answer.contains("2026-01-02T03:04:05+02:00"), "{answer}");
    assert!(answer.contains("| 2  |      | 2026-01-03 | 1.5 |"), "{answer}");

    text(&root.join("c.csv"), "ok,Id,day,n,s,at\n");
    let message = error(&connector, "t").await;
    assert!(message.ends_with("a.csv, column 1 of its header is ok, not Id"), "{message}");
    text(&folder.path().join("hr/mixed/a.csv"), "a\n1\n");
    text(&folder.path().join("hr/mixed/b.json"), "{}");
    assert!(error(&connector, "mixed").await.ends_with("it is of another kind"));
    text(&folder.path().join("hr/packed/a.csv.gz"), "");
    assert!(error(&connector, "packed").await.contains("compressed files are not supported"));
}

#[tokio::test]
async fn json_files_may_differ_in_their_columns() {
    let (folder, connector) = lake();
    let root = folder.path().join("hr/t");
    text(&root.join("a.jsonl"), "{\"a\": 1, \"B\": [1, 2]}\n{\"a\": 2.5}\n");
    text(&root.join("b.ndjson"), "{\"c\": \"x\", \"a\": 7}\n");
    let table = open(&connector, "t").await;
    // The names of one file are sorted as they are written, capitals first.
    assert_eq!(types(table.as_ref()), ["b array(bigint)", "a double", "c varchar"]);
    let answer = query(table.as_ref(), "select a, b, c from t order by a").await;
    assert!(
        answer.contains("| 1.0 | [1, 2] |   |") && answer.contains("| 7.0 |        | x |"),
        "{answer}"
    );
}

#[tokio::test]
async fn hidden_columns_say_which_file_a_row_is_from() {
    let (folder, connector) = lake();
    let root = folder.path().join("hr/t");
    write(&root.join("a.parquet"), people(&[1]));
    write(&root.join("b.parquet"), people(&[2]));
    let table = open(&connector, "t").await;
    let size = fs::metadata(root.join("b.parquet")).unwrap().len();
    let sql = "select \"$path\" as p, \"$file_size\" as s, \"$file_modified_time\" > timestamp \
               '2020-01-01' as new from t where id = 2";
    let answer = query(table.as_ref(), sql).await;
    let path = root.join("b.parquet");
    assert!(answer.contains(&format!("file://{} | {size}", path.display())), "{answer}");
    assert!(answer.contains("true"), "{answer}");
}

#[tokio::test]
async fn files_that_change_under_a_query_fail_it_by_name() {
    for name in ["a.parquet", "a.json", "a.csv"] {
        let (folder, connector) = lake();
        let file = folder.path().join("hr/t").join(name);
        let put = |ids: &[i64]| match name {
            "a.parquet" => write(&file, people(ids)),
            "a.json" => {
                text(&file, &ids.iter().map(|id| format!("{{\"id\": {id}}}\n")).collect::<String>())
            }
            _ => text(&file, &format!("id\n{}\n", ids[0])),
        };
        put(&[1, 2]);
        let table = open(&connector, "t").await;
        let context = SessionContext::new();
        let run = || async {
            let plan = table.provider().scan(&context.state(), None, &[], None).await.unwrap();
            let plan = guarded(plan, &context.runtime_env()).unwrap();
            datafusion::physical_plan::collect(plan, context.task_ctx()).await
        };
        run().await.unwrap();
        std::thread::sleep(std::time::Duration::from_millis(20));
        put(&[3, 4]);
        let message = run().await.unwrap_err().to_string();
        assert!(
            message.contains(&format!("hr/t/{name} changed while a query read it")),
            "{message}"
        );
        fs::remove_file(&file).unwrap();
        let message = run().await.unwrap_err().to_string();
        assert!(message.contains(&format!("hr/t/{name} vanished while")), "{message}");
    }
}

#[tokio::test]
async fn rows_that_do_not_fit_name_their_file() {
    let (folder, connector) = lake();
    let rows: String = (0..1500).map(|id| format!("{id},\"a\n{id}\"\n")).collect();
    text(&folder.path().join("hr/broken/a.csv"), &format!("id,t\n{rows}"));
    let broken = open(&connector, "broken").await;
    let sql = "select count(*) as n, sum(id) as s, max(length(t)) as l from t";
    let answer = query(broken.as_ref(), sql).await;
    assert!(answer.contains("| 1500 | 1124250 | 6 |"), "{answer}");
    text(&folder.path().join("hr/t/a.csv"), &format!("id,t\n{rows}x,\n"));
    let table = open(&connector, "t").await;
    let context = SessionContext::new();
    let plan = table.provider().scan(&context.state(), None, &[], None).await.unwrap();
    let plan = guarded(plan, &context.runtime_env()).unwrap();
    let message =
        datafusion::physical_plan::collect(plan, context.task_ctx()).await.unwrap_err().to_string();
    assert!(message.contains("hr/t/a.csv: "), "{message}");
}

#[tokio::test]
async fn files_that_cannot_be_divided_are_dealt_out_whole() {
    let (folder, connector) = lake();
    for name in 0..7 {
        text(&folder.path().join(format!("hr/t/{name}.csv")), &format!("id\n{name}\n"));
    }
    let table = open(&connector, "t").await;
    let context = SessionContext::new();
    let plan = table.provider().scan(&context.state(), None, &[], None).await.unwrap();
    for tasks in [1, 2, 3, 10] {
        let mut ids = Vec::new();
        for part in crate::scan::split(&plan, tasks).unwrap() {
            assert_eq!(
                part.properties().partitioning.partition_count(),
                plan.properties().partitioning.partition_count()
            );
            let batches =
                datafusion::physical_plan::collect(part, context.task_ctx()).await.unwrap();
            for batch in batches {
                let column = batch.column(0).as_any().downcast_ref::<Int64Array>().unwrap();
                ids.extend(column.values().iter().copied());
            }
        }
        ids.sort_unstable();
        assert_eq!(ids, (0..7).collect::<Vec<i64>>());
    }
}

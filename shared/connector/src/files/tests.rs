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

use crate::{
    connector::{Connector, ConnectorError, ConnectorTable},
    create,
};

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
    assert_eq!(described, [("id", "bigint", true), ("name", "varchar", true)]);
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
    let answer = query(table.as_ref(), "select * from t order by id").await;
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
            .ends_with("hr/empty: the table's folder holds no .parquet file")
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

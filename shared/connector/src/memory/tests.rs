use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Schema};
use arrow::util::pretty::pretty_format_batches;
use datafusion::prelude::SessionContext;
use waterbear_protocol::ErrorCode;

use super::*;
use crate::write::{WriteAttempt, Written};

fn connector(limit: &str) -> MemoryConnector {
    let properties = BTreeMap::from([(MAX_DATA.to_owned(), limit.to_owned())]);
    MemoryConnector::create(Properties::new("memory", &properties)).unwrap()
}

fn name(table: &str) -> TableName {
    TableName { schema: "default".to_owned(), table: table.to_owned() }
}

fn column(name: &str, data_type: DataType, trino_type: &str) -> Column {
    Column {
        name: name.to_owned(),
        data_type,
        trino_type: trino_type.to_owned(),
        nullable: true,
        comment: None,
        hidden: false,
    }
}

fn people() -> TableDefinition {
    let columns = vec![
        column("id", DataType::Int64, "bigint"),
        column("name", DataType::Utf8, "varchar(10)"),
    ];
    TableDefinition { columns, comment: Some("who".to_owned()) }
}

fn rows(ids: std::ops::Range<i64>) -> RecordBatch {
    let fields: Vec<_> = people().columns.iter().map(Column::field).collect();
    let names = StringArray::from_iter_values(ids.clone().map(|id| format!("n{id}")));
    let ids = Int64Array::from_iter_values(ids);
    RecordBatch::try_new(Arc::new(Schema::new(fields)), vec![Arc::new(ids), Arc::new(names)])
        .unwrap()
}

async fn insert(connector: &MemoryConnector, batches: Vec<RecordBatch>) -> Arc<dyn TableWrite> {
    let write = connector.begin(&name("t"), WriteTarget::Insert).await.unwrap();
    let mut attempt = write.attempt(0).await.unwrap();
    for batch in batches {
        attempt.append(batch).await.unwrap();
    }
    attempt.finish().await.unwrap();
    write
}

async fn query(connector: &MemoryConnector, sql: &str) -> String {
    let table = connector.table("default", "t").await.unwrap().unwrap();
    query_table(table.as_ref(), sql).await
}

async fn query_table(table: &dyn ConnectorTable, sql: &str) -> String {
    let context = SessionContext::new();
    context.register_table("t", table.provider()).unwrap();
    let batches = context.sql(sql).await.unwrap().collect().await.unwrap();
    pretty_format_batches(&batches).unwrap().to_string()
}

const SUM: &str = "select concat(count(*), '/', sum(id)) as s from t";

#[tokio::test]
async fn rows_are_seen_from_the_commit_on_and_snapshots_stay() {
    let connector = connector("1MB");
    connector.create_table(&name("t"), people()).await.unwrap();
    let write = insert(&connector, vec![rows(0..3), rows(3..5)]).await;
    assert!(query(&connector, SUM).await.contains("0/"));
    let before = connector.table("default", "t").await.unwrap().unwrap();
    let winner = Written { attempt: 0, rows: 5 };
    assert_eq!(write.commit(&[winner]).await.unwrap(), 5);
    assert!(query(&connector, SUM).await.contains("5/10"));
    assert!(query_table(before.as_ref(), SUM).await.contains("0/"));
    // A commit cannot be had twice: its rows are gone.
    assert!(write.commit(&[winner]).await.is_err());
    assert_eq!(connector.delete_all(&name("t")).await.unwrap(), 5);
    assert!(query(&connector, SUM).await.contains("0/"));
}

#[tokio::test]
async fn only_winners_count_and_nothing_else_stays() {
    let connector = connector("1MB");
    let write = connector.begin(&name("t"), WriteTarget::Create(people())).await.unwrap();
    assert!(connector.table("default", "t").await.unwrap().is_none());
    let mut attempts: Vec<Box<dyn WriteAttempt>> = Vec::new();
    for number in 0..4 {
        let mut attempt = write.attempt(number).await.unwrap();
        let from = i64::from(number) * 10;
        attempt.append(rows(from..from + 2)).await.unwrap();
        attempts.push(attempt);
    }
    drop(attempts.pop());
    let mut written = Vec::new();
    for attempt in attempts {
        written.push(attempt.finish().await.unwrap());
    }
    assert_eq!(write.commit(&[written[0], written[2]]).await.unwrap(), 4);
    drop(write);
    assert!(query(&connector, SUM).await.contains("4/42"));
    connector.drop_table(&name("t")).await.unwrap();
    assert_eq!(connector.store.budget.used(), 0);

    let write = connector.begin(&name("t"), WriteTarget::Create(people())).await.unwrap();
    let mut attempt = write.attempt(0).await.unwrap();
    attempt.append(rows(0..20_000)).await.unwrap();
    assert!(connector.store.budget.used() > 0);
    drop((attempt, write));
    assert_eq!(connector.store.budget.used(), 0);
    assert!(connector.table("default", "t").await.unwrap().is_none());
}

#[tokio::test]
async fn the_limit_counts_what_is_kept_not_what_it_was_cut_from() {
    let connector = connector("100kB");
    connector.create_table(&name("t"), people()).await.unwrap();
    // Each slice shares the buffers of all; together they take far less than 100 times that.
    let large = rows(0..1000);
    let slices = (0..100).map(|i| large.slice(i * 10, 10)).collect();
    insert(&connector, slices).await.commit(&[Written { attempt: 0, rows: 1000 }]).await.unwrap();
    assert!(query(&connector, SUM).await.contains("1000/"));

    let write = connector.begin(&name("t"), WriteTarget::Insert).await.unwrap();
    let mut attempt = write.attempt(0).await.unwrap();
    let error = attempt.append(rows(0..50_000)).await.unwrap_err();
    assert_eq!(error.to_string(), "Memory limit [102400] for memory connector exceeded");
    drop((attempt, write));
    assert!(query(&connector, SUM).await.contains("1000/"));
}

#[tokio::test]
async fn a_table_that_changed_meanwhile_takes_no_rows() {
    let connector = connector("1MB");
    let winner = [Written { attempt: 0, rows: 1 }];
    connector.create_table(&name("t"), people()).await.unwrap();
    let write = insert(&connector, vec![rows(0..1)]).await;
    connector.drop_table(&name("t")).await.unwrap();
    connector.create_table(&name("t"), people()).await.unwrap();
    let error = write.commit(&winner).await.unwrap_err();
    assert!(
        matches!(error, ConnectorError::Failed(f) if f.code == ErrorCode::TRANSACTION_CONFLICT)
    );

    let write = insert(&connector, vec![rows(0..1)]).await;
    connector.add_column(&name("t"), column("x", DataType::Int32, "integer")).await.unwrap();
    assert!(write.commit(&winner).await.is_err());

    let write = connector.begin(&name("u"), WriteTarget::Create(people())).await.unwrap();
    write.attempt(0).await.unwrap().finish().await.unwrap();
    connector.create_table(&name("u"), people()).await.unwrap();
    let error = write.commit(&[Written { attempt: 0, rows: 0 }]).await.unwrap_err();
    assert_eq!(error.to_string(), "Table 'default.u' already exists");
}

#[tokio::test]
async fn columns_can_be_added_and_renamed() {
    let connector = connector("1MB");
    connector.create_table(&name("t"), people()).await.unwrap();
    let winner = [Written { attempt: 0, rows: 2 }];
    insert(&connector, vec![rows(0..2)]).await.commit(&winner).await.unwrap();
    connector.add_column(&name("t"), column("x", DataType::Int32, "integer")).await.unwrap();
    connector.rename_column(&name("t"), "id", "nr").await.unwrap();
    let answer = query(&connector, "select nr, x is null as n from t order by nr").await;
    assert!(answer.contains("| 1  | true |"), "{answer}");
    let twice = connector.rename_column(&name("t"), "nr", "x").await.unwrap_err();
    assert_eq!(twice.to_string(), "Column 'x' already exists");
    let missing = connector.rename_column(&name("t"), "id", "y").await.unwrap_err();
    assert_eq!(missing.to_string(), "Column 'id' does not exist");
    let mut strict = column("y", DataType::Int32, "integer");
    strict.nullable = false;
    assert!(connector.add_column(&name("t"), strict).await.is_err());
}

#[tokio::test]
async fn not_null_is_kept() {
    let connector = connector("1MB");
    let mut definition = people();
    definition.columns[1].nullable = false;
    connector.create_table(&name("t"), definition).await.unwrap();
    let write = connector.begin(&name("t"), WriteTarget::Insert).await.unwrap();
    let mut attempt = write.attempt(0).await.unwrap();
    let good = rows(0..1);
    let nulls = arrow::array::new_null_array(&DataType::Utf8, 1);
    let bad = RecordBatch::try_new(good.schema(), vec![Arc::clone(good.column(0)), nulls]).unwrap();
    assert_eq!(bad.column(1).null_count(), 1);
    let error = attempt.append(bad).await.unwrap_err();
    assert_eq!(error.to_string(), "NULL value not allowed for NOT NULL column: name");
}

#[tokio::test]
async fn schemas_tables_and_views_share_their_names() {
    let connector = connector("1MB");
    assert_eq!(connector.schemas().await.unwrap(), ["default"]);
    connector.create_schema("s").await.unwrap();
    assert!(connector.create_schema("s").await.is_err());
    let view = ViewDefinition {
        sql: "SELECT 1".to_owned(),
        catalog: None,
        schema: None,
        columns: people().columns,
        comment: None,
        owner: None,
    };
    let inside = |table: &str| TableName { schema: "s".to_owned(), table: table.to_owned() };
    connector.create_view(&inside("v"), view.clone(), false).await.unwrap();
    assert!(connector.create_view(&inside("v"), view.clone(), false).await.is_err());
    connector.create_view(&inside("v"), view.clone(), true).await.unwrap();
    let error = connector.create_table(&inside("v"), people()).await.unwrap_err();
    assert_eq!(error.to_string(), "View 's.v' already exists");
    connector.create_table(&inside("t"), people()).await.unwrap();
    assert!(connector.create_view(&inside("t"), view, true).await.is_err());
    assert!(connector.drop_table(&inside("v")).await.is_err());
    assert!(connector.drop_view(&inside("t")).await.is_err());
    connector.rename_view(&inside("v"), &name("w")).await.unwrap();
    assert!(connector.rename_table(&inside("t"), &name("w")).await.is_err());
    assert_eq!(connector.tables("s").await.unwrap(), ["t"]);
    let found = connector.table("default", "w").await.unwrap().unwrap();
    assert_eq!(found.view_definition().unwrap().sql, "SELECT 1");
    assert!(found.provider().scan(&SessionContext::new().state(), None, &[], None).await.is_err());
    let error = connector.drop_schema("s", false).await.unwrap_err();
    assert_eq!(error.to_string(), "Cannot drop non-empty schema 's'");
    connector.drop_schema("s", true).await.unwrap();
    assert!(connector.tables("s").await.is_err());
}

#[tokio::test]
async fn large_tables_are_divided() {
    let connector = connector("64MB");
    connector.create_table(&name("t"), people()).await.unwrap();
    let write = insert(&connector, vec![rows(0..400_000)]).await;
    write.commit(&[Written { attempt: 0, rows: 400_000 }]).await.unwrap();
    let table = connector.table("default", "t").await.unwrap().unwrap();
    let config = datafusion::prelude::SessionConfig::new().with_target_partitions(3);
    let state = SessionContext::new_with_config(config).state();
    let plan = table.provider().scan(&state, None, &[], None).await.unwrap();
    assert_eq!(plan.properties().partitioning.partition_count(), 3);
    assert_eq!(plan.schema().field(1).metadata()["trino.type"], "varchar(10)");
    assert!(query(&connector, SUM).await.contains("400000/79999800000"));
}

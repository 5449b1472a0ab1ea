use std::{collections::BTreeMap, sync::Arc};

use arrow::{
    array::{ArrayRef, RecordBatch},
    compute::concat_batches,
    datatypes::DataType,
    util::display::{ArrayFormatter, FormatOptions},
};
use datafusion::{
    physical_plan::{ExecutionPlan, collect_partitioned},
    prelude::{SessionConfig, SessionContext},
};
use waterbear_testkit::tpch as answers;

use super::*;
use crate::{connector::ConnectorError, create, scan};

fn tiny(table: Table, parts: &[(u32, u32)]) -> Scan {
    Scan {
        table,
        scale: Scale::of_schema("tiny").unwrap(),
        naming: ColumnNaming::Standard,
        doubles: DoubleTypeMapping::Decimal,
        projection: (0..table.definitions().len()).collect(),
        limit: None,
        partitions: parts.iter().map(|range| PartRange::from(*range)).collect(),
    }
}

fn whole(table: Table) -> Scan {
    let scan = tiny(table, &[]);
    let parts = table.parts(scan.scale);
    Scan { partitions: vec![PartRange { from: 0, to: parts }], ..scan }
}

fn node(scan: Scan) -> Arc<dyn ExecutionPlan> {
    Arc::new(TpchScanExec::try_new(scan).unwrap())
}

async fn read(plan: Arc<dyn ExecutionPlan>) -> Vec<RecordBatch> {
    let context = SessionContext::new_with_config(SessionConfig::new().with_batch_size(1000));
    collect_partitioned(plan, context.task_ctx()).await.unwrap().into_iter().flatten().collect()
}

fn rows(batches: &[RecordBatch]) -> Vec<Vec<String>> {
    let options = FormatOptions::new();
    let mut rows = Vec::new();
    for batch in batches {
        let columns: Vec<_> = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column, &options).unwrap())
            .collect();
        rows.extend(
            (0..batch.num_rows())
                .map(|row| columns.iter().map(|c| c.value(row).to_string()).collect::<Vec<_>>()),
        );
    }
    rows
}

fn properties(list: &[(&str, &str)]) -> BTreeMap<String, String> {
    list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

async fn session(list: &[(&str, &str)], schema: &str, partitions: usize) -> SessionContext {
    let mut config = SessionConfig::new().with_target_partitions(partitions);
    config.options_mut().sql_parser.parse_float_as_decimal = true;
    let context = SessionContext::new_with_config(config);
    let connector = create("tpch", "tpch", &properties(list)).unwrap();
    for name in connector.tables(schema).await.unwrap() {
        let table = connector.table(schema, &name).await.unwrap().unwrap();
        context.register_table(name, table.provider()).unwrap();
    }
    context
}

#[tokio::test]
async fn tables_have_the_rows_of_the_specification() {
    let expected = [
        (Table::Customer, 1500),
        (Table::Lineitem, 60_175),
        (Table::Nation, 25),
        (Table::Orders, 15_000),
        (Table::Part, 2000),
        (Table::Partsupp, 8000),
        (Table::Region, 5),
        (Table::Supplier, 100),
    ];
    for (table, count) in expected {
        let plan = node(whole(table));
        let estimate = plan.statistics_from_inputs(&[], &Default::default()).unwrap().num_rows;
        let read: usize = read(plan).await.iter().map(RecordBatch::num_rows).sum();
        assert_eq!(read, count, "{table:?}");
        if table == Table::Lineitem {
            assert_eq!(estimate.get_value(), Some(&60_000));
            assert_eq!(estimate.is_exact(), Some(false));
        } else {
            assert_eq!(estimate, datafusion::common::stats::Precision::Exact(count), "{table:?}");
        }
    }
}

#[tokio::test]
async fn rows_are_those_of_the_generator() {
    let lineitem = rows(&read(node(whole(Table::Lineitem))).await);
    let reference: Vec<String> = tpchgen::generators::LineItemGenerator::new(0.01, 1, 1)
        .iter()
        .map(|row| row.to_string())
        .collect();
    let ours: Vec<String> = lineitem.iter().map(|row| row.join("|")).collect();
    // The specification's text prints quantities without their decimals.
    let first = "1|1552|93|1|17.00|24710.35|0.04|0.02|N|O|1996-03-13|1996-02-12|1996-03-22|\
                 DELIVER IN PERSON|TRUCK|egular courts above the";
    assert_eq!(ours[0], first);
    for (ours, reference) in ours.iter().zip(&reference) {
        assert_eq!(format!("{}|", ours.replacen(".00|", "|", 1)), *reference);
    }
    let supplier = rows(&read(node(whole(Table::Supplier))).await);
    for (ours, reference) in
        supplier.iter().zip(tpchgen::generators::SupplierGenerator::new(0.01, 1, 1).iter())
    {
        assert_eq!(format!("{}|", ours.join("|")), reference.to_string());
    }
}

#[tokio::test]
async fn splits_of_any_number_are_the_whole_table() {
    for table in [Table::Customer, Table::Orders, Table::Nation, Table::Supplier, Table::Partsupp] {
        let scan = whole(table);
        let mut expected = rows(&read(node(scan.clone())).await);
        expected.sort();
        for partitions in [1, 2, 3] {
            let parts = PartRange { from: 0, to: table.parts(scan.scale) };
            let scan = Scan { partitions: parts.divide(partitions).collect(), ..scan.clone() };
            for tasks in [1, 2, 3, 7, 100] {
                let splits = scan::split(&node(scan.clone()), tasks).unwrap();
                assert_eq!(splits.len(), tasks);
                let mut union = Vec::new();
                for split in splits {
                    assert_eq!(split.properties().partitioning.partition_count(), partitions);
                    union.extend(rows(&read(split).await));
                }
                union.sort();
                assert!(union == expected, "{table:?}, {partitions} partitions, {tasks} tasks");
            }
        }
    }
}

#[tokio::test]
async fn a_split_can_be_split_again_and_counts_its_rows() {
    let scan = whole(Table::Orders);
    let mut count = 0;
    for split in scan.split(3) {
        let split = node(split);
        for part in scan::split(&split, 4).unwrap() {
            let statistics = part.statistics_from_inputs(&[], &Default::default()).unwrap();
            let read: usize = read(part).await.iter().map(RecordBatch::num_rows).sum();
            assert_eq!(statistics.num_rows.get_value(), Some(&read));
            count += read;
        }
    }
    assert_eq!(count, 15_000);
    assert_eq!(scan.split(0), []);
}

#[test]
fn parts_are_even_at_every_scale() {
    for schema in ["sf0.001", "tiny", "sf0.1", "sf1", "sf3.7", "sf1000", "sf10000", "sf100000"] {
        let scale = Scale::of_schema(schema).unwrap();
        for table in Table::ALL {
            let parts = table.parts(scale);
            assert!(i32::try_from(parts).is_ok());
            let (total, last) = (table.rows(scale, 0, parts), table.rows(scale, parts - 1, parts));
            let sum: u64 = (0..parts.min(70_000)).map(|i| table.rows(scale, i, i + 1)).sum();
            assert!(parts > 70_000 || sum == total, "{schema} {table:?}");
            let even = total / u64::from(parts);
            assert!(last <= 2 * even + 16, "{schema} {table:?}: the last of {parts} has {last}");
        }
    }
}

#[tokio::test]
async fn the_ends_of_the_largest_scales_can_be_generated() {
    for schema in ["sf0.001", "sf10000", "sf100000"] {
        let scale = Scale::of_schema(schema).unwrap();
        for table in Table::ALL {
            let parts = table.parts(scale);
            let projection = (0..table.definitions().len() - 1).collect();
            let ends = [(0, 1), (parts - 1, parts)].map(PartRange::from).to_vec();
            let scan =
                Scan { scale, projection, limit: Some(3), partitions: ends, ..tiny(table, &[]) };
            let batches = read(node(scan)).await;
            assert!(batches.iter().all(|batch| batch.num_rows() > 0), "{schema} {table:?}");
        }
    }
}

#[test]
fn scales_out_of_range_are_no_schemas() {
    for name in [
        "sf0",
        "sf0.0009",
        "sf-1",
        "sfNaN",
        "sfinf",
        "sf1e3",
        "sf",
        "sf20000",
        "sf1e-1",
        "sf1000000",
        "sf.",
        "1",
        "TINY",
        "sf 1",
        "sf0.00100000000000000000001",
    ] {
        assert_eq!(Scale::of_schema(name), None, "{name}");
    }
    assert_eq!(Scale::of_schema("sf0.1").unwrap().factor(), 0.1);
}

#[tokio::test]
async fn projection_and_limit_are_obeyed() {
    let scan =
        Scan { projection: vec![3, 0], limit: Some(2), ..tiny(Table::Orders, &[(0, 5), (9, 10)]) };
    let batches = read(node(scan.clone())).await;
    let all = concat_batches(&batches[0].schema(), &batches).unwrap();
    assert_eq!(all.num_rows(), 4);
    assert_eq!(all.schema().field(0).name(), "o_totalprice");
    assert_eq!(rows(&batches)[0], ["172799.49", "1"]);
    let none = Scan { projection: vec![], limit: None, ..scan };
    let batches = read(node(none)).await;
    assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 6 * (15_000 / 64));
    assert!(batches.iter().all(|batch| batch.num_columns() == 0 && batch.num_rows() <= 1000));
}

#[tokio::test]
async fn metrics_count_rows() {
    let plan = node(whole(Table::Lineitem));
    read(Arc::clone(&plan)).await;
    let metrics = plan.metrics().unwrap();
    assert_eq!(metrics.output_rows(), Some(60_175));
    assert!(metrics.elapsed_compute().unwrap() > 0);
    assert!(plan.reset_state().unwrap().metrics().unwrap().output_rows().is_none());
}

#[test]
fn messages_come_back_as_they_went() {
    for scan in
        [whole(Table::Part), Scan { limit: Some(7), ..tiny(Table::Nation, &[(0, 1), (1, 1)]) }]
    {
        let bytes = scan::encode(&node(scan.clone())).unwrap();
        let decoded = scan::decode(&bytes).unwrap();
        assert_eq!(decoded.downcast_ref::<TpchScanExec>().unwrap().scan(), &scan);
        assert_eq!(decoded.schema(), node(scan).schema());
    }
    let sf = Scale::of_schema("sf0.3").unwrap();
    assert_eq!(String::from(sf).parse(), Ok(sf));
}

#[test]
fn garbage_is_refused() {
    let bytes = scan::encode(&node(whole(Table::Region))).unwrap();
    let text = String::from_utf8(bytes).unwrap();
    for (from, to) in [
        ("\"0.01\"", "\"1e300\""),
        ("\"0.01\"", "\"0\""),
        ("\"0.01\"", "\"NaN\""),
        ("[[0,1]]", "[[0,2]]"),
        ("[[0,1]]", "[[1,0]]"),
        ("[[0,1]]", "[[0,4294967295]]"),
        ("[[0,1]]", "[]"),
        ("[0,1,2]", "[0,1,3]"),
        ("[0,1,2]", "[0,0,0,0]"),
        ("\"region\"", "\"regions\""),
        ("\"limit\"", "\"limits\""),
        ("\"limit\":null", "\"limit\":-1"),
        ("tpch", "tpcc"),
    ] {
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text, "{from}");
        assert!(scan::decode(changed.as_bytes()).is_err(), "{to}");
    }
    let many = text.replacen("[[0,1]]", &format!("[{}[0,1]]", "[0,1],".repeat(5000)), 1);
    assert!(scan::decode(many.as_bytes()).is_err());
    assert!(scan::decode(&vec![b'['; 1 << 20]).is_err());
    let mut bytes = text.into_bytes();
    for length in 0..bytes.len() {
        assert!(scan::decode(&bytes[..length]).is_err());
    }
    // Each byte damaged in turn: an error or another valid scan, never a panic.
    for place in 0..bytes.len() {
        let original = bytes[place];
        for value in [0, b'9', b'"', 0xff] {
            bytes[place] = value;
            let _ = scan::decode(&bytes);
        }
        bytes[place] = original;
    }
}

#[test]
fn foreign_nodes_are_not_ours() {
    let empty: Arc<dyn ExecutionPlan> = Arc::new(datafusion::physical_plan::empty::EmptyExec::new(
        arrow::datatypes::Schema::empty().into(),
    ));
    assert!(scan::encode(&empty).is_none());
    assert!(scan::split(&empty, 2).is_none());
    assert!(scan::estimated_bytes(&empty).is_none());
    let lineitem = scan::estimated_bytes(&node(whole(Table::Lineitem))).unwrap();
    assert!((8_000_000..20_000_000).contains(&lineitem), "{lineitem}");
}

#[tokio::test]
async fn names_and_types_follow_the_catalog() {
    let simple = create("c", "tpch", &properties(&[])).unwrap();
    let table = simple.table("sf1", "lineitem").await.unwrap().unwrap();
    let described: Vec<_> =
        table.columns().iter().map(|c| (c.name.as_str(), c.trino_type.as_str())).collect();
    assert_eq!(described[0], ("orderkey", "bigint"));
    assert_eq!(
        described[3..6],
        [("linenumber", "integer"), ("quantity", "double"), ("extendedprice", "double")]
    );
    assert_eq!(described[15], ("comment", "varchar(44)"));

    let list = [("tpch.column-naming", "STANDARD"), ("tpch.double-type-mapping", "DECIMAL")];
    let standard = create("c", "tpch", &properties(&list)).unwrap();
    let table = standard.table("tiny", "partsupp").await.unwrap().unwrap();
    assert_eq!(table.columns()[3].name, "ps_supplycost");
    assert_eq!(table.columns()[3].trino_type, "decimal(12,2)");
    assert_eq!(table.columns()[3].data_type, DataType::Decimal128(12, 2));
    for (column, field) in table.columns().iter().zip(table.provider().schema().fields()) {
        assert_eq!((&column.name, &column.data_type), (field.name(), field.data_type()));
    }

    assert!(simple.table("tiny", "lineitems").await.unwrap().is_none());
    assert!(matches!(
        simple.table("small", "lineitem").await,
        Err(ConnectorError::SchemaNotFound { schema }) if schema == "small"
    ));
    assert!(simple.tables("small").await.is_err());
    assert!(simple.schemas().await.unwrap().contains(&"tiny".to_owned()));
}

#[tokio::test]
async fn both_mappings_hold_the_same_numbers() {
    let sql = "select sum(cast(totalprice as decimal(12,2))), max(custkey), min(orderdate), \
               count(distinct clerk), sum(length(comment)) from orders";
    let mut answers = Vec::new();
    for mapping in ["DOUBLE", "DECIMAL"] {
        let context = session(&[("tpch.double-type-mapping", mapping)], "tiny", 3).await;
        answers.push(rows(&context.sql(sql).await.unwrap().collect().await.unwrap()));
    }
    assert_eq!(answers[0], [["2127396830.02", "1499", "1992-01-01", "1000", "727364"]]);
    assert_eq!(answers[0], answers[1]);
}

#[tokio::test]
async fn statistics_choose_the_smaller_side_of_a_join() {
    let context = session(&[], "sf100", 2).await;
    let sql = "select l.quantity from lineitem l join nation n on l.linenumber = n.nationkey";
    let plan = context.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
    let text = datafusion::physical_plan::displayable(plan.as_ref()).indent(true).to_string();
    let build = text.find("table=nation").unwrap();
    assert!(build < text.find("table=lineitem").unwrap() && text.contains("CollectLeft"), "{text}");
}

#[tokio::test]
async fn all_tpch_queries_are_right() {
    let list = [("tpch.column-naming", "STANDARD"), ("tpch.double-type-mapping", "DECIMAL")];
    for partitions in [1, 3] {
        let context = session(&list, "tiny", partitions).await;
        for (n, sql) in answers::queries() {
            check(&context, n, sql).await;
        }
    }
}

#[tokio::test]
async fn all_tpch_queries_are_right_on_doubles() {
    let context = session(&[("tpch.column-naming", "STANDARD")], "tiny", 2).await;
    for (n, sql) in answers::queries() {
        check(&context, n, sql).await;
    }
}

async fn check(context: &SessionContext, n: u32, sql: &str) {
    let frame = context.sql(sql).await.unwrap();
    let columns: Vec<_> = frame
        .schema()
        .fields()
        .iter()
        .map(|field| answers::Column {
            name: field.name().clone(),
            trino_type: waterbear_types::TrinoType::of_field(field).unwrap().listing(),
        })
        .collect();
    let batches = frame.collect().await.unwrap();
    let options = FormatOptions::new();
    let text = |array: &ArrayRef, row: usize| {
        let formatter = ArrayFormatter::try_new(array, &options).unwrap();
        array.is_valid(row).then(|| formatter.value(row).to_string())
    };
    let rows = batches
        .iter()
        .flat_map(|batch| (0..batch.num_rows()).map(move |row| (batch, row)))
        .map(|(batch, row)| batch.columns().iter().map(|array| text(array, row)).collect())
        .collect();
    answers::compare_within(n, &columns, &rows, 1.0).unwrap();
}

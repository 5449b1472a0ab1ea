//! Rows of `tpchgen` as Arrow batches: only the columns that a scan asks for, one batch at a time.

use std::{
    fmt::{Display, Write},
    mem,
    sync::{Arc, OnceLock},
};

use arrow::{
    array::{
        ArrayRef, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array, RecordBatch,
        RecordBatchOptions, StringViewArray, StringViewBuilder,
    },
    datatypes::SchemaRef,
    error::ArrowError,
};
use tpchgen::{
    dates::TPCHDate,
    decimal::TPCHDecimal,
    distribution::Distributions,
    generators::{
        Customer, CustomerGenerator, LineItem, LineItemGenerator, Nation, NationGenerator, Order,
        OrderGenerator, Part, PartGenerator, PartSupp, PartSuppGenerator, Region, RegionGenerator,
        Supplier, SupplierGenerator,
    },
    text::TextPool,
};

use super::{
    scan::{PartRange, Scan},
    schema::{DECIMAL, DoubleTypeMapping, Table},
};

/// Batches of one partition of a scan, made when asked for.
pub(crate) type BatchIterator = Box<dyn Iterator<Item = Result<RecordBatch, ArrowError>> + Send>;

/// Returns the text that comments are cut from. Real text takes a second and 300 MB to make, once
/// in a process; a scan without a comment column needs some text, but not this.
pub(crate) async fn text_pool(real: bool) -> &'static TextPool {
    static REAL: OnceLock<&'static TextPool> = OnceLock::new();
    static PLACEHOLDER: OnceLock<TextPool> = OnceLock::new();
    if !real {
        return PLACEHOLDER.get_or_init(|| TextPool::new(4096, Distributions::static_default()));
    }
    if let Some(pool) = REAL.get() {
        return pool;
    }
    let made = tokio::task::spawn_blocking(TextPool::get_or_init_default).await;
    // The blocking thread only fails to run while the runtime shuts down.
    REAL.get_or_init(|| made.unwrap_or_else(|_| TextPool::get_or_init_default()))
}

/// Generates the rows of `range`, `batch_rows` at a time.
pub(crate) fn batches(
    scan: &Scan,
    schema: SchemaRef,
    range: PartRange,
    batch_rows: usize,
    text: &'static TextPool,
) -> BatchIterator {
    let factor = scan.scale.factor();
    let count = i32::try_from(scan.table.parts(scan.scale)).unwrap_or(i32::MAX);
    let words = Distributions::static_default();
    // The generator counts parts from one.
    let parts = (range.from..range.to).map(|part| i32::try_from(part + 1).unwrap_or(i32::MAX));
    let output = Output {
        schema,
        projection: scan.projection.clone(),
        doubles: scan.doubles,
        batch_rows: batch_rows.max(1),
        remaining: scan.limit.unwrap_or(usize::MAX),
    };
    macro_rules! rows_of {
        ($generator:ident) => {
            parts.flat_map(move |part| {
                $generator::new_with_distributions_and_text_pool(factor, part, count, words, text)
                    .into_iter()
            })
        };
    }
    match scan.table {
        Table::Customer => output.batches(rows_of!(CustomerGenerator), customer),
        Table::Lineitem => output.batches(rows_of!(LineItemGenerator), lineitem),
        Table::Orders => output.batches(rows_of!(OrderGenerator), orders),
        Table::Part => output.batches(rows_of!(PartGenerator), part),
        Table::Supplier => output.batches(rows_of!(SupplierGenerator), supplier),
        Table::Partsupp => output.batches(
            parts.flat_map(move |part| {
                PartSuppGenerator::new_with_text_pool(factor, part, count, text).into_iter()
            }),
            partsupp,
        ),
        Table::Nation => output.batches(
            parts.flat_map(move |_| {
                NationGenerator::new_with_distributions_and_text_pool(words, text).into_iter()
            }),
            nation,
        ),
        Table::Region => output.batches(
            parts.flat_map(move |_| {
                RegionGenerator::new_with_distributions_and_text_pool(words, text).into_iter()
            }),
            region,
        ),
    }
}

/// Makes the array of one column, given by its place in the table.
type Build<R> = fn(&[R], usize, DoubleTypeMapping) -> ArrayRef;

struct Output {
    schema: SchemaRef,
    projection: Vec<usize>,
    doubles: DoubleTypeMapping,
    batch_rows: usize,
    remaining: usize,
}

impl Output {
    fn batches<R: Send + 'static>(
        self,
        rows: impl Iterator<Item = R> + Send + 'static,
        build: Build<R>,
    ) -> BatchIterator {
        Box::new(Batches { rows, build, buffer: Vec::new(), output: self })
    }
}

struct Batches<I: Iterator> {
    rows: I,
    build: Build<I::Item>,
    buffer: Vec<I::Item>,
    output: Output,
}

impl<I: Iterator> Iterator for Batches<I> {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        let output = &mut self.output;
        let mut buffer = mem::take(&mut self.buffer);
        buffer.clear();
        buffer.extend(self.rows.by_ref().take(output.batch_rows.min(output.remaining)));
        if buffer.is_empty() {
            return None;
        }
        output.remaining -= buffer.len();
        let columns = output
            .projection
            .iter()
            .map(|column| (self.build)(&buffer, *column, output.doubles))
            .collect();
        let options = RecordBatchOptions::new().with_row_count(Some(buffer.len()));
        self.buffer = buffer;
        Some(RecordBatch::try_new_with_options(Arc::clone(&output.schema), columns, &options))
    }
}

// === one array ===

fn bigint(values: impl Iterator<Item = i64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values))
}

fn integer(values: impl Iterator<Item = i32>) -> ArrayRef {
    Arc::new(Int32Array::from_iter_values(values))
}

fn date(values: impl Iterator<Item = TPCHDate>) -> ArrayRef {
    Arc::new(Date32Array::from_iter_values(values.map(|date| date.to_unix_epoch())))
}

fn money(values: impl Iterator<Item = TPCHDecimal>, doubles: DoubleTypeMapping) -> ArrayRef {
    hundredths(values.map(|value| value.into_inner()), doubles)
}

fn hundredths(values: impl Iterator<Item = i64>, doubles: DoubleTypeMapping) -> ArrayRef {
    match doubles {
        DoubleTypeMapping::Double => {
            Arc::new(Float64Array::from_iter_values(values.map(|value| value as f64 / 100.0)))
        }
        DoubleTypeMapping::Decimal => {
            let array = Decimal128Array::from_iter_values(values.map(i128::from));
            Arc::new(array.with_data_type(DECIMAL))
        }
    }
}

fn varchar<S: AsRef<str>>(values: impl Iterator<Item = S>) -> ArrayRef {
    Arc::new(StringViewArray::from_iter_values(values))
}

fn printed(values: impl ExactSizeIterator<Item = impl Display>) -> ArrayRef {
    let mut builder = StringViewBuilder::with_capacity(values.len());
    let mut text = String::new();
    for value in values {
        text.clear();
        // Writing to a String cannot fail.
        let _ = write!(text, "{value}");
        builder.append_value(&text);
    }
    Arc::new(builder.finish())
}

// === one column of a table; the last arm is the comment ===

fn customer(rows: &[Customer<'static>], column: usize, doubles: DoubleTypeMapping) -> ArrayRef {
    match column {
        0 => bigint(rows.iter().map(|row| row.c_custkey)),
        1 => printed(rows.iter().map(|row| row.c_name)),
        2 => printed(rows.iter().map(|row| &row.c_address)),
        3 => bigint(rows.iter().map(|row| row.c_nationkey)),
        4 => printed(rows.iter().map(|row| &row.c_phone)),
        5 => money(rows.iter().map(|row| row.c_acctbal), doubles),
        6 => varchar(rows.iter().map(|row| row.c_mktsegment)),
        _ => varchar(rows.iter().map(|row| row.c_comment)),
    }
}

fn lineitem(rows: &[LineItem<'static>], column: usize, doubles: DoubleTypeMapping) -> ArrayRef {
    match column {
        0 => bigint(rows.iter().map(|row| row.l_orderkey)),
        1 => bigint(rows.iter().map(|row| row.l_partkey)),
        2 => bigint(rows.iter().map(|row| row.l_suppkey)),
        3 => integer(rows.iter().map(|row| row.l_linenumber)),
        4 => hundredths(rows.iter().map(|row| row.l_quantity * 100), doubles),
        5 => money(rows.iter().map(|row| row.l_extendedprice), doubles),
        6 => money(rows.iter().map(|row| row.l_discount), doubles),
        7 => money(rows.iter().map(|row| row.l_tax), doubles),
        8 => varchar(rows.iter().map(|row| row.l_returnflag)),
        9 => varchar(rows.iter().map(|row| row.l_linestatus)),
        10 => date(rows.iter().map(|row| row.l_shipdate)),
        11 => date(rows.iter().map(|row| row.l_commitdate)),
        12 => date(rows.iter().map(|row| row.l_receiptdate)),
        13 => varchar(rows.iter().map(|row| row.l_shipinstruct)),
        14 => varchar(rows.iter().map(|row| row.l_shipmode)),
        _ => varchar(rows.iter().map(|row| row.l_comment)),
    }
}

fn nation(rows: &[Nation<'static>], column: usize, _: DoubleTypeMapping) -> ArrayRef {
    match column {
        0 => bigint(rows.iter().map(|row| row.n_nationkey)),
        1 => varchar(rows.iter().map(|row| row.n_name)),
        2 => bigint(rows.iter().map(|row| row.n_regionkey)),
        _ => varchar(rows.iter().map(|row| row.n_comment)),
    }
}

fn orders(rows: &[Order<'static>], column: usize, doubles: DoubleTypeMapping) -> ArrayRef {
    match column {
        0 => bigint(rows.iter().map(|row| row.o_orderkey)),
        1 => bigint(rows.iter().map(|row| row.o_custkey)),
        2 => varchar(rows.iter().map(|row| row.o_orderstatus.as_str())),
        3 => money(rows.iter().map(|row| row.o_totalprice), doubles),
        4 => date(rows.iter().map(|row| row.o_orderdate)),
        5 => varchar(rows.iter().map(|row| row.o_orderpriority)),
        6 => printed(rows.iter().map(|row| row.o_clerk)),
        7 => integer(rows.iter().map(|row| row.o_shippriority)),
        _ => varchar(rows.iter().map(|row| row.o_comment)),
    }
}

fn part(rows: &[Part<'static>], column: usize, doubles: DoubleTypeMapping) -> ArrayRef {
    match column {
        0 => bigint(rows.iter().map(|row| row.p_partkey)),
        1 => printed(rows.iter().map(|row| &row.p_name)),
        2 => printed(rows.iter().map(|row| row.p_mfgr)),
        3 => printed(rows.iter().map(|row| row.p_brand)),
        4 => varchar(rows.iter().map(|row| row.p_type)),
        5 => integer(rows.iter().map(|row| row.p_size)),
        6 => varchar(rows.iter().map(|row| row.p_container)),
        7 => money(rows.iter().map(|row| row.p_retailprice), doubles),
        _ => varchar(rows.iter().map(|row| row.p_comment)),
    }
}

fn partsupp(rows: &[PartSupp<'static>], column: usize, doubles: DoubleTypeMapping) -> ArrayRef {
    match column {
        0 => bigint(rows.iter().map(|row| row.ps_partkey)),
        1 => bigint(rows.iter().map(|row| row.ps_suppkey)),
        2 => integer(rows.iter().map(|row| row.ps_availqty)),
        3 => money(rows.iter().map(|row| row.ps_supplycost), doubles),
        _ => varchar(rows.iter().map(|row| row.ps_comment)),
    }
}

fn region(rows: &[Region<'static>], column: usize, _: DoubleTypeMapping) -> ArrayRef {
    match column {
        0 => bigint(rows.iter().map(|row| row.r_regionkey)),
        1 => varchar(rows.iter().map(|row| row.r_name)),
        _ => varchar(rows.iter().map(|row| row.r_comment)),
    }
}

fn supplier(rows: &[Supplier], column: usize, doubles: DoubleTypeMapping) -> ArrayRef {
    match column {
        0 => bigint(rows.iter().map(|row| row.s_suppkey)),
        1 => printed(rows.iter().map(|row| row.s_name)),
        2 => printed(rows.iter().map(|row| &row.s_address)),
        3 => bigint(rows.iter().map(|row| row.s_nationkey)),
        4 => printed(rows.iter().map(|row| &row.s_phone)),
        5 => money(rows.iter().map(|row| row.s_acctbal), doubles),
        _ => varchar(rows.iter().map(|row| &row.s_comment)),
    }
}

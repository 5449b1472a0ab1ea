//! The tables of the catalog `corpus`, schema `data`: small, with NULLs, skew and duplicate keys,
//! in several files each, so that every scan can be divided. They are the same in every run.
//!
//! | table | rows | what |
//! |---|---|---|
//! | `fact` | 600 | `id` unique; `k` is 7 in half of the rows and NULL in a tenth; every other column has NULLs |
//! | `dim` | 90 | `k` repeats three or four times, has values that `fact` has not, and NULLs |
//! | `none` | 0 | as `dim` |
//! | `nulls` | 6 | `k` is always NULL |
//! | `single` | 1 | one file: a scan that cannot be divided |

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, RecordBatch,
    StringArray, TimestampMicrosecondArray,
};
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::file::properties::WriterProperties;

/// 2024-01-01 in days and in microseconds.
const FIRST_DAY: i32 = 19_723;
const FIRST_INSTANT: i64 = FIRST_DAY as i64 * 86_400_000_000;
/// Rows of a row group: files have several.
const ROW_GROUP: usize = 64;

/// Writes all tables below `folder`.
///
/// # Errors
/// When a file cannot be written.
pub fn generate(folder: &Path) -> Result<()> {
    let schema = folder.join("data");
    write(&schema, "fact", &fact(600)?, 4)?;
    write(&schema, "dim", &dim(90)?, 3)?;
    write(&schema, "none", &dim(0)?, 2)?;
    write(&schema, "nulls", &nulls(6)?, 2)?;
    write(&schema, "single", &single()?, 1)
}

fn write(schema: &Path, table: &str, rows: &RecordBatch, files: usize) -> Result<()> {
    let folder = schema.join(table);
    std::fs::create_dir_all(&folder)?;
    let each = rows.num_rows().div_ceil(files);
    for number in 0..files {
        let from = (number * each).min(rows.num_rows());
        let part = rows.slice(from, each.min(rows.num_rows() - from));
        let file = File::create(folder.join(format!("{number}.parquet")))?;
        let properties = WriterProperties::builder().set_max_row_group_row_count(Some(ROW_GROUP));
        let mut writer = ArrowWriter::try_new(file, rows.schema(), Some(properties.build()))?;
        writer.write(&part)?;
        writer.close()?;
    }
    Ok(())
}

/// Values of a column; rows where `null` holds have none.
fn column<T>(
    rows: i64,
    null: impl Fn(i64) -> bool,
    value: impl Fn(i64) -> T,
) -> impl Iterator<Item = Option<T>> {
    (0..rows).map(move |row| (!null(row)).then(|| value(row)))
}

fn bigint(values: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    Arc::new(values.collect::<Int64Array>())
}

fn varchar(values: impl Iterator<Item = Option<String>>) -> ArrayRef {
    Arc::new(values.collect::<StringArray>())
}

fn never(_: i64) -> bool {
    false
}

fn fact(rows: i64) -> Result<RecordBatch> {
    let key = |row| if row % 2 == 1 { 7 } else { row % 20 };
    let text = |row| if row % 13 == 0 { String::new() } else { format!("s{}", row % 17) };
    let cents = column(rows, |row| row % 8 == 6, |row| i128::from((row * 7919) % 20_000 - 10_000));
    let day = |row: i64| FIRST_DAY + i32::try_from(row % 60).unwrap_or(0);
    let instant = |row: i64| FIRST_INSTANT + row * 3_607_000_000;
    Ok(RecordBatch::try_from_iter_with_nullable([
        ("id", bigint(column(rows, never, |row| row)), false),
        ("k", bigint(column(rows, |row| row % 10 == 0, key)), true),
        ("v", bigint(column(rows, |row| row % 7 == 3, |row| (row * 37) % 101 - 50)), true),
        ("s", varchar(column(rows, |row| row % 11 == 5, text)), true),
        (
            "d",
            // Quarters: their sums are exact in any order.
            Arc::new(
                column(rows, |row| row % 9 == 4, |row| (row % 40) as f64 / 4.0)
                    .collect::<Float64Array>(),
            ),
            true,
        ),
        ("p", Arc::new(cents.collect::<Decimal128Array>().with_precision_and_scale(10, 2)?), true),
        ("day", Arc::new(column(rows, |row| row % 12 == 11, day).collect::<Date32Array>()), true),
        ("at", Arc::new(column(rows, never, instant).collect::<TimestampMicrosecondArray>()), true),
        (
            "b",
            Arc::new(
                column(rows, |row| row % 3 == 2, |row| row % 3 == 0).collect::<BooleanArray>(),
            ),
            true,
        ),
    ])?)
}

fn dim(rows: i64) -> Result<RecordBatch> {
    Ok(RecordBatch::try_from_iter_with_nullable([
        ("id", bigint(column(rows, never, |row| row)), false),
        ("k", bigint(column(rows, |row| row % 15 == 0, |row| row % 25)), true),
        ("name", varchar(column(rows, |row| row % 10 == 9, |row| format!("n{}", row % 6))), true),
        ("w", bigint(column(rows, |row| row % 4 == 3, |row| row * row % 50)), true),
    ])?)
}

fn nulls(rows: i64) -> Result<RecordBatch> {
    Ok(RecordBatch::try_from_iter_with_nullable([
        ("id", bigint(column(rows, never, |row| row)), false),
        ("k", bigint(column(rows, |_| true, |_| 0)), true),
        ("v", bigint(column(rows, |row| row % 2 == 0, |row| row)), true),
    ])?)
}

fn single() -> Result<RecordBatch> {
    Ok(RecordBatch::try_from_iter_with_nullable([
        ("id", bigint([Some(1)].into_iter()), false),
        ("k", bigint([Some(7)].into_iter()), true),
        ("v", bigint([Some(42)].into_iter()), true),
    ])?)
}

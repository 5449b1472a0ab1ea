//! The eight tables of TPC-H as Parquet files, in the layout of the connector `files`:
//! `<data>/sf<scale>/tpch/<table>/<table>.parquet`. They are written once and kept.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::Context;
use datafusion::arrow::record_batch::RecordBatchReader;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::basic::Compression;
use datafusion::parquet::file::properties::WriterProperties;
use tpchgen::generators::{
    CustomerGenerator, LineItemGenerator, NationGenerator, OrderGenerator, PartGenerator,
    PartSuppGenerator, RegionGenerator, SupplierGenerator,
};
use tpchgen_arrow::{
    CustomerArrow, LineItemArrow, NationArrow, OrderArrow, PartArrow, PartSuppArrow, RegionArrow,
    SupplierArrow,
};

use crate::place;

/// The tables; the schema that they are in.
pub const TABLES: [&str; 8] =
    ["customer", "lineitem", "nation", "orders", "part", "partsupp", "region", "supplier"];
/// The schema that the tables are in.
pub const SCHEMA: &str = "tpch";
/// Small enough that the larger tables have several at scale 1, so that readers can share a file.
const ROWS_IN_GROUP: usize = 128 * 1024;

/// A table's rows: names as in the standard, amounts DECIMAL(15,2).
fn rows(table: &str, scale: f64) -> anyhow::Result<Box<dyn RecordBatchReader>> {
    Ok(match table {
        "customer" => Box::new(CustomerArrow::new(CustomerGenerator::new(scale, 1, 1))),
        "lineitem" => Box::new(LineItemArrow::new(LineItemGenerator::new(scale, 1, 1))),
        "nation" => Box::new(NationArrow::new(NationGenerator::new(scale, 1, 1))),
        "orders" => Box::new(OrderArrow::new(OrderGenerator::new(scale, 1, 1))),
        "part" => Box::new(PartArrow::new(PartGenerator::new(scale, 1, 1))),
        "partsupp" => Box::new(PartSuppArrow::new(PartSuppGenerator::new(scale, 1, 1))),
        "region" => Box::new(RegionArrow::new(RegionGenerator::new(scale, 1, 1))),
        "supplier" => Box::new(SupplierArrow::new(SupplierGenerator::new(scale, 1, 1))),
        other => anyhow::bail!("TPC-H has no table {other}"),
    })
}

/// A scale factor as it is written in a folder's name.
pub fn scale(text: &str) -> Result<String, String> {
    match text.parse::<f64>() {
        Ok(scale) if (0.001..=1000.0).contains(&scale) => Ok(text.to_owned()),
        _ => Err("expected a number from 0.001 to 1000".to_owned()),
    }
}

/// The folder `sf<scale>` in `data`, made if absent.
pub fn ensure(data: &Path, scale: &str) -> anyhow::Result<PathBuf> {
    let folder = data.join(format!("sf{scale}"));
    if folder.is_dir() {
        return Ok(folder);
    }
    eprintln!("writes {}", folder.display());
    // Renamed when it is whole, so that a run that was stopped leaves no half tables.
    let made = place::temporary(data)?;
    for table in TABLES {
        write(table, scale.parse()?, &made.path().join(SCHEMA))?;
    }
    fs::rename(made.path(), &folder)
        .with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder)
}

fn write(table: &str, scale: f64, schema: &Path) -> anyhow::Result<()> {
    let folder = schema.join(table);
    fs::create_dir_all(&folder)?;
    let path = folder.join(format!("{table}.parquet"));
    let rows = rows(table, scale)?;
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_max_row_group_row_count(Some(ROWS_IN_GROUP))
        .build();
    let mut writer = ArrowWriter::try_new(File::create(&path)?, rows.schema(), Some(properties))?;
    for batch in rows {
        writer.write(&batch?)?;
    }
    writer.close().with_context(|| format!("cannot write {}", path.display()))?;
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn tables_are_written_whole_and_once() {
        let data = TempDir::new().unwrap();
        let folder = ensure(data.path(), "0.001").unwrap();
        assert_eq!(folder, data.path().join("sf0.001"));
        let open = |table: &str| {
            let path = folder.join(format!("tpch/{table}/{table}.parquet"));
            ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap()
        };
        for (table, rows) in [("nation", 25), ("region", 5), ("orders", 1500), ("partsupp", 800)] {
            assert_eq!(open(table).metadata().file_metadata().num_rows(), rows, "{table}");
        }
        let price = open("lineitem").schema().field_with_name("l_extendedprice").unwrap().clone();
        assert_eq!(price.data_type().to_string(), "Decimal128(15, 2)");

        let written = fs::metadata(folder.join("tpch/nation/nation.parquet")).unwrap();
        ensure(data.path(), "0.001").unwrap();
        let again = fs::metadata(folder.join("tpch/nation/nation.parquet")).unwrap();
        assert_eq!(written.modified().unwrap(), again.modified().unwrap());
        assert_eq!(fs::read_dir(data.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_scale_is_a_number() {
        assert_eq!(scale("0.01").as_deref(), Ok("0.01"));
        for wrong in ["", "big", "0", "-1", "NaN", "1e9", "../x"] {
            assert!(scale(wrong).is_err(), "{wrong}");
        }
    }
}

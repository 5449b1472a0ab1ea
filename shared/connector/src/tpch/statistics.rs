//! What the planner may know of a scan without running it.

use datafusion::{
    common::{ColumnStatistics, Statistics, stats::Precision},
    scalar::ScalarValue,
};

use super::{
    scan::{PartRange, Scan},
    schema::{Definition, Domain, DoubleTypeMapping, Kind},
};

/// Returns the statistics of some partitions of a scan. Row counts are exact, but of `lineitem`;
/// all else is an estimate over the whole table.
pub(crate) fn of(scan: &Scan, partitions: &[PartRange]) -> Statistics {
    let rows: u64 = partitions
        .iter()
        .map(|range| scan.table.rows(scan.scale, range.from, range.to))
        .map(|rows| scan.limit.map_or(rows, |limit| rows.min(limit as u64)))
        .sum();
    let num_rows = match usize::try_from(rows).unwrap_or(usize::MAX) {
        rows if scan.table.rows_are_exact() => Precision::Exact(rows),
        rows => Precision::Inexact(rows),
    };
    let columns = || {
        let definitions = scan.table.definitions();
        scan.projection.iter().filter_map(|column| definitions.get(*column))
    };
    let bytes: u64 = columns().map(|column| column.bytes(scan.doubles)).sum::<u64>() * rows;
    Statistics {
        num_rows,
        total_byte_size: Precision::Inexact(usize::try_from(bytes).unwrap_or(usize::MAX)),
        column_statistics: columns().map(|column| column_statistics(scan, column, rows)).collect(),
    }
}

fn column_statistics(scan: &Scan, column: &Definition, rows: u64) -> ColumnStatistics {
    let key_count = |table: super::Table| table.rows(scan.scale, 0, table.parts(scan.scale));
    let (bounds, distinct) = match column.domain {
        Domain::Distinct => (None, rows),
        Domain::Few(values) => (None, u64::from(values)),
        Domain::Between(low, high) => (Some((low, high)), high.abs_diff(low) + 1),
        Domain::KeyOf(table) => {
            let keys = key_count(table);
            (Some((1, keys.cast_signed())), keys)
        }
        Domain::OrderKey => {
            let keys = key_count(super::Table::Orders);
            (Some((1, keys.cast_signed() * 4)), keys)
        }
    };
    let bound = |value: Option<i64>| {
        value.and_then(|value| scalar(value, column.kind, scan.doubles)).map_or(
            Precision::Absent,
            // Never exact: the optimizer would take them for the result of min() and max().
            Precision::Inexact,
        )
    };
    let distinct = usize::try_from(distinct.min(rows)).unwrap_or(usize::MAX);
    let bytes = column.bytes(scan.doubles) * rows;
    ColumnStatistics::new_unknown()
        .with_null_count(Precision::Exact(0))
        .with_min_value(bound(bounds.map(|(low, _)| low)))
        .with_max_value(bound(bounds.map(|(_, high)| high)))
        .with_distinct_count(Precision::Inexact(distinct))
        .with_byte_size(Precision::Inexact(usize::try_from(bytes).unwrap_or(usize::MAX)))
}

fn scalar(value: i64, kind: Kind, doubles: DoubleTypeMapping) -> Option<ScalarValue> {
    let small = i32::try_from(value).ok();
    match kind {
        Kind::Bigint => Some(ScalarValue::Int64(Some(value))),
        Kind::Integer => small.map(|value| ScalarValue::Int32(Some(value))),
        Kind::Date => small.map(|days| ScalarValue::Date32(Some(days))),
        Kind::Double => Some(match doubles {
            DoubleTypeMapping::Double => ScalarValue::Float64(Some(value as f64 / 100.0)),
            DoubleTypeMapping::Decimal => ScalarValue::Decimal128(Some(value.into()), 12, 2),
        }),
        Kind::Varchar(..) => None,
    }
}

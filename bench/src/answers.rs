//! Whether two sides gave the same rows.

use std::cmp::Ordering;

/// A row as text; `None` is NULL.
pub type Row = Vec<Option<String>>;

/// How the values of a column are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// As text.
    Exact,
    /// As numbers, to 1e-9 relative.
    Double,
    /// Likewise; where the numbers of digits differ, to one unit of the last common one. Trino
    /// rounds averages and quotients to fewer digits than DataFusion, which cuts digits off.
    Decimal,
}

impl Kind {
    fn of(trino_type: &str) -> Self {
        match trino_type {
            "double" | "real" => Self::Double,
            decimal if decimal.starts_with("decimal") => Self::Decimal,
            _ => Self::Exact,
        }
    }

    fn holds(self, a: &Option<String>, b: &Option<String>) -> bool {
        let (Some(a), Some(b)) = (a, b) else { return a == b };
        let slack = match self {
            Self::Exact => return a == b,
            Self::Decimal if digits(a) != digits(b) => {
                0.1_f64.powi(digits(a).min(digits(b)).try_into().unwrap_or(i32::MAX))
            }
            Self::Double | Self::Decimal => 0.0,
        };
        let (Ok(x), Ok(y)) = (a.parse::<f64>(), b.parse::<f64>()) else { return a == b };
        (x - y).abs() <= slack + 1e-9 * x.abs().max(y.abs())
    }
}

/// Digits after the point.
fn digits(decimal: &str) -> usize {
    decimal.split_once('.').map_or(0, |(_, fraction)| fraction.len())
}

/// Compares rows as multisets. `types` are Trino's types of the columns.
///
/// # Errors
/// The first difference.
pub fn compare(types: &[String], expected: Vec<Row>, actual: Vec<Row>) -> Result<(), String> {
    if expected.len() != actual.len() {
        return Err(format!("{} rows, not {}", actual.len(), expected.len()));
    }
    let kinds: Vec<Kind> = types.iter().map(|name| Kind::of(name)).collect();
    let (expected, actual) = (sorted(&kinds, expected), sorted(&kinds, actual));
    for (wanted, row) in expected.iter().zip(&actual) {
        let same = wanted.len() == kinds.len()
            && row.len() == kinds.len()
            && kinds.iter().zip(wanted.iter().zip(row)).all(|(kind, (a, b))| kind.holds(a, b));
        if !same {
            return Err(format!("{row:?}, not {wanted:?}"));
        }
    }
    Ok(())
}

/// Puts rows into an order that small differences of numbers hardly change: first by the columns
/// that are compared exactly.
fn sorted(kinds: &[Kind], mut rows: Vec<Row>) -> Vec<Row> {
    let cells = |row: &Row, exact: bool| {
        let chosen =
            kinds.iter().zip(row).filter(move |(kind, _)| (**kind == Kind::Exact) == exact);
        chosen.map(|(_, cell)| cell.clone()).collect::<Vec<_>>()
    };
    let number = |cell: &Option<String>| {
        cell.as_ref().and_then(|text| text.parse().ok()).unwrap_or(f64::NEG_INFINITY)
    };
    let by_number = |a: &Row, b: &Row| {
        let (a, b) = (cells(a, false), cells(b, false));
        let orders = a.iter().zip(&b).map(|(a, b)| number(a).total_cmp(&number(b)));
        orders.fold(Ordering::Equal, Ordering::then)
    };
    rows.sort_by(|a, b| cells(a, true).cmp(&cells(b, true)).then_with(|| by_number(a, b)));
    rows
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn rows(rows: &[&[&str]]) -> Vec<Row> {
        let cell = |text: &&str| (!text.is_empty()).then(|| (*text).to_owned());
        rows.iter().map(|row| row.iter().map(cell).collect()).collect()
    }

    fn types(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn order_does_not_matter_and_rows_do() {
        let types = types(&["varchar", "bigint"]);
        let all = rows(&[&["a", "1"], &["a", "2"], &["", "3"]]);
        let other = rows(&[&["", "3"], &["a", "2"], &["a", "1"]]);
        assert_eq!(compare(&types, all.clone(), other), Ok(()));
        for wrong in [
            rows(&[&["a", "1"], &["a", "2"]]),
            rows(&[&["a", "1"], &["a", "1"], &["", "3"]]),
            rows(&[&["a", "1"], &["a", "2"], &["", ""]]),
            rows(&[&["a"], &["a"], &["b"]]),
        ] {
            assert!(compare(&types, all.clone(), wrong.clone()).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn numbers_have_the_tolerance_of_their_type() {
        let same = |name: &str, a: &str, b: &str| {
            compare(&types(&[name]), rows(&[&[a]]), rows(&[&[b]])).is_ok()
        };
        assert!(same("decimal(15,2)", "25.575154", "25.58"));
        assert!(!same("decimal(15,2)", "25.575154", "25.60"));
        assert!(!same("decimal(15,2)", "25.57", "25.58"));
        assert!(same("decimal(38,4)", "1.5000", "1.5"));
        assert!(same("double", "0.1", "0.10000000000001"));
        assert!(!same("double", "0.1", "0.11"));
        assert!(!same("double", "", "0"));
        assert!(!same("varchar(1)", "1.0", "1"));
    }

    #[test]
    fn rows_that_differ_in_numbers_alone_are_paired_by_size() {
        let types = types(&["bigint", "decimal(15,2)"]);
        let a = rows(&[&["1", "10.004"], &["1", "9.00"], &["0", "5.00"]]);
        let b = rows(&[&["0", "5.00"], &["1", "9.00"], &["1", "10.00"]]);
        assert_eq!(compare(&types, a, b), Ok(()));
    }
}

//! The 22 TPC-H queries, their answers at scale factor 0.01, and a comparator.
//!
//! The queries use the specification's column names (`tpch.column-naming=STANDARD`); the answers
//! are exact with `tpch.double-type-mapping=DECIMAL`.

use std::fmt::Write;

/// A column of a result that is compared.
#[derive(Clone, Debug)]
pub struct Column {
    /// The column's name.
    pub name: String,
    /// Its type as Trino writes it; only `double`, `real` and `decimal(p,s)` matter.
    pub trino_type: String,
}

/// Rows as text; `None` is NULL.
pub type Rows = Vec<Vec<Option<String>>>;

/// Averages and quotients: their answers are doubles, where the query may yield a decimal.
pub const QUOTIENTS: [&str; 6] =
    ["avg_qty", "avg_price", "avg_disc", "mkt_share", "promo_revenue", "avg_yearly"];

macro_rules! files {
    ($($n:literal)*) => {
        [$((
            $n,
            include_str!(concat!("../../../tests/tpch/queries/q", $n, ".sql")),
            include_str!(concat!("../../../tests/tpch/answers-sf0.01/q", $n, ".csv")),
        )),*]
    };
}

/// Number, text and answer of each query.
const FILES: [(u32, &str, &str); 22] =
    files!(1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22);

/// Returns number and text of each query, in order.
pub fn queries() -> impl Iterator<Item = (u32, &'static str)> {
    FILES.iter().map(|(n, sql, _)| (*n, sql.trim()))
}

/// Returns column names and rows of query `n`'s answer.
///
/// # Panics
/// If `n` is not 1 to 22.
pub fn answers(n: u32) -> (Vec<String>, Rows) {
    let mut lines = parse_csv(FILES[n as usize - 1].2).into_iter();
    let names = lines.next().unwrap_or_default().into_iter().map(Option::unwrap_or_default);
    (names.collect(), lines.collect())
}

/// Returns the columns that query `n` orders by, if rows may tie on them: then only these columns
/// are compared in order, and whole rows as a multiset. Every other query orders its rows totally.
fn partial_order(n: u32) -> Option<&'static [&'static str]> {
    match n {
        3 => Some(&["revenue", "o_orderdate"]),
        5 | 10 => Some(&["revenue"]),
        11 => Some(&["value"]),
        18 => Some(&["o_totalprice", "o_orderdate"]),
        _ => None,
    }
}

/// Compares a result of query `n` at scale factor 0.01 with its answer.
///
/// Doubles are equal within 1e-9 relative. Decimals are equal exactly, but for [`QUOTIENTS`]:
/// within half a unit of the last digit plus 1e-9 relative.
///
/// # Errors
/// The first difference.
pub fn compare(n: u32, columns: &[Column], rows: &Rows) -> Result<(), String> {
    compare_within(n, columns, rows, 0.5)
}

/// Compares as [`compare`] does, with decimal [`QUOTIENTS`] within `units` of the last digit.
/// DataFusion by itself cuts digits off, where Trino rounds: for it one unit is right.
///
/// # Errors
/// The first difference.
pub fn compare_within(n: u32, columns: &[Column], rows: &Rows, units: f64) -> Result<(), String> {
    let (names, expected) = answers(n);
    let actual_names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    if actual_names != names {
        return Err(format!("q{n}: columns {actual_names:?}, not {names:?}"));
    }
    if rows.len() != expected.len() {
        return Err(format!("q{n}: {} rows, not {}", rows.len(), expected.len()));
    }
    let equality = Equality { columns, units };
    let Some(ordered) = partial_order(n) else {
        let all: Vec<usize> = (0..columns.len()).collect();
        return in_order(n, &equality, &all, &expected, rows);
    };
    let by: Vec<usize> =
        (0..columns.len()).filter(|i| ordered.contains(&names[*i].as_str())).collect();
    in_order(n, &equality, &by, &expected, rows)?;
    as_multiset(n, &equality, &expected, rows)
}

fn in_order(
    n: u32,
    equality: &Equality<'_>,
    places: &[usize],
    expected: &Rows,
    rows: &Rows,
) -> Result<(), String> {
    for (i, (wanted, row)) in expected.iter().zip(rows).enumerate() {
        for place in places {
            if !equality.holds(*place, &wanted[*place], &row[*place]) {
                let name = &equality.columns[*place].name;
                let mut message = format!("q{n}: row {i}, column {name}: ");
                let _ = write!(message, "{:?}, not {:?}", row[*place], wanted[*place]);
                return Err(message);
            }
        }
    }
    Ok(())
}

fn as_multiset(
    n: u32,
    equality: &Equality<'_>,
    expected: &Rows,
    rows: &Rows,
) -> Result<(), String> {
    let mut left: Vec<&Vec<Option<String>>> = rows.iter().collect();
    for wanted in expected {
        let same = |row: &&Vec<Option<String>>| {
            wanted.iter().zip(*row).enumerate().all(|(place, (a, b))| equality.holds(place, a, b))
        };
        match left.iter().position(same) {
            Some(place) => left.swap_remove(place),
            None => return Err(format!("q{n}: no row is {wanted:?}")),
        };
    }
    Ok(())
}

/// When two values are equal.
struct Equality<'a> {
    columns: &'a [Column],
    /// Units of the last digit by which a decimal quotient may differ.
    units: f64,
}

impl Equality<'_> {
    fn holds(&self, place: usize, expected: &Option<String>, actual: &Option<String>) -> bool {
        let (Some(expected), Some(actual)) = (expected, actual) else { return expected == actual };
        let numbers = || Some((expected.parse::<f64>().ok()?, actual.parse::<f64>().ok()?));
        let near = |slack: f64| {
            numbers().is_some_and(|(a, b)| (a - b).abs() <= slack + 1e-9 * a.abs().max(b.abs()))
        };
        let column = &self.columns[place];
        match column.trino_type.as_str() {
            "double" | "real" => near(0.0),
            decimal if decimal.starts_with("decimal") => {
                if QUOTIENTS.contains(&column.name.as_str()) {
                    let digits = actual.split_once('.').map_or(0, |(_, fraction)| fraction.len());
                    near(self.units * 0.1_f64.powi(i32::try_from(digits).unwrap_or(0)))
                } else {
                    plain(expected) == plain(actual)
                }
            }
            _ => expected == actual,
        }
    }
}

/// Returns a decimal without the zeros at its end.
fn plain(decimal: &str) -> &str {
    if decimal.contains('.') {
        decimal.trim_end_matches('0').trim_end_matches('.')
    } else {
        decimal
    }
}

/// Parses CSV whose empty fields are NULL: no answer has an empty string.
fn parse_csv(text: &str) -> Rows {
    let mut rows = Vec::new();
    let mut row = Vec::new();
    let mut field = String::new();
    let mut quoted = false;
    let mut characters = text.chars().peekable();
    let null_if_empty = |field: &mut String| Some(std::mem::take(field)).filter(|f| !f.is_empty());
    while let Some(character) = characters.next() {
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => {
                field.push('"');
                characters.next();
            }
            '"' => quoted = !quoted,
            ',' if !quoted => row.push(null_if_empty(&mut field)),
            '\n' if !quoted => {
                row.push(null_if_empty(&mut field));
                rows.push(std::mem::take(&mut row));
            }
            '\r' if !quoted => {}
            other => field.push(other),
        }
    }
    rows
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn typed(n: u32, type_of: impl Fn(&str) -> &'static str) -> (Vec<Column>, Rows) {
        let (names, rows) = answers(n);
        let columns = names
            .into_iter()
            .map(|name| Column { trino_type: type_of(&name).to_owned(), name })
            .collect();
        (columns, rows)
    }

    #[test]
    fn every_answer_equals_itself() {
        assert_eq!(queries().count(), 22);
        for (n, sql) in queries() {
            assert!(sql.contains("select"), "q{n}");
            let (columns, rows) = typed(n, |_| "varchar");
            assert!(!rows.is_empty() && rows.iter().all(|row| row.len() == columns.len()));
            compare(n, &columns, &rows).unwrap();
        }
    }

    #[test]
    fn csv_keeps_commas_and_nulls() {
        assert_eq!(answers(10).1[0][5].as_deref(), Some("IJf1FlZL9I9m,rvofcoKy5pRUOjUQV"));
        assert_eq!(answers(17).1, [[None]]);
    }

    #[test]
    fn order_counts_where_the_query_orders() {
        let (columns, mut rows) = typed(1, |_| "varchar");
        rows.swap(0, 1);
        assert!(compare(1, &columns, &rows).unwrap_err().contains("row 0, column l_returnflag"));
        let (columns, mut rows) = typed(18, |_| "varchar");
        rows.swap(0, 1);
        assert!(compare(18, &columns, &rows).unwrap_err().contains("column o_orderdate"));
    }

    #[test]
    fn numbers_are_compared_by_their_type() {
        let column = |name: &str, trino_type: &str| Column {
            name: name.to_owned(),
            trino_type: trino_type.to_owned(),
        };
        let holds = |column: &Column, a: Option<&str>, b: Option<&str>| {
            let equality = Equality { columns: std::slice::from_ref(column), units: 0.5 };
            equality.holds(0, &a.map(str::to_owned), &b.map(str::to_owned))
        };
        let equal = |column: &Column, a: &str, b: &str| holds(column, Some(a), Some(b));
        assert!(equal(&column("revenue", "decimal(38,4)"), "1.5000", "1.5"));
        assert!(!equal(&column("revenue", "decimal(38,4)"), "1.5000", "1.5001"));
        assert!(equal(&column("avg_qty", "decimal(12,2)"), "25.575154611454693", "25.58"));
        assert!(!equal(&column("avg_qty", "decimal(12,2)"), "25.575154611454693", "25.57"));
        assert!(equal(&column("revenue", "double"), "1193053.2253", "1.1930532253000001E6"));
        assert!(!equal(&column("avg_qty", "double"), "25.575154611454693", "25.58"));
        assert!(!holds(&column("x", "double"), None, Some("0")));
    }

    #[test]
    fn a_wrong_row_is_found_among_ties() {
        let (columns, mut rows) = typed(11, |_| "varchar");
        rows[3][0] = Some("1".to_owned());
        assert!(compare(11, &columns, &rows).unwrap_err().contains("no row is"));
    }
}

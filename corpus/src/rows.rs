//! Rows as the corpus writes them, and when they are equal.

use serde_json::Value;

/// Relative difference that doubles may have: sums depend on the order of their terms.
const RELATIVE: f64 = 1e-9;

/// A row as one line: values with a blank between them, `NULL`, `(empty)` for the empty string;
/// arrays, maps and rows as JSON.
pub fn line(row: &[Value]) -> String {
    row.iter().map(cell).collect::<Vec<_>>().join(" ")
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::String(text) if text.is_empty() => "(empty)".to_owned(),
        Value::String(text) => words(text),
        other => words(&other.to_string()),
    }
}

/// With one blank for each stretch of blanks and line ends.
fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether a row is the one that a line of a corpus file describes.
pub fn is_line(row: &[Value], types: &[String], expected: &str) -> bool {
    let mut rest = words(expected);
    for (position, value) in row.iter().enumerate() {
        let shown = cell(value);
        let taken = match value {
            Value::Number(_) if is_approximate(types.get(position)) => {
                let token = rest.split(' ').next().unwrap_or_default();
                let near = near(&shown, token);
                if !near {
                    return false;
                }
                token.len()
            }
            _ if rest.starts_with(&shown) => shown.len(),
            _ => return false,
        };
        let after = &rest[taken..];
        let last = position + 1 == row.len();
        rest = match after.strip_prefix(' ') {
            Some(after) if !last => after.to_owned(),
            None if last && after.is_empty() => String::new(),
            // A string of blanks alone shows nothing.
            None if !last && taken == 0 => after.to_owned(),
            _ => return false,
        };
    }
    rest.is_empty()
}

fn is_approximate(trino_type: Option<&String>) -> bool {
    trino_type.is_some_and(|name| name == "double" || name == "real")
}

fn near(one: &str, other: &str) -> bool {
    match (one.parse::<f64>(), other.parse::<f64>()) {
        (Ok(one), Ok(other)) => (one - other).abs() <= RELATIVE * one.abs().max(other.abs()),
        _ => false,
    }
}

/// Whether two values are equal; numbers with a fraction within [`RELATIVE`], at any depth.
pub fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(a), Value::Number(b)) if a.is_f64() || b.is_f64() => {
            near(&a.to_string(), &b.to_string())
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter().zip(b).all(|((key, a), (other, b))| key == other && same(a, b))
        }
        _ => one == other,
    }
}

/// Whether two results have the same rows, in the same order or in any.
pub fn same_rows(one: &[Vec<Value>], other: &[Vec<Value>], ordered: bool) -> bool {
    let same_row =
        |a: &[Value], b: &[Value]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b));
    if one.len() != other.len() {
        return false;
    }
    if ordered {
        return one.iter().zip(other).all(|(a, b)| same_row(a, b));
    }
    matched(
        one.len(),
        other.len(),
        |a, b| same_row(&one[a], &other[b]),
        |a| line(&one[a]),
        |b| line(&other[b]),
    )
}

/// Whether the rows are those of the lines, in the same order or in any.
pub fn are_lines(rows: &[Vec<Value>], types: &[String], lines: &[String], ordered: bool) -> bool {
    if rows.len() != lines.len() {
        return false;
    }
    if ordered {
        return rows.iter().zip(lines).all(|(row, line)| is_line(row, types, line));
    }
    let judge = |row: usize, at: usize| is_line(&rows[row], types, &lines[at]);
    matched(rows.len(), lines.len(), judge, |row| line(&rows[row]), |at| words(&lines[at]))
}

/// Whether each of the one can be paired with one of the other. Both are sorted by their text
/// first, so that nearly all pairs are found at once.
fn matched(
    ones: usize,
    others: usize,
    same: impl Fn(usize, usize) -> bool,
    text: impl Fn(usize) -> String,
    other_text: impl Fn(usize) -> String,
) -> bool {
    let mut left: Vec<usize> = (0..ones).collect();
    left.sort_by_cached_key(|at| text(*at));
    let mut right: Vec<usize> = (0..others).collect();
    right.sort_by_cached_key(|at| other_text(*at));
    let mut right = std::collections::VecDeque::from(right);
    left.into_iter().all(|one| {
        let found = right.iter().position(|other| same(one, *other));
        found.is_some_and(|place| right.remove(place).is_some())
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn row(value: Value) -> Vec<Value> {
        serde_json::from_value(value).unwrap()
    }

    fn types(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_row_is_a_line() {
        let types = types(&["bigint", "varchar", "double", "array(bigint)", "varchar"]);
        let one = row(json!([1, "a  b", 0.30000000000000004, [1, null], ""]));
        assert_eq!(line(&one), "1 a b 0.30000000000000004 [1,null] (empty)");
        assert!(is_line(&one, &types, "1\ta b 0.3 [1,null] (empty)"));
        for wrong in [
            "2 a b 0.3 [1,null] (empty)",
            "1 a b 0.31 [1,null] (empty)",
            "1 a b 0.3 [1,null]",
            "1 a b 0.3 [1,null] (empty) x",
            "1 ab 0.3 [1,null] (empty)",
            "1 a b c 0.3 [1,null] (empty)",
        ] {
            assert!(!is_line(&one, &types, wrong), "{wrong}");
        }
        assert!(!is_line(&row(json!([12])), &types, "1"));
        assert!(!is_line(&row(json!([1])), &types, "12"));
        assert!(!is_line(&row(json!([1_000_000_001])), &types, "1000000002"));
        assert!(is_line(&row(json!([null])), &types, "NULL"));
    }

    #[test]
    fn order_counts_where_it_should() {
        let rows = [row(json!([2.0])), row(json!([1.0]))];
        let lines = ["1".to_owned(), "2.0000000001".to_owned()];
        let double = types(&["double"]);
        assert!(are_lines(&rows, &double, &lines, false));
        assert!(!are_lines(&rows, &double, &lines, true));
        assert!(!are_lines(&rows[..1], &double, &lines, false));
        let other = [row(json!([1.0])), row(json!([2.0]))];
        assert!(same_rows(&rows, &other, false));
        assert!(!same_rows(&rows, &other, true));
        assert!(!same_rows(&rows, &[row(json!([1.0])), row(json!([1.0]))], false));
    }

    #[test]
    fn numbers_without_a_fraction_are_exact() {
        assert!(!same(&json!(1_000_000_001), &json!(1_000_000_002)));
        assert!(same(&json!(1.0), &json!(1.000_000_000_1)));
        assert!(!same(&json!([1.0]), &json!([1.1])));
        assert!(!same(&json!("1.0"), &json!("1.00")));
    }
}

//! The mix of small queries, each with its one right answer at TPC-H scale 0.01.

use serde_json::{Value, json};
use waterbear_testkit::client::Answer;

/// A query and how to tell whether its answer is right.
pub struct Query {
    /// Its name in the table.
    pub name: &'static str,
    /// The statement.
    pub sql: &'static str,
    right: Right,
}

enum Right {
    /// Exactly these rows in this order.
    Rows(Value),
    /// The error of this name.
    Error(&'static str),
    /// The keys of the first 15,000 orders, ascending: sparse, 8 of each 32.
    OrderKeys,
}

/// All queries of the mix.
pub fn mix() -> Vec<Query> {
    let rows = |name, sql, rows| Query { name, sql, right: Right::Rows(rows) };
    vec![
        rows("select 1", "SELECT 1", json!([[1]])),
        rows("small count", "SELECT count(*) FROM nation", json!([[25]])),
        rows(
            "large count",
            "SELECT count(*), sum(l_quantity) FROM lineitem WHERE l_shipdate <= DATE '1998-09-02'",
            json!([[59307, "1513678.00"]]),
        ),
        rows(
            "small join",
            SMALL_JOIN,
            json!([["AFRICA", 5], ["AMERICA", 5], ["ASIA", 5], ["EUROPE", 5], ["MIDDLE EAST", 5]]),
        ),
        rows(
            "group",
            GROUP,
            json!([
                ["A", "F", "380456.00", 14876],
                ["N", "F", "8971.00", 348],
                ["N", "O", "742802.00", 29181],
                ["R", "F", "381449.00", 14902]
            ]),
        ),
        rows(
            "tpch q4",
            Q4,
            json!([
                ["1-URGENT", 93],
                ["2-HIGH", 103],
                ["3-MEDIUM", 109],
                ["4-NOT SPECIFIED", 102],
                ["5-LOW", 128]
            ]),
        ),
        rows("tpch q6", Q6, json!([["1193053.2253"]])),
        rows("tpch q12", Q12, json!([["MAIL", 64, 86], ["SHIP", 61, 96]])),
        Query {
            name: "15,000 rows",
            sql: "SELECT o_orderkey FROM orders ORDER BY o_orderkey",
            right: Right::OrderKeys,
        },
        Query {
            name: "missing table",
            sql: "SELECT * FROM nosuchtable",
            right: Right::Error("TABLE_NOT_FOUND"),
        },
    ]
}

const SMALL_JOIN: &str = "SELECT r_name, count(*) FROM nation JOIN region ON n_regionkey = r_regionkey \
    GROUP BY r_name ORDER BY r_name";
const GROUP: &str = "SELECT l_returnflag, l_linestatus, sum(l_quantity), count(*) FROM lineitem \
    WHERE l_shipdate <= DATE '1998-09-02' GROUP BY 1, 2 ORDER BY 1, 2";
const Q4: &str = include_str!("../../tests/tpch/queries/q4.sql");
const Q6: &str = include_str!("../../tests/tpch/queries/q6.sql");
const Q12: &str = include_str!("../../tests/tpch/queries/q12.sql");

impl Query {
    /// What is wrong with an answer, if anything.
    pub fn judge(&self, answer: &Answer) -> Result<(), String> {
        let right = match (&self.right, answer) {
            (Right::Error(expected), Answer::Error { name, .. }) => name == expected,
            (_, Answer::Error { name, message }) => return Err(format!("{name}: {message}")),
            (Right::Rows(expected), Answer::Rows(table)) => json!(table.rows) == *expected,
            (Right::OrderKeys, Answer::Rows(table)) => order_keys_are_right(&table.rows),
            (Right::Error(expected), Answer::Rows(_)) => {
                return Err(format!("rows instead of {expected}"));
            }
        };
        let Answer::Rows(table) = answer else {
            return right.then_some(()).ok_or(format!("{answer:?}"));
        };
        right.then_some(()).ok_or_else(|| {
            let text: String = json!(table.rows).to_string().chars().take(200).collect();
            format!("wrong rows ({}): {text}", table.rows.len())
        })
    }

    /// Whether the query fails by design, so that an error is its right answer.
    pub fn must_fail(&self) -> bool {
        matches!(self.right, Right::Error(_))
    }
}

fn order_keys_are_right(rows: &[Vec<Value>]) -> bool {
    let key = |index: u64| ((index >> 3) << 5) | (index & 7);
    rows.len() == 15_000
        && rows.iter().zip(1..).all(|(row, index)| row.as_slice() == [json!(key(index))])
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use waterbear_testkit::client::Table;

    use super::*;

    fn named(name: &str) -> Query {
        mix().into_iter().find(|query| query.name == name).unwrap()
    }

    fn rows(value: Value) -> Answer {
        Answer::Rows(Table { rows: serde_json::from_value(value).unwrap(), ..Table::default() })
    }

    fn error(name: &str) -> Answer {
        Answer::Error { name: name.to_owned(), message: "m".to_owned() }
    }

    #[test]
    fn right_answers_pass_and_wrong_ones_do_not() {
        let count = named("small count");
        assert_eq!(count.judge(&rows(json!([[25]]))), Ok(()));
        for wrong in [json!([[24]]), json!([]), json!([[25], [25]]), json!([["25"]])] {
            assert!(
                count.judge(&rows(wrong.clone())).unwrap_err().contains("wrong rows"),
                "{wrong}"
            );
        }
        assert!(count.judge(&error("REMOTE_HOST_GONE")).unwrap_err().contains("REMOTE_HOST_GONE"));
    }

    #[test]
    fn a_query_that_must_fail_must_fail_by_name() {
        let missing = named("missing table");
        assert_eq!(missing.judge(&error("TABLE_NOT_FOUND")), Ok(()));
        assert!(missing.judge(&error("SYNTAX_ERROR")).is_err());
        assert!(missing.judge(&rows(json!([]))).is_err());
    }

    #[test]
    fn one_key_missing_doubled_or_out_of_order_is_wrong() {
        let keys: Vec<u64> =
            (1..=15_000_u64).map(|index| ((index >> 3) << 5) | (index & 7)).collect();
        let query = named("15,000 rows");
        let judge = |keys: &[u64]| {
            query.judge(&rows(json!(keys.iter().map(|key| [key]).collect::<Vec<_>>())))
        };
        assert_eq!(keys.last(), Some(&60_000));
        assert_eq!(judge(&keys), Ok(()));
        assert!(judge(&keys[1..]).is_err());
        let mut doubled = keys.clone();
        doubled[5] = doubled[4];
        assert!(judge(&doubled).is_err());
        let mut swapped = keys;
        swapped.swap(100, 101);
        assert!(judge(&swapped).is_err());
    }
}

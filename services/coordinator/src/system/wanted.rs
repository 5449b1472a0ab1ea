//! What a query asks of a system table, as far as it spares work: whole catalogs, schemas and
//! tables that no row of the answer can come from are not even looked at.

use datafusion::common::ScalarValue;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use waterbear_dialect::LikePattern;

/// The filters of a scan.
#[derive(Debug, Default, Clone)]
pub(super) struct Wanted(Vec<Expr>);

impl Wanted {
    /// Takes a scan's filters; what is not understood of them is left to the engine.
    pub fn new(filters: &[Expr]) -> Self {
        Self(filters.to_vec())
    }

    /// True unless no row with this value in this column can be in the answer.
    pub fn admits(&self, column: &str, value: &str) -> bool {
        self.0.iter().all(|filter| holds(filter, column, value) != Some(false))
    }
}

/// Whether a condition holds for every row with this value in this column; nothing when that
/// depends on more, or is NULL.
fn holds(filter: &Expr, column: &str, value: &str) -> Option<bool> {
    match filter {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
            match (holds(left, column, value), holds(right, column, value)) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (Some(true), Some(true)) => Some(true),
                _ => None,
            }
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
            match (holds(left, column, value), holds(right, column, value)) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            }
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let other = match (is(left, column), is(right, column)) {
                (true, false) => literal(right)?,
                (false, true) => literal(left)?,
                _ => return None,
            };
            match op {
                Operator::Eq => Some(other == value),
                Operator::NotEq => Some(other != value),
                _ => None,
            }
        }
        Expr::Not(inner) => holds(inner, column, value).map(|holds| !holds),
        Expr::IsNull(inner) if is(inner, column) => Some(false),
        Expr::IsNotNull(inner) if is(inner, column) => Some(true),
        Expr::Like(like) if is(&like.expr, column) && !like.case_insensitive => {
            // A pattern of the engine's, whose escape is always the backslash.
            let escape = like.escape_char.unwrap_or('\\').to_string();
            let pattern = LikePattern::new(&literal(&like.pattern)?, Some(&escape)).ok()?;
            Some(pattern.matches(value) != like.negated)
        }
        Expr::InList(list) if is(&list.expr, column) => {
            let values: Option<Vec<String>> = list.list.iter().map(literal).collect();
            Some(values?.iter().any(|one| one == value) != list.negated)
        }
        _ => None,
    }
}

/// True for the column itself, whatever type of text it is made.
fn is(expr: &Expr, column: &str) -> bool {
    match expr {
        Expr::Column(found) => found.name == column,
        Expr::Cast(cast) => is(&cast.expr, column) && cast.field.data_type().is_string(),
        _ => false,
    }
}

fn literal(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Literal(
            ScalarValue::Utf8(text) | ScalarValue::LargeUtf8(text) | ScalarValue::Utf8View(text),
            _,
        ) => text.clone(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use datafusion::logical_expr::{col, lit};

    use super::*;

    #[test]
    fn only_what_cannot_be_in_the_answer_is_left_out() {
        let admits = |filter: Expr| Wanted::new(&[filter]).admits("a", "x_y");
        assert!(admits(col("a").eq(lit("x_y"))));
        assert!(!admits(lit("z").eq(col("a"))));
        assert!(admits(col("b").eq(lit("z"))));
        assert!(!admits(col("a").eq(lit("z")).and(col("b").eq(lit("z")))));
        assert!(admits(col("a").eq(lit("z")).or(col("b").eq(lit("z")))));
        assert!(!admits(col("a").eq(lit("z")).or(col("a").eq(lit("y")))));
        assert!(admits(col("a").like(lit("x\\_%"))));
        assert!(!admits(col("a").like(lit("xx%"))));
        assert!(admits(col("a").like(lit("x%")).and(col("b").is_null())));
        assert!(!admits(col("a").is_null()));
        assert!(admits(col("a").is_not_null()));
        assert!(!admits(col("a").in_list(vec![lit("p"), lit("q")], false)));
        assert!(admits(col("a").in_list(vec![lit("p"), lit("q")], true)));
        assert!(!admits(col("a").not_eq(lit("x_y"))));
        // Not understood, so left to the engine.
        assert!(admits(col("a").gt(lit("z"))));
        assert!(admits(col("a").eq(col("b"))));
    }
}

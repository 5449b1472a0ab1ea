//! `try(expression)`: NULL for the rows for which the expression fails.
//!
//! A value that cannot be computed becomes NULL where it arises, which makes the whole expression
//! NULL as long as everything above it gives NULL for NULL. What does not is refused, unless
//! nothing below it can fail.

use datafusion::common::Result;
use datafusion::common::tree_node::TreeNode;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::expr::{Like, ScalarFunction};
use datafusion::logical_expr::{BinaryExpr, Case, Cast, Expr, Operator};
use waterbear_functions::cast::cast_function;
use waterbear_functions::lenient::twin;
use waterbear_protocol::{ErrorCode, Failure};

/// Functions that give a value where an argument is NULL, and are not of the dialect's own.
const NOT_STRICT: &[&str] = &[
    "coalesce",
    "concat_ws",
    "format",
    "json_array",
    "json_object",
    "map",
    "nullif",
    "row",
    "typeof",
];

/// The expression with NULL for its failures.
///
/// # Errors
/// NOT_SUPPORTED where that would not be what TRY means.
pub(crate) fn lenient(expr: Expr) -> Result<Expr> {
    Ok(match expr {
        Expr::Literal(..)
        | Expr::Column(_)
        | Expr::OuterReferenceColumn(..)
        | Expr::ScalarSubquery(_)
        | Expr::LambdaVariable(_)
        | Expr::TryCast(_) => expr,
        Expr::Alias(mut alias) => {
            alias.expr = boxed(alias.expr)?;
            Expr::Alias(alias)
        }
        Expr::Cast(Cast { expr, field }) => Expr::Cast(Cast { expr: boxed(expr)?, field }),
        Expr::Not(operand) => Expr::Not(boxed(operand)?),
        Expr::Negative(operand) => Expr::Negative(boxed(operand)?),
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if is_strict(op) => {
            Expr::BinaryExpr(BinaryExpr { left: boxed(left)?, op, right: boxed(right)? })
        }
        Expr::Like(like) => {
            Expr::Like(Like { expr: boxed(like.expr)?, pattern: boxed(like.pattern)?, ..like })
        }
        Expr::Case(case) if conditions(&case).all(cannot_fail) => Expr::Case(Case {
            expr: case.expr,
            when_then_expr: case
                .when_then_expr
                .into_iter()
                .map(|(when, then)| Ok((when, boxed(then)?)))
                .collect::<Result<_>>()?,
            else_expr: case.else_expr.map(boxed).transpose()?,
        }),
        Expr::ScalarFunction(ScalarFunction { func, args }) if is_strict_function(func.name()) => {
            let args = args.into_iter().map(lenient).collect::<Result<Vec<_>>>()?;
            let func = match func.name() {
                "$cast" => cast_function(true),
                name if name.starts_with("$try") => func,
                _ => twin(&func),
            };
            Expr::ScalarFunction(ScalarFunction { func, args })
        }
        other if cannot_fail(&other) => other,
        _ => {
            let message = "TRY of an expression that gives a value for NULL is not supported";
            let failure = Failure::new(ErrorCode::NOT_SUPPORTED, message);
            return Err(DataFusionError::External(Box::new(failure)));
        }
    })
}

fn boxed(mut expr: Box<Expr>) -> Result<Box<Expr>> {
    *expr = lenient(std::mem::take(&mut *expr))?;
    Ok(expr)
}

fn conditions(case: &Case) -> impl Iterator<Item = &Expr> {
    let whens = case.when_then_expr.iter().map(|(when, _)| when.as_ref());
    case.expr.as_deref().into_iter().chain(whens)
}

/// NULL for a NULL operand.
fn is_strict(op: Operator) -> bool {
    !matches!(
        op,
        Operator::And | Operator::Or | Operator::IsDistinctFrom | Operator::IsNotDistinctFrom
    )
}

fn is_strict_function(name: &str) -> bool {
    let own = name.starts_with('$');
    let strict = ["$operator$", "$cast", "$try", "$subscript", "$temporal", "$interval"];
    (!own || strict.iter().any(|start| name.starts_with(start))) && !NOT_STRICT.contains(&name)
}

/// No function is called in it.
fn cannot_fail(expr: &Expr) -> bool {
    let calls =
        |expr: &Expr| Ok(matches!(expr, Expr::ScalarFunction(_) | Expr::HigherOrderFunction(_)));
    !expr.exists(calls).unwrap_or(true)
}

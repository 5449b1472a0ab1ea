//! `if`, and what must have a certain number of arguments.

use datafusion::sql::sqlparser::ast::helpers::attached_token::AttachedToken;
use datafusion::sql::sqlparser::ast::{
    CaseWhen, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Spanned,
};
use waterbear_protocol::{ErrorCode, Failure};

use super::lexer::{failure_at, place};

/// CASE for a call of `if`; `None` for all other functions.
///
/// # Errors
/// INVALID_FUNCTION_ARGUMENT for a wrong number of arguments.
pub(super) fn rewrite(function: &mut Function) -> Result<Option<Expr>, Failure> {
    let [name] = function.name.0.as_slice() else { return Ok(None) };
    let Some(name) = name.as_ident() else { return Ok(None) };
    let FunctionArguments::List(list) = &mut function.args else { return Ok(None) };
    let count = list.args.len();
    let wrong = |message: &str| {
        Err(failure_at(place(name.span.start), ErrorCode::INVALID_FUNCTION_ARGUMENT, message))
    };
    match name.value.to_lowercase().as_str() {
        "coalesce" if count < 2 => {
            wrong("The 'coalesce' function must have at least two arguments")
        }
        "nullif" if count != 2 => wrong("Invalid number of arguments for 'nullif' function"),
        "if" if !(2..=3).contains(&count) => wrong("Invalid number of arguments for 'if' function"),
        "if" => {
            let mut args = std::mem::take(&mut list.args).into_iter().map(|arg| match arg {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
                _ => None,
            });
            let (Some(Some(condition)), Some(Some(result))) = (args.next(), args.next()) else {
                return wrong("Invalid arguments for 'if' function");
            };
            let else_result = args.next().flatten().map(Box::new);
            let mut token = AttachedToken::empty();
            token.0.span = function.name.span();
            Ok(Some(Expr::Case {
                case_token: token,
                end_token: AttachedToken::empty(),
                operand: None,
                conditions: vec![CaseWhen { condition, result }],
                else_result,
            }))
        }
        _ => Ok(None),
    }
}

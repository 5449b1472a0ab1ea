//! What of a window function does not reach the workers: plans travel without it, so it is put
//! into other words, or refused.

use datafusion::sql::sqlparser::ast::helpers::attached_token::AttachedToken;
use datafusion::sql::sqlparser::ast::{
    CaseWhen, DuplicateTreatment, Expr, Function, FunctionArg, FunctionArgExpr,
    FunctionArgumentClause, FunctionArguments, NullTreatment, Value,
};
use waterbear_protocol::Failure;

use super::check::unsupported;

/// Aggregates that do not see NULLs: a filter is a CASE without ELSE.
const SKIP_NULLS: [&str; 5] = ["avg", "count", "max", "min", "sum"];

/// Rewrites a function with OVER.
///
/// # Errors
/// NOT_SUPPORTED for FILTER of other functions and for IGNORE NULLS, with the function's place.
pub(super) fn rewrite(function: &mut Function) -> Result<(), Failure> {
    if function.over.is_none() {
        return Ok(());
    }
    let place = function.name.clone();
    if ignores_nulls(function) {
        return Err(unsupported(&place, "IGNORE NULLS of a window function"));
    }
    let Some(filter) = function.filter.take() else { return Ok(()) };
    let name = place.to_string().to_lowercase();
    let refused = || unsupported(&place, "FILTER of this window function");
    let FunctionArguments::List(list) = &mut function.args else { return Err(refused()) };
    let distinct = list.duplicate_treatment == Some(DuplicateTreatment::Distinct);
    let [argument] = list.args.as_mut_slice() else { return Err(refused()) };
    let value = match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) => value.clone(),
        FunctionArg::Unnamed(FunctionArgExpr::Wildcard) if name == "count" => {
            Expr::Value(Value::Number("1".to_owned(), false).with_empty_span())
        }
        _ => return Err(refused()),
    };
    if distinct || !SKIP_NULLS.contains(&name.as_str()) {
        return Err(refused());
    }
    let case = Expr::Case {
        case_token: AttachedToken::empty(),
        end_token: AttachedToken::empty(),
        operand: None,
        conditions: vec![CaseWhen { condition: *filter, result: value }],
        else_result: None,
    };
    *argument = FunctionArg::Unnamed(FunctionArgExpr::Expr(case));
    Ok(())
}

fn ignores_nulls(function: &Function) -> bool {
    let inside = |clause: &FunctionArgumentClause| {
        matches!(clause, FunctionArgumentClause::IgnoreOrRespectNulls(NullTreatment::IgnoreNulls))
    };
    let list = match &function.args {
        FunctionArguments::List(list) => list.clauses.iter().any(inside),
        _ => false,
    };
    list || function.null_treatment == Some(NullTreatment::IgnoreNulls)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use datafusion::sql::sqlparser::parser::Parser;

    use super::*;
    use crate::lexer::TrinoDialect;

    fn rewritten(text: &str) -> Result<String, Failure> {
        let expr = Parser::new(&TrinoDialect).try_with_sql(text).unwrap().parse_expr().unwrap();
        let Expr::Function(mut function) = expr else { panic!() };
        rewrite(&mut function)?;
        Ok(function.to_string())
    }

    #[test]
    fn a_filter_becomes_a_case() {
        for (text, becomes) in [
            ("sum(a) FILTER (WHERE b) OVER ()", "sum(CASE WHEN b THEN a END) OVER ()"),
            ("count(*) FILTER (WHERE b) OVER ()", "count(CASE WHEN b THEN 1 END) OVER ()"),
            ("sum(a) FILTER (WHERE b)", "sum(a) FILTER (WHERE b)"),
            ("lag(a) OVER (ORDER BY b)", "lag(a) OVER (ORDER BY b)"),
        ] {
            assert_eq!(rewritten(text).unwrap(), becomes);
        }
        for refused in
            ["array_agg(a) FILTER (WHERE b) OVER ()", "lag(a) IGNORE NULLS OVER (ORDER BY b)"]
        {
            assert!(rewritten(refused).is_err(), "{refused}");
        }
    }
}

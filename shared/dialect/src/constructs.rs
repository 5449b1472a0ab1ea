//! Constructors of arrays and rows, and functions that several functions stand for, as calls of
//! one function each.

use datafusion::sql::sqlparser::ast::{
    DataType, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList,
    FunctionArguments, GroupByExpr, Ident, ObjectName, ObjectNamePart, Spanned, TrimWhereField,
    TypedString, Value,
};
use datafusion::sql::sqlparser::tokenizer::Span;

/// Rewrites an expression that is such a constructor or call.
pub(super) fn rewrite(expr: &mut Expr) {
    let span = expr.span();
    match expr {
        Expr::Array(array) => *expr = call("$array", std::mem::take(&mut array.elem), span),
        Expr::Tuple(items) => *expr = call("row", std::mem::take(items), span),
        Expr::Position { expr: part, r#in: whole } => {
            let arguments = vec![take(whole), take(part)];
            *expr = call("strpos", arguments, span);
        }
        Expr::Trim { trim_where, trim_what, expr: whole, trim_characters } => {
            let name = match trim_where {
                Some(TrimWhereField::Leading) => "ltrim",
                Some(TrimWhereField::Trailing) => "rtrim",
                Some(TrimWhereField::Both) | None => "trim",
            };
            let mut arguments = vec![take(whole)];
            arguments.extend(trim_what.as_deref_mut().map(take));
            arguments.extend(trim_characters.take().into_iter().flatten());
            *expr = call(name, arguments, span);
        }
        Expr::Substring { expr: whole, substring_from: Some(from), substring_for, .. } => {
            let mut arguments = vec![take(whole), take(from)];
            arguments.extend(substring_for.as_deref_mut().map(take));
            *expr = call("substring", arguments, span);
        }
        Expr::TypedString(TypedString { data_type: DataType::JSON, value, .. }) => {
            *expr = call("json_parse", vec![Expr::Value(value.clone())], span);
        }
        // No function of Trino: the call is refused by its name.
        Expr::Overlay { expr: whole, .. } => *expr = call("overlay", vec![take(whole)], span),
        Expr::Function(function) => {
            if let Some(name) = narrower(function) {
                let span = function.name.span();
                function.name = named(name, span);
            }
        }
        _ => {}
    }
}

/// `GROUP BY (a, b)` groups by both, not by a row of them.
pub(super) fn group_by(group_by: &mut GroupByExpr) {
    let GroupByExpr::Expressions(items, _) = group_by else { return };
    let flat = std::mem::take(items).into_iter().flat_map(|item| match item {
        Expr::Tuple(items) => items,
        item => vec![item],
    });
    *items = flat.collect();
}

/// Moves a part out of an expression that goes.
fn take(expr: &mut Expr) -> Expr {
    std::mem::replace(expr, Expr::Value(Value::Null.with_empty_span()))
}

fn named(name: &str, span: Span) -> ObjectName {
    let ident = Ident { value: name.to_owned(), quote_style: Some('"'), span };
    ObjectName(vec![ObjectNamePart::Identifier(ident)])
}

fn call(name: &str, arguments: Vec<Expr>, span: Span) -> Expr {
    let argument = |expr| FunctionArg::Unnamed(FunctionArgExpr::Expr(expr));
    Expr::Function(Function {
        name: named(name, span),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args: arguments.into_iter().map(argument).collect(),
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

/// The function that a call means by the number and kind of its arguments.
fn narrower(function: &Function) -> Option<&'static str> {
    let [name] = function.name.0.as_slice() else { return None };
    let FunctionArguments::List(list) = &function.args else { return None };
    let is_lambda = |argument: &FunctionArg| {
        matches!(argument, FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Lambda(_))))
    };
    let lambda = list.args.iter().any(is_lambda);
    match (name.as_ident()?.value.to_lowercase().as_str(), list.args.len()) {
        ("map", _) => Some("$map"),
        ("array_sort", 2) if lambda => Some("$array_sort_by"),
        ("array_first", 2) if lambda => Some("$array_first_match"),
        ("max", 2) => Some("$max_n"),
        ("min", 2) => Some("$min_n"),
        _ => None,
    }
}

//! Constructors of arrays and rows, and functions that several functions stand for, as calls of
//! one function each.

use datafusion::sql::sqlparser::ast::helpers::attached_token::AttachedToken;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, CaseWhen, CastKind, DataType, ExactNumberInfo, Expr, Function, FunctionArg,
    FunctionArgExpr, FunctionArgumentClause, FunctionArgumentList, FunctionArguments, GroupByExpr,
    Ident, ObjectName, ObjectNamePart, Spanned, TrimWhereField, TypedString, UnaryOperator, Value,
};
use datafusion::sql::sqlparser::tokenizer::{Span, TokenWithSpan};

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
        Expr::Substring { expr: whole, substring_from, substring_for, .. } => {
            let mut arguments = vec![take(whole)];
            arguments.extend(substring_from.as_deref_mut().map(take));
            arguments.extend(substring_for.as_deref_mut().map(take));
            *expr = call("substring", arguments, span);
        }
        Expr::TypedString(TypedString { data_type: DataType::JSON, value, .. }) => {
            *expr = call("json_parse", vec![Expr::Value(value.clone())], span);
        }
        // No function of Trino: the call is refused by its name.
        Expr::Overlay { expr: whole, .. } => *expr = call("overlay", vec![take(whole)], span),
        Expr::InList { expr: value, list, negated } => {
            // Rows are compared field by field, which the engine's lists do not.
            let rows = is_row(value) || list.iter().any(is_row);
            if rows && let Some(any) = any_equal(value, std::mem::take(list)) {
                let any = Expr::Nested(Box::new(any));
                *expr = match negated {
                    true => Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(any) },
                    false => any,
                };
            }
        }
        Expr::Function(function) => {
            if let Some(name) = narrower(function) {
                let span = function.name.span();
                function.name = named(name, span);
            }
            call_of_another(expr);
        }
        _ => {}
    }
}

fn is_row(expr: &Expr) -> bool {
    match expr {
        Expr::Tuple(_) => true,
        Expr::Function(function) => function.name.to_string().eq_ignore_ascii_case("row"),
        _ => false,
    }
}

/// `value = a OR value = b`
fn any_equal(value: &Expr, list: Vec<Expr>) -> Option<Expr> {
    let equal = |item| Expr::BinaryOp {
        left: Box::new(value.clone()),
        op: BinaryOperator::Eq,
        right: Box::new(item),
    };
    list.into_iter().map(equal).reduce(|left, right| Expr::BinaryOp {
        left: Box::new(left),
        op: BinaryOperator::Or,
        right: Box::new(right),
    })
}

/// Aggregates that are others of other arguments.
fn call_of_another(expr: &mut Expr) {
    let Expr::Function(function) = expr else { return };
    let Some(name) = function.name.0.first().and_then(|part| part.as_ident()) else { return };
    let name = name.value.to_lowercase();
    if name == "listagg" && !function.within_group.is_empty() {
        let order = std::mem::take(&mut function.within_group);
        if let FunctionArguments::List(list) = &mut function.args {
            list.clauses.push(FunctionArgumentClause::OrderBy(order));
        }
        return;
    }
    let FunctionArguments::List(list) = &mut function.args else { return };
    let [FunctionArg::Unnamed(FunctionArgExpr::Expr(argument))] = list.args.as_mut_slice() else {
        return;
    };
    match name.as_str() {
        "count_if" => {
            let condition = std::mem::replace(argument, null());
            *argument = when(condition);
            function.name = named("count", function.name.span());
        }
        "geometric_mean" => {
            let span = function.name.span();
            let value = std::mem::replace(argument, null());
            *argument = call("ln", vec![double(value)], span);
            function.name = named("avg", span);
            let mean = std::mem::replace(expr, null());
            *expr = call("exp", vec![mean], span);
        }
        _ => {}
    }
}

fn null() -> Expr {
    Expr::Value(Value::Null.with_empty_span())
}

/// `CASE WHEN condition THEN true END`
fn when(condition: Expr) -> Expr {
    let result = Expr::Value(Value::Boolean(true).with_empty_span());
    let token = || AttachedToken(TokenWithSpan::new_eof());
    Expr::Case {
        case_token: token(),
        end_token: token(),
        operand: None,
        conditions: vec![CaseWhen { condition, result }],
        else_result: None,
    }
}

fn double(value: Expr) -> Expr {
    Expr::Cast {
        kind: CastKind::Cast,
        expr: Box::new(value),
        data_type: DataType::Double(ExactNumberInfo::None),
        array: false,
        format: None,
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
        ("max_by", 3) => Some("$max_by_n"),
        ("min_by", 3) => Some("$min_by_n"),
        ("every", _) => Some("bool_and"),
        ("variance", _) => Some("var_samp"),
        _ => None,
    }
}

//! Puts Trino's operators and number literals in a tree into the form that `operators` plans.

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, CastKind, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments,
    GroupByExpr, LimitClause, NamedWindowExpr, OrderBy, OrderByKind, Query, Select, Spanned,
    UnaryOperator, Value, ValueWithSpan, WindowFrame, WindowFrameBound, WindowType,
};
use datafusion::sql::sqlparser::tokenizer::{Location, Span, Token, TokenWithSpan};

use super::operators::{CAST, LITERAL, NEGATE, TRY_CAST, marked};
use super::{casts, types};

/// The operator of a CAST to varchar of any length.
const AS_VARCHAR: &str = "$cast varchar";

/// The operators of one statement.
pub(super) struct Operators<'a> {
    tokens: &'a [TokenWithSpan],
}

impl<'a> Operators<'a> {
    pub fn new(tokens: &'a [TokenWithSpan]) -> Self {
        Self { tokens }
    }

    /// Leaves the numbers of LIMIT and OFFSET alone, and those that name a column in ORDER BY.
    pub fn keep_ordinals(query: &mut Query) {
        if let Some(LimitClause::LimitOffset { limit, offset, .. }) = &mut query.limit_clause {
            limit.iter_mut().for_each(keep);
            offset.iter_mut().for_each(|offset| keep(&mut offset.value));
        }
        if let Some(OrderBy { kind: OrderByKind::Expressions(items), .. }) = &mut query.order_by {
            items.iter_mut().for_each(|item| keep(&mut item.expr));
        }
    }

    /// Leaves alone the numbers that name a column in GROUP BY, and the frames of named windows.
    pub fn keep_positions(select: &mut Select) {
        if let GroupByExpr::Expressions(items, _) = &mut select.group_by {
            for item in items {
                match item {
                    Expr::GroupingSets(sets) | Expr::Cube(sets) | Expr::Rollup(sets) => {
                        sets.iter_mut().flatten().for_each(keep);
                    }
                    item => keep(item),
                }
            }
        }
        for window in &mut select.named_window {
            if let NamedWindowExpr::WindowSpec(spec) = &mut window.1 {
                keep_bounds(spec.window_frame.as_mut());
            }
        }
    }

    /// Leaves the numbers in a window's frame alone.
    pub fn keep_frame(function: &mut Function) {
        if let Some(WindowType::WindowSpec(spec)) = &mut function.over {
            keep_bounds(spec.window_frame.as_mut());
        }
    }

    /// Rewrites one expression; what it is made of has been rewritten.
    pub fn rewrite(&self, expr: &mut Expr) {
        let rewritten = match expr {
            Expr::Value(ValueWithSpan { value: Value::Number(text, kept), span }) => {
                if std::mem::take(kept) {
                    return;
                }
                let text = Value::SingleQuotedString(std::mem::take(text)).with_span(*span);
                custom(Expr::Value(text), LITERAL, span.start, null(*span))
            }
            Expr::BinaryOp { left, op, right } => {
                let Some(operator) = operator_text(op) else { return };
                let at = self.place(left.span(), right.span(), operator);
                *op = marked(operator, at);
                return;
            }
            Expr::IsDistinctFrom(left, right) => {
                let at = self.place(left.span(), right.span(), "IS");
                custom(take(left), "IS DISTINCT FROM", at, take(right))
            }
            Expr::IsNotDistinctFrom(left, right) => {
                let at = self.place(left.span(), right.span(), "IS");
                custom(take(left), "IS NOT DISTINCT FROM", at, take(right))
            }
            Expr::UnaryOp { op: UnaryOperator::Minus, expr: inner } => {
                // The planner makes one literal of these two.
                if matches!(inner.as_ref(), Expr::Interval(_)) {
                    return;
                }
                let span = inner.span();
                let at = self.before(span.start, "-").unwrap_or(span.start);
                custom(take(inner), NEGATE, at, null(span))
            }
            Expr::Cast { kind, expr: inner, data_type, .. } => {
                let Ok(Some(target)) = casts::target(data_type) else { return };
                let (word, operator) = match kind {
                    CastKind::TryCast => ("TRY_CAST", TRY_CAST),
                    _ => ("CAST", CAST),
                };
                let span = inner.span();
                let at = self.before(span.start, word).unwrap_or(span.start);
                let operator = format!("{operator}{}", target.trino_type().listing());
                custom(take(inner), &operator, at, null(span))
            }
            Expr::TypedString(typed) => {
                let Ok(Some(target)) = casts::target(&typed.data_type) else { return };
                let Some(text) = typed.value.value.clone().into_string() else { return };
                let span = typed.value.span;
                let operator = casts::literal_operator(&target, &typed.data_type, &text);
                let value = Value::SingleQuotedString(text).with_span(span);
                custom(Expr::Value(value), &operator, span.start, null(span))
            }
            Expr::Function(function) => return plain_arguments(function),
            _ => return,
        };
        *expr = rewritten;
    }

    /// Where an operator stands between its operands.
    fn place(&self, left: Span, right: Span, operator: &str) -> Location {
        let behind = self.tokens.partition_point(|token| token.span.start < left.end);
        let rest = self.tokens.get(behind..).unwrap_or_default();
        let found = match left.end.line {
            0 => None,
            _ => rest.iter().find(|token| is(token, operator)).map(|token| token.span.start),
        };
        found.or_else(|| self.before(right.start, operator)).unwrap_or(left.start)
    }

    fn before(&self, end: Location, operator: &str) -> Option<Location> {
        let front = self.tokens.partition_point(|token| token.span.start < end);
        let found = self.tokens.get(..front)?.iter().rev().find(|token| is(token, operator))?;
        Some(found.span.start)
    }
}

/// Texts stay literals under a CAST to varchar where the length makes no difference: some functions
/// have to know them when they are planned.
fn plain_arguments(function: &mut Function) {
    let name = function.name.to_string().trim_matches('"').to_lowercase();
    let FunctionArguments::List(list) = &mut function.args else { return };
    for argument in list.args.iter_mut().skip(types::length_follows(&name)) {
        if let FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) = argument
            && let Expr::BinaryOp { left, op: BinaryOperator::Custom(operator), .. } = expr
            && operator.ends_with(AS_VARCHAR)
            && matches!(left.as_ref(), Expr::Value(ValueWithSpan { value, .. })
                if matches!(value, Value::SingleQuotedString(_)))
        {
            *expr = take(left);
        }
    }
}

fn keep_bounds(frame: Option<&mut WindowFrame>) {
    let Some(frame) = frame else { return };
    for bound in std::iter::once(&mut frame.start_bound).chain(frame.end_bound.as_mut()) {
        if let WindowFrameBound::Preceding(Some(rows)) | WindowFrameBound::Following(Some(rows)) =
            bound
        {
            keep(rows);
        }
    }
}

/// A number that counts rows or columns is no expression. It is marked by a letter behind it, which
/// no statement can have, until it has been passed.
fn keep(mut expr: &mut Expr) {
    while let Expr::Nested(inner) = expr {
        expr = inner;
    }
    if let Expr::Value(ValueWithSpan { value: Value::Number(_, kept), .. }) = expr {
        *kept = true;
    }
}

fn is(token: &TokenWithSpan, operator: &str) -> bool {
    match &token.token {
        Token::Word(word) => word.value.eq_ignore_ascii_case(operator),
        Token::SingleQuotedString(_) | Token::Number(..) => false,
        other => other.to_string() == operator,
    }
}

fn operator_text(op: &BinaryOperator) -> Option<&'static str> {
    Some(match op {
        BinaryOperator::Plus => "+",
        BinaryOperator::Minus => "-",
        BinaryOperator::Multiply => "*",
        BinaryOperator::Divide => "/",
        BinaryOperator::Modulo => "%",
        BinaryOperator::Eq => "=",
        BinaryOperator::NotEq => "<>",
        BinaryOperator::Lt => "<",
        BinaryOperator::LtEq => "<=",
        BinaryOperator::Gt => ">",
        BinaryOperator::GtEq => ">=",
        BinaryOperator::StringConcat => "||",
        _ => return None,
    })
}

fn custom(left: Expr, operator: &str, at: Location, right: Expr) -> Expr {
    Expr::BinaryOp { left: Box::new(left), op: marked(operator, at), right: Box::new(right) }
}

/// `CAST(expr AS varchar)` of what was not in the text.
pub(super) fn as_varchar(expr: Expr) -> Expr {
    let nowhere = Location { line: 0, column: 0 };
    custom(expr, AS_VARCHAR, nowhere, null(Span::empty()))
}

fn null(span: Span) -> Expr {
    Expr::Value(Value::Null.with_span(span))
}

fn take(expr: &mut Expr) -> Expr {
    std::mem::replace(expr, null(Span::empty()))
}

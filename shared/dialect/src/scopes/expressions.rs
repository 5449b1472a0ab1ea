//! Names in expressions.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    AccessExpr, Expr, Ident, LambdaFunction, OneOrManyWithParens, OrderBy, Query, SetExpr, Value,
    Values, VisitorMut, With,
};
use waterbear_protocol::{ErrorCode, Failure};

use super::{Found, Outputs, Resolver};
use crate::lexer::{failure_at, place};

/// Where an expression stands.
#[derive(Clone, Copy)]
pub(super) enum Clause<'a> {
    Plain,
    /// The planner would look for these aliases of SELECT, Trino does not.
    Grouping(&'a [String]),
    /// What the query gives comes before what it reads.
    Ordering(&'a Outputs),
}

/// Writes out what the planner would take for something else.
pub(super) struct Expressions<'r, 'a> {
    resolver: &'r mut Resolver<'a>,
    clause: Clause<'r>,
    /// The parameters of the lambdas around, by lambda.
    parameters: Vec<Vec<String>>,
    /// The insides of the queries around, which are resolved before the walk gets there.
    inside: Vec<(Option<With>, Box<SetExpr>, Option<OrderBy>)>,
}

impl<'r, 'a> Expressions<'r, 'a> {
    pub fn new(resolver: &'r mut Resolver<'a>, clause: Clause<'r>) -> Self {
        Self { resolver, clause, parameters: Vec::new(), inside: Vec::new() }
    }

    fn name(&self, expr: &mut Expr) -> Result<(), Failure> {
        let idents = match expr {
            Expr::Identifier(ident) => std::slice::from_ref(ident),
            Expr::CompoundIdentifier(idents) => idents.as_slice(),
            _ => return Ok(()),
        };
        let Some(first) = idents.first() else { return Ok(()) };
        let at = place(first.span.start);
        let parts = lower(idents);
        if self.parameters.iter().flatten().any(|parameter| *parameter == parts[0]) {
            return Ok(());
        }
        let ambiguous = || {
            let message = format!("Column '{}' is ambiguous", parts.join("."));
            Err(failure_at(at, ErrorCode::AMBIGUOUS_NAME, message))
        };
        let mut open = false;
        if let (Clause::Ordering(outputs), [name]) = (self.clause, parts.as_slice()) {
            let is_it = |name_of: &Option<String>| name_of.as_ref() == Some(name);
            match outputs.columns.iter().filter(|output| is_it(&output.name)).count() {
                0 => open = outputs.open,
                1 => return Ok(()),
                _ => return ambiguous(),
            }
        }
        let aliased = match self.clause {
            Clause::Grouping(aliases) => parts.len() == 1 && aliases.contains(&parts[0]),
            _ => false,
        };
        for scope in self.resolver.scopes.iter().rev() {
            match scope.find(&parts) {
                Found::One(column, _) if column.plain && !aliased => return Ok(()),
                Found::One(column, used) => {
                    let fields: Vec<AccessExpr> = idents[used..].iter().map(field).collect();
                    let root = column.value.clone();
                    *expr = match fields.is_empty() {
                        true => root,
                        false => {
                            Expr::CompoundFieldAccess { root: Box::new(root), access_chain: fields }
                        }
                    };
                    return Ok(());
                }
                Found::Several => return ambiguous(),
                Found::Unknown => return Ok(()),
                Found::Nothing => {}
            }
        }
        if open {
            return Ok(());
        }
        let message = format!("Column '{}' cannot be resolved", parts.join("."));
        Err(failure_at(at, ErrorCode::COLUMN_NOT_FOUND, message))
    }
}

/// A field of a row; as a name it would be taken for a column.
fn field(name: &Ident) -> AccessExpr {
    let text = Value::SingleQuotedString(name.value.to_lowercase());
    AccessExpr::Dot(Expr::Value(text.with_span(name.span)))
}

/// `a.b[1].c` comes as `a` and what is behind it: its front is one name.
fn join_name(root: &mut Expr, chain: &mut Vec<AccessExpr>) {
    let dotted = |access: &AccessExpr| match access {
        AccessExpr::Dot(Expr::Identifier(name)) => Some(name.clone()),
        _ => None,
    };
    if let Expr::Identifier(first) = &*root {
        let mut idents = vec![first.clone()];
        idents.extend(chain.iter().map_while(dotted));
        if idents.len() > 1 {
            chain.drain(..idents.len() - 1);
            *root = Expr::CompoundIdentifier(idents);
        }
    }
    for access in chain {
        if let Some(name) = dotted(access) {
            *access = field(&name);
        }
    }
}

pub(super) fn lower(idents: &[Ident]) -> Vec<String> {
    idents.iter().map(|ident| ident.value.to_lowercase()).collect()
}

fn parameters(lambda: &LambdaFunction) -> Vec<String> {
    match &lambda.params {
        OneOrManyWithParens::One(one) => vec![one.name.value.to_lowercase()],
        OneOrManyWithParens::Many(many) => {
            many.iter().map(|parameter| parameter.name.value.to_lowercase()).collect()
        }
    }
}

fn flow(result: Result<(), Failure>) -> ControlFlow<Failure> {
    match result {
        Ok(()) => ControlFlow::Continue(()),
        Err(failure) => ControlFlow::Break(failure),
    }
}

impl VisitorMut for Expressions<'_, '_> {
    type Break = Failure;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Failure> {
        flow(self.resolver.query(query, false).map(|_| ()))?;
        let nothing = Values { explicit_row: false, value_keyword: false, rows: Vec::new() };
        let body = std::mem::replace(&mut query.body, Box::new(SetExpr::Values(nothing)));
        self.inside.push((query.with.take(), body, query.order_by.take()));
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<Failure> {
        if let Some((with, body, order_by)) = self.inside.pop() {
            (query.with, query.body, query.order_by) = (with, body, order_by);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Failure> {
        match expr {
            Expr::Lambda(lambda) => self.parameters.push(parameters(lambda)),
            Expr::CompoundFieldAccess { root, access_chain } => join_name(root, access_chain),
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Failure> {
        if let Expr::Lambda(_) = expr {
            self.parameters.pop();
        }
        // After its parts: what is written out is not looked at again.
        flow(self.name(expr))
    }
}

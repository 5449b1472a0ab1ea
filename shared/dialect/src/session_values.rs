//! What a query asks of its session (`current_user`, `version()`), as values: they are fixed when
//! the query is planned.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, FunctionArguments, Ident, Query, Value, VisitMut, VisitorMut,
};

use crate::ClientContext;
use crate::mark::as_varchar;

/// Puts the session's values into a query.
pub(super) fn rewrite(query: &mut Query, context: &ClientContext) {
    let _ = query.visit(&mut SessionValues(context));
}

struct SessionValues<'a>(&'a ClientContext);

impl VisitorMut for SessionValues<'_> {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Some(value) = self.value(expr) {
            *expr = varchar(value);
        }
        ControlFlow::Continue(())
    }
}

impl SessionValues<'_> {
    /// The value that stands behind an expression; `Some(None)` is NULL.
    fn value(&self, expr: &Expr) -> Option<Option<String>> {
        let (name, brackets) = match expr {
            Expr::Identifier(name) => (name, false),
            Expr::Function(function) => {
                let [name] = function.name.0.as_slice() else { return None };
                let brackets = match &function.args {
                    FunctionArguments::None => false,
                    FunctionArguments::List(list) if list.args.is_empty() => true,
                    _ => return None,
                };
                (name.as_ident()?, brackets)
            }
            _ => return None,
        };
        if !is_word(name) {
            return None;
        }
        match (name.value.to_lowercase().as_str(), brackets) {
            ("current_user", false) => Some(Some(self.0.user.clone())),
            ("current_catalog", false) => Some(self.0.catalog.clone()),
            ("current_schema", false) => Some(self.0.schema.clone()),
            ("version", true) => Some(Some(env!("CARGO_PKG_VERSION").to_owned())),
            _ => None,
        }
    }
}

/// In quotes it would be the name of a column.
fn is_word(name: &Ident) -> bool {
    name.quote_style.is_none()
}

fn varchar(value: Option<String>) -> Expr {
    let value = value.map_or(Value::Null, Value::SingleQuotedString);
    as_varchar(Expr::Value(value.with_empty_span()))
}

//! Names of result columns. The planner wants every name of a SELECT to be different and makes
//! up names for expressions; Trino allows repeated names and calls expressions `_col0`, `_col1`.
//! So repeated and missing names get a mark that no client can type, and lose it at the edge.

use std::collections::HashMap;

use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArguments, Ident, OrderByKind, Query, SelectItem, SetExpr,
};

use super::operators::without_places;

/// Stands between a name and the number that tells it from its namesakes. Not allowed in names.
pub(super) const MARK: char = '\u{1f}';

/// What the client calls the columns that the planner has other names for.
#[derive(Debug)]
pub(super) struct Names {
    written: HashMap<String, Option<String>>,
}

impl Names {
    /// By the planner's names; without one the client numbers the column.
    pub fn new(written: HashMap<String, Option<String>>) -> Self {
        Self { written }
    }

    /// The names that the client sees, for the names of a plan's columns.
    pub fn shown<'a>(&self, names: impl Iterator<Item = &'a String>) -> Vec<String> {
        names.enumerate().map(|(position, name)| self.one(position, name)).collect()
    }

    fn one(&self, position: usize, internal: &str) -> String {
        match self.written.get(internal) {
            Some(Some(written)) => written.clone(),
            Some(None) => format!("_col{position}"),
            None => internal.to_owned(),
        }
    }
}

/// sqlparser takes the names of some columns (`user` of `system.runtime.queries`) for functions
/// without brackets, which in Trino they are not.
pub(super) fn column_that_looks_like_a_function(function: &Function) -> Option<&Ident> {
    let [name] = function.name.0.as_slice() else { return None };
    let name = name.as_ident()?;
    let is_column = function.args == FunctionArguments::None
        && ["user", "session_user"].iter().any(|column| name.value.eq_ignore_ascii_case(column));
    is_column.then_some(name)
}

/// The SELECT or VALUES that gives a query's columns their names.
pub(super) fn naming_part(body: &mut SetExpr) -> &mut SetExpr {
    match body {
        SetExpr::Query(query) => naming_part(&mut query.body),
        SetExpr::SetOperation { left, .. } => naming_part(left),
        other => other,
    }
}

/// After DISTINCT only what was selected can be sorted by: a marked expression goes by its mark.
pub(super) fn order_by_marks(query: &mut Query) {
    let (SetExpr::Select(select), Some(order)) = (query.body.as_ref(), &mut query.order_by) else {
        return;
    };
    let OrderByKind::Expressions(order) = &mut order.kind else { return };
    if select.distinct.is_none() {
        return;
    }
    for item in order {
        let text = without_places(&item.expr.to_string());
        let selected = select.projection.iter().find_map(|selected| match selected {
            SelectItem::ExprWithAlias { expr, alias }
                if alias.value.contains(MARK) && without_places(&expr.to_string()) == text =>
            {
                Some(alias.clone())
            }
            _ => None,
        });
        if let Some(alias) = selected {
            item.expr = Expr::Identifier(alias);
        }
    }
}

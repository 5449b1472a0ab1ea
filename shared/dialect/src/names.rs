//! Names of result columns. The planner wants every name of a SELECT to be different and makes
//! up names for expressions; Trino allows repeated names and calls expressions `_col0`, `_col1`.
//! So repeated and missing names get a mark that no client can type, and lose it at the edge.

use std::collections::{HashMap, HashSet};

use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArguments, Ident, OrderByKind, Query, Select, SelectItem, SetExpr,
    Values,
};
use datafusion::sql::sqlparser::tokenizer::Location;
use waterbear_protocol::{ErrorCode, Failure};

use super::lexer::{failure_at, place};
use super::operators::without_places;

/// Stands between a name and the number that tells it from its namesakes. Not allowed in names.
const MARK: char = '\u{1f}';

/// Names as the planner has them, and as they were written.
#[derive(Debug, Default)]
pub(super) struct Names {
    written: HashMap<String, String>,
}

impl Names {
    /// Gives every item of a SELECT a name of its own. Expressions get theirs only if
    /// `name_expressions`: inside of other expressions nobody sees it.
    pub fn mark(
        &mut self,
        select: &mut Select,
        name_expressions: bool,
        quoted: &HashMap<Location, String>,
    ) {
        let mut seen = HashSet::new();
        for (position, item) in select.projection.iter_mut().enumerate() {
            let (name, alias) = match item {
                SelectItem::UnnamedExpr(expr) => match column_name(expr) {
                    Some(name) => (name, None),
                    None if name_expressions => (String::new(), None),
                    // Alone it needs no name; with others it could be one of two equals.
                    None if position == 0 => continue,
                    None => (String::new(), None),
                },
                SelectItem::ExprWithAlias { alias, .. } if alias.value.contains(MARK) => {
                    // Marked before: the outermost SELECT is, so that its names come first.
                    continue;
                }
                SelectItem::ExprWithAlias { alias, .. } => {
                    (alias.value.to_lowercase(), Some(alias.clone()))
                }
                _ => continue,
            };
            let repeated = !seen.insert(name.clone());
            let unnamed = name.is_empty();
            let internal =
                if repeated || unnamed { format!("{name}{MARK}{position}") } else { name.clone() };
            let written = match &alias {
                Some(alias) => quoted.get(&alias.span.start).unwrap_or(&alias.value).clone(),
                None => name,
            };
            if !written.is_empty() {
                self.written.entry(internal.clone()).or_insert(written);
            }
            if repeated || unnamed {
                rename(item, internal);
            }
        }
    }

    /// The columns of VALUES have no names; the planner calls them `column1`, `column2`.
    pub fn of_values(&mut self, values: &Values) {
        let count = values.rows.first().map_or(0, |row| row.content.len());
        for position in 0..count {
            self.written.insert(format!("column{}", position + 1), format!("_col{position}"));
        }
    }

    /// The names that the client sees, for the names of a plan's columns.
    pub fn shown<'a>(&self, names: impl Iterator<Item = &'a String>) -> Vec<String> {
        names.enumerate().map(|(position, name)| self.one(position, name)).collect()
    }

    fn one(&self, position: usize, internal: &str) -> String {
        if let Some(written) = self.written.get(internal) {
            return written.clone();
        }
        match internal.split_once(MARK) {
            Some(("", _)) => format!("_col{position}"),
            Some((name, _)) => name.to_owned(),
            None => internal.to_owned(),
        }
    }
}

/// The name that a bare column gives its item.
fn column_name(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Identifier(name) => Some(name.value.to_lowercase()),
        Expr::CompoundIdentifier(parts) => parts.last().map(|name| name.value.to_lowercase()),
        Expr::Function(function) => {
            column_that_looks_like_a_function(function).map(|name| name.value.to_lowercase())
        }
        _ => None,
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

fn rename(item: &mut SelectItem, internal: String) {
    let name = Ident::with_quote('"', internal);
    match item {
        SelectItem::ExprWithAlias { alias, .. } => *alias = name,
        SelectItem::UnnamedExpr(_) => {
            let taken = std::mem::replace(item, SelectItem::Wildcard(Default::default()));
            if let SelectItem::UnnamedExpr(expr) = taken {
                *item = SelectItem::ExprWithAlias { expr, alias: name };
            }
        }
        _ => {}
    }
}

/// Refuses ORDER BY a name that several columns have: the marks would hide that.
pub(super) fn check_order_by(query: &Query) -> Result<(), Failure> {
    let (SetExpr::Select(select), Some(order)) = (query.body.as_ref(), &query.order_by) else {
        return Ok(());
    };
    let OrderByKind::Expressions(order) = &order.kind else { return Ok(()) };
    let name = |item: &SelectItem| match item {
        SelectItem::UnnamedExpr(expr) => column_name(expr),
        SelectItem::ExprWithAlias { alias, .. } => Some(alias.value.to_lowercase()),
        _ => None,
    };
    let names: Vec<String> = select.projection.iter().filter_map(name).collect();
    for item in order {
        let Expr::Identifier(wanted) = &item.expr else { continue };
        let lower = wanted.value.to_lowercase();
        if names.iter().filter(|name| **name == lower).count() > 1 {
            let message = format!("Column '{lower}' is ambiguous");
            let at = place(wanted.span.start);
            return Err(failure_at(at, ErrorCode::AMBIGUOUS_NAME, message));
        }
    }
    Ok(())
}

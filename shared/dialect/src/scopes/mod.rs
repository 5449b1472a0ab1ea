//! What the names of a query mean: which relation gives a column, which columns `*` stands for,
//! what the query's own columns are called.
//!
//! The planner has rules of its own: it takes the first of two columns of one name, looks for
//! aliases of SELECT where Trino does not, joins USING columns without merging them, and wants all
//! names of a SELECT to be different. So what it would take otherwise is written out for it. A
//! relation whose columns only the planner knows (UNNEST without names) is left to it.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Ident, OrderBy, OrderByKind, Query, SetExpr, TableAlias, TableAliasColumnDef, VisitMut,
    With,
};
use datafusion::sql::sqlparser::tokenizer::Location;
use waterbear_protocol::{ErrorCode, Failure};

use crate::ClientContext;
use crate::hidden::Named;
use crate::lexer::{Lexed, failure_at, place};
use crate::names::{self, MARK, Names};
use crate::tables::ResolvedTables;
use expressions::{Clause, Expressions};
use select::check_position;

mod expressions;
mod relations;
mod select;

/// Resolves the names of a query in place; gives back what its columns are called.
///
/// # Errors
/// COLUMN_NOT_FOUND, AMBIGUOUS_NAME and the like, with their places.
pub(super) fn resolve(
    query: &mut Query,
    tables: &ResolvedTables,
    named: &Named,
    context: &ClientContext,
    lexed: &Lexed,
) -> Result<Names, Failure> {
    let mut resolver = Resolver {
        tables,
        named,
        context,
        written: &lexed.written,
        with: Vec::new(),
        scopes: Vec::new(),
        made: 0,
    };
    let outputs = resolver.query(query, true)?;
    let shown = outputs.columns.into_iter().map(|column| (column.internal, column.shown));
    Ok(Names::new(shown.collect()))
}

struct Resolver<'a> {
    tables: &'a ResolvedTables,
    named: &'a Named,
    context: &'a ClientContext,
    /// Quoted names as they were written.
    written: &'a HashMap<Location, String>,
    /// The queries of the WITHs around, the innermost last.
    with: Vec<Vec<WithQuery>>,
    /// The columns that can be named, the innermost query's last.
    scopes: Vec<Scope>,
    /// Names that were made up.
    made: usize,
}

/// A query of WITH.
#[derive(Clone)]
struct WithQuery {
    name: String,
    /// What the planner calls it.
    internal: String,
    outputs: Outputs,
}

/// A column that a query gives.
#[derive(Clone)]
struct Output {
    /// In lower case; expressions have none.
    name: Option<String>,
    /// What the planner calls it.
    internal: String,
    /// What the client calls it; nothing for what it numbers.
    shown: Option<String>,
}

/// The columns of a query.
#[derive(Clone, Default)]
struct Outputs {
    columns: Vec<Output>,
    /// There are others that only the planner knows.
    open: bool,
}

/// A column that can be named.
#[derive(Clone)]
struct Column {
    name: Option<String>,
    shown: Option<String>,
    /// What it can be qualified with; nothing for a column of USING.
    relation: Vec<String>,
    /// The column in the planner's terms.
    value: Expr,
    /// The planner takes the name for this column.
    plain: bool,
    /// `*` leaves it out.
    hidden: bool,
}

/// The columns that can be named at a place.
#[derive(Default)]
struct Scope {
    columns: Vec<Column>,
    /// Relations whose columns only the planner knows.
    open: Vec<Vec<String>>,
}

enum Found<'a> {
    /// A column and how many parts of the name it took; others are fields of its row.
    One(&'a Column, usize),
    Several,
    /// Perhaps a column of an open relation.
    Unknown,
    Nothing,
}

impl Scope {
    fn extend(&mut self, other: Self) {
        self.columns.extend(other.columns);
        self.open.extend(other.open);
    }

    fn find(&self, parts: &[String]) -> Found<'_> {
        for used in (1..=parts.len()).rev() {
            let (qualifier, name) = (&parts[..used - 1], &parts[used - 1]);
            let mut found = self.columns.iter().filter(|column| column.is(qualifier, name));
            match (found.next(), found.next()) {
                (Some(column), None) => return Found::One(column, used),
                (Some(_), Some(_)) => return Found::Several,
                _ => {}
            }
        }
        match self.open.is_empty() {
            true => Found::Nothing,
            false => Found::Unknown,
        }
    }
}

impl Column {
    fn is(&self, qualifier: &[String], name: &str) -> bool {
        let qualified = qualifier.is_empty() || self.relation.ends_with(qualifier);
        qualified && self.name.as_deref() == Some(name)
    }
}

impl Resolver<'_> {
    /// A query; the names of its expressions are seen unless it is part of an expression.
    #[recursive::recursive]
    fn query(&mut self, query: &mut Query, visible: bool) -> Result<Outputs, Failure> {
        self.with.push(Vec::new());
        if let Some(with) = &mut query.with {
            self.with_queries(with)?;
        }
        let order = query.order_by.as_mut();
        let outputs = match query.body.as_mut() {
            SetExpr::Select(select) => self.select(select, order, visible)?,
            body => {
                let outputs = self.body(body, visible)?;
                self.scopes.push(Scope::default());
                self.order_by(order, &outputs)?;
                self.scopes.pop();
                outputs
            }
        };
        names::order_by_marks(query);
        self.with.pop();
        Ok(outputs)
    }

    #[recursive::recursive]
    fn body(&mut self, body: &mut SetExpr, visible: bool) -> Result<Outputs, Failure> {
        match body {
            SetExpr::Select(select) => self.select(select, None, visible),
            SetExpr::Query(query) => self.query(query, visible),
            SetExpr::SetOperation { left, right, .. } => {
                let outputs = self.body(left, visible)?;
                self.body(right, visible)?;
                Ok(outputs)
            }
            SetExpr::Values(values) => {
                self.visit(values, Clause::Plain)?;
                let width = values.rows.first().map_or(0, |row| row.content.len());
                let column = |position| Output {
                    name: None,
                    internal: format!("column{position}"),
                    shown: None,
                };
                Ok(Outputs { columns: (1..=width).map(column).collect(), open: false })
            }
            _ => Ok(Outputs { columns: Vec::new(), open: true }),
        }
    }

    fn with_queries(&mut self, with: &mut With) -> Result<(), Failure> {
        for cte in &mut with.cte_tables {
            let name = cte.alias.name.value.to_lowercase();
            let mut internal = name.clone();
            let around = &self.with[..self.with.len().saturating_sub(1)];
            if around.iter().flatten().any(|query| query.name == name) {
                // The planner lets no WITH hide one around it.
                internal = self.made_up(&name);
                cte.alias.name = Ident::with_quote('"', &internal);
            }
            if with.recursive {
                // It may name itself.
                let columns = listed(&mut cte.alias.columns);
                let outputs = Outputs { open: columns.is_empty(), columns };
                let (name, internal) = (name.clone(), internal.clone());
                self.add(WithQuery { name, internal, outputs });
            }
            let outputs = self.query(&mut cte.query, true)?;
            let outputs = renamed(outputs, &mut cte.alias)?;
            self.add(WithQuery { name, internal, outputs });
        }
        Ok(())
    }

    fn add(&mut self, query: WithQuery) {
        if let Some(innermost) = self.with.last_mut() {
            innermost.retain(|other| other.name != query.name);
            innermost.push(query);
        }
    }

    fn with_query(&self, name: &str) -> Option<&WithQuery> {
        self.with.iter().rev().flatten().find(|query| query.name == name)
    }

    /// A name that no client can type.
    fn made_up(&mut self, name: &str) -> String {
        self.made += 1;
        format!("{name}{MARK}{}", self.made)
    }

    fn order_by(&mut self, order: Option<&mut OrderBy>, outputs: &Outputs) -> Result<(), Failure> {
        match order {
            Some(order) => {
                if let OrderByKind::Expressions(items) = &order.kind {
                    let positions = items.iter().map(|item| &item.expr);
                    positions
                        .into_iter()
                        .try_for_each(|item| check_position(item, outputs, "ORDER BY"))?;
                }
                self.visit(order, Clause::Ordering(outputs))
            }
            None => Ok(()),
        }
    }

    fn visit(&mut self, node: &mut impl VisitMut, clause: Clause<'_>) -> Result<(), Failure> {
        match node.visit(&mut Expressions::new(self, clause)) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(failure) => Err(failure),
        }
    }
}

/// The columns of a relation under an alias that may list their names.
fn renamed(outputs: Outputs, alias: &mut TableAlias) -> Result<Outputs, Failure> {
    let (given, known) = (alias.columns.len(), outputs.columns.len());
    if given == 0 {
        return Ok(outputs);
    }
    if given != known && !outputs.open {
        let name = alias.name.value.to_lowercase();
        let name = name.split(MARK).next().unwrap_or_default();
        let message = format!(
            "Column alias list has {given} entries but '{name}' has {known} columns available"
        );
        let at = place(alias.name.span.start);
        return Err(failure_at(at, ErrorCode::MISMATCHED_COLUMN_ALIASES, message));
    }
    Ok(Outputs { columns: listed(&mut alias.columns), open: false })
}

/// Columns by the names in a list; a repeated name gets a mark in it.
fn listed(names: &mut [TableAliasColumnDef]) -> Vec<Output> {
    let mut seen = HashSet::new();
    let column = |(position, column): (usize, &mut TableAliasColumnDef)| {
        let name = column.name.value.to_lowercase();
        let mut internal = name.clone();
        if !seen.insert(name.clone()) {
            internal = format!("{name}{MARK}{position}");
            column.name = Ident::with_quote('"', &internal);
        }
        Output { shown: Some(name.clone()), name: Some(name), internal }
    };
    names.iter_mut().enumerate().map(column).collect()
}

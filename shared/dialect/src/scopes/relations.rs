//! The columns of what stands in FROM.

use std::collections::HashSet;

use datafusion::catalog::TableProvider;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Ident, Join, JoinConstraint, JoinOperator, ObjectName, TableAlias,
    TableFactor, TableWithJoins, Value,
};
use waterbear_protocol::{ErrorCode, Failure};

use super::expressions::{Clause, lower};
use super::{Column, Found, Output, Outputs, Resolver, Scope, renamed};
use crate::lexer::{failure_at, place};
use crate::operators::{USING, USING_EITHER, marked};
use crate::plan::full_name;

/// The side that a column of USING is taken from.
#[derive(Clone, Copy)]
enum Side {
    Left,
    Right,
    Either,
}

impl Resolver<'_> {
    pub(super) fn from(&mut self, tables: &mut [TableWithJoins]) -> Result<Scope, Failure> {
        let mut seen = Vec::with_capacity(tables.len());
        for table in tables {
            let joined = self.joined(table, &mut seen)?;
            seen.push(joined);
        }
        let mut all = Scope::default();
        seen.into_iter().for_each(|scope| all.extend(scope));
        Ok(all)
    }

    /// What of a relation can be named; `seen` is what a lateral one can name.
    fn joined(
        &mut self,
        table: &mut TableWithJoins,
        seen: &mut Vec<Scope>,
    ) -> Result<Scope, Failure> {
        let mut left = self.factor(&mut table.relation, seen)?;
        for join in &mut table.joins {
            seen.push(left);
            let right = self.factor(&mut join.relation, seen)?;
            left = self.join(join, seen.pop().unwrap_or_default(), right)?;
        }
        Ok(left)
    }

    #[recursive::recursive]
    fn factor(
        &mut self,
        factor: &mut TableFactor,
        seen: &mut Vec<Scope>,
    ) -> Result<Scope, Failure> {
        match factor {
            TableFactor::Table { name, alias, .. } => self.table(name, alias),
            TableFactor::Derived { subquery, alias, lateral, .. } => {
                let outputs = match lateral {
                    true => self.among(seen, |resolver| resolver.query(subquery, true))?,
                    false => self.query(subquery, true)?,
                };
                // Without a name its columns would keep the names of what it reads.
                let named = alias.is_some();
                let name = || plain_alias(Ident::with_quote('"', self.made_up("")));
                relation(outputs, alias.get_or_insert_with(name), named)
            }
            TableFactor::UNNEST { alias, array_exprs, .. } => {
                self.among(seen, |resolver| {
                    array_exprs.iter_mut().try_for_each(|expr| resolver.visit(expr, Clause::Plain))
                })?;
                // The planner counts its columns.
                let outputs = Outputs { columns: Vec::new(), open: true };
                match alias {
                    Some(alias) => relation(outputs, alias, true),
                    None => Ok(scope(outputs, &[], &[])),
                }
            }
            TableFactor::NestedJoin { table_with_joins, alias } => {
                let inner = self.joined(table_with_joins, seen)?;
                match alias {
                    None => Ok(inner),
                    Some(alias) => relation(outputs_of(inner, alias)?, alias, true),
                }
            }
            _ => Ok(scope(Outputs { columns: Vec::new(), open: true }, &[], &[])),
        }
    }

    /// Does something where what was seen of FROM can be named.
    fn among<T>(&mut self, seen: &mut Vec<Scope>, act: impl FnOnce(&mut Self) -> T) -> T {
        let around = self.scopes.len();
        self.scopes.append(seen);
        let done = act(self);
        *seen = self.scopes.split_off(around);
        done
    }

    fn table(
        &mut self,
        name: &mut ObjectName,
        alias: &mut Option<TableAlias>,
    ) -> Result<Scope, Failure> {
        let idents: Vec<Ident> =
            name.0.iter().filter_map(|part| part.as_ident()).cloned().collect();
        let parts = lower(&idents);
        if let [single] = parts.as_slice()
            && let Some(query) = self.with_query(single).cloned()
        {
            if query.internal != query.name {
                alias.get_or_insert_with(|| plain_alias(idents[0].clone()));
                *name = ObjectName::from(Ident::with_quote('"', query.internal));
            }
            return match alias {
                Some(alias) => relation(query.outputs, alias, true),
                None => Ok(scope(query.outputs, &parts, &idents)),
            };
        }
        let full = full_name(&parts, self.context).ok();
        let Some((catalog, schema, table)) = full else {
            return Ok(scope(Outputs { columns: Vec::new(), open: true }, &parts, &idents));
        };
        let full = [catalog, schema, table];
        let outputs = match self.tables.get(&full) {
            Some(provider) => columns(provider.as_ref()),
            None => Outputs { columns: Vec::new(), open: true },
        };
        let mut scope = match alias {
            Some(alias) => relation(outputs, alias, true)?,
            None => scope(outputs, &full, &idents),
        };
        let qualifier = alias.as_ref().map_or(idents, |alias| vec![alias.name.clone()]);
        for hidden in self.named.hidden_of(&full) {
            let relation = scope.columns.first().map(|column| column.relation.clone());
            scope.columns.push(Column {
                name: Some(hidden.clone()),
                shown: Some(hidden.clone()),
                relation: relation.unwrap_or_default(),
                value: value(&qualifier, hidden),
                plain: true,
                hidden: true,
            });
        }
        Ok(scope)
    }

    fn join(&mut self, join: &mut Join, left: Scope, right: Scope) -> Result<Scope, Failure> {
        let (constraint, side) = match &mut join.join_operator {
            JoinOperator::Right(constraint) | JoinOperator::RightOuter(constraint) => {
                (constraint, Side::Right)
            }
            JoinOperator::FullOuter(constraint) => (constraint, Side::Either),
            JoinOperator::Join(constraint)
            | JoinOperator::Inner(constraint)
            | JoinOperator::Left(constraint)
            | JoinOperator::LeftOuter(constraint) => (constraint, Side::Left),
            _ => return Ok(both(left, right)),
        };
        match constraint {
            JoinConstraint::On(condition) => {
                self.scopes.push(both(left, right));
                let visited = self.visit(condition, Clause::Plain);
                let joined = self.scopes.pop().unwrap_or_default();
                visited.map(|()| joined)
            }
            JoinConstraint::Using(names) => {
                let idents = |name: &ObjectName| name.0.last()?.as_ident().cloned();
                let names: Vec<Ident> = names.iter().filter_map(idents).collect();
                let (condition, scope) = using(&names, side, left, right)?;
                *constraint = JoinConstraint::On(condition);
                Ok(scope)
            }
            _ => Ok(both(left, right)),
        }
    }
}

fn both(mut left: Scope, right: Scope) -> Scope {
    left.extend(right);
    left
}

/// The condition of a join with USING, and its columns: those of USING come first, once and
/// without a qualifier, then the others of both sides.
fn using(
    names: &[Ident],
    side: Side,
    mut left: Scope,
    mut right: Scope,
) -> Result<(Expr, Scope), Failure> {
    let mut condition = None;
    let mut merged = Vec::with_capacity(names.len());
    for name in names {
        let one = take(&mut left, name, "left")?;
        let other = take(&mut right, name, "right")?;
        let operation = |left: &Expr, op: &str, right: &Expr| Expr::BinaryOp {
            left: Box::new(left.clone()),
            op: marked(op, name.span.start),
            right: Box::new(right.clone()),
        };
        let equal = operation(&one, "=", &other);
        condition = Some(match condition {
            None => equal,
            Some(before) => Expr::BinaryOp {
                left: Box::new(before),
                op: BinaryOperator::And,
                right: Box::new(equal),
            },
        });
        let value = match side {
            Side::Left => operation(&one, USING, &other),
            Side::Right => operation(&other, USING, &one),
            Side::Either => operation(&one, USING_EITHER, &other),
        };
        let lower = name.value.to_lowercase();
        merged.push(Column {
            name: Some(lower.clone()),
            shown: Some(lower),
            relation: Vec::new(),
            value,
            plain: false,
            hidden: false,
        });
    }
    let always = || Expr::Value(Value::Boolean(true).with_empty_span());
    let columns = merged.into_iter().chain(left.columns).chain(right.columns).collect();
    let open = left.open.into_iter().chain(right.open).collect();
    Ok((condition.unwrap_or_else(always), Scope { columns, open }))
}

/// Takes a column of USING out of a side.
fn take(scope: &mut Scope, name: &Ident, side: &str) -> Result<Expr, Failure> {
    let at = place(name.span.start);
    let lower = name.value.to_lowercase();
    match scope.find(std::slice::from_ref(&lower)) {
        Found::One(..) => {
            let is_it = |column: &Column| column.is(&[], &lower);
            let position = scope.columns.iter().position(is_it).unwrap_or_default();
            Ok(scope.columns.remove(position).value)
        }
        Found::Several => {
            let message = format!("Column '{lower}' is ambiguous");
            Err(failure_at(at, ErrorCode::AMBIGUOUS_NAME, message))
        }
        Found::Unknown => Err(not_supported(name, "USING of UNNEST without names of columns")),
        Found::Nothing => {
            let message = format!("Column '{lower}' is missing from {side} side of join");
            Err(failure_at(at, ErrorCode::COLUMN_NOT_FOUND, message))
        }
    }
}

/// The columns of a join in brackets, for its own name.
fn outputs_of(scope: Scope, alias: &TableAlias) -> Result<Outputs, Failure> {
    let mut seen = HashSet::new();
    if !scope.columns.iter().all(|column| column.plain && seen.insert(column.name.clone())) {
        return Err(not_supported(&alias.name, "A name of this join in brackets"));
    }
    let output = |column: Column| Output {
        internal: column.name.clone().unwrap_or_default(),
        name: column.name,
        shown: column.shown,
    };
    let open = !scope.open.is_empty();
    Ok(Outputs { columns: scope.columns.into_iter().map(output).collect(), open })
}

fn not_supported(name: &Ident, what: &str) -> Failure {
    let message = format!("{what} is not supported");
    failure_at(place(name.span.start), ErrorCode::NOT_SUPPORTED, message)
}

fn plain_alias(name: Ident) -> TableAlias {
    TableAlias { explicit: true, name, columns: Vec::new(), at: None }
}

/// The visible columns of a table.
fn columns(provider: &dyn TableProvider) -> Outputs {
    let schema = provider.schema();
    let column = |name: &String| Output {
        name: Some(name.to_lowercase()),
        internal: name.clone(),
        shown: Some(name.clone()),
    };
    let columns = schema.fields().iter().map(|field| column(field.name())).collect();
    Outputs { columns, open: false }
}

/// The columns of a relation that has this name; `named` when a client can write it.
fn relation(outputs: Outputs, alias: &mut TableAlias, named: bool) -> Result<Scope, Failure> {
    let outputs = renamed(outputs, alias)?;
    let name = alias.name.clone();
    let relation = if named { vec![name.value.to_lowercase()] } else { Vec::new() };
    Ok(scope(outputs, &relation, &[name]))
}

/// Columns of a relation that can be qualified with `relation`, and that the planner knows by
/// `qualifier`.
fn scope(outputs: Outputs, relation: &[String], qualifier: &[Ident]) -> Scope {
    let column = |output: Output| Column {
        value: value(qualifier, &output.internal),
        plain: output.name.as_ref() == Some(&output.internal),
        name: output.name,
        shown: output.shown,
        relation: relation.to_vec(),
        hidden: false,
    };
    Scope {
        columns: outputs.columns.into_iter().map(column).collect(),
        open: outputs.open.then(|| relation.to_vec()).into_iter().collect(),
    }
}

fn value(qualifier: &[Ident], column: &str) -> Expr {
    let mut idents = qualifier.to_vec();
    idents.push(Ident::with_quote('"', column));
    match idents.as_slice() {
        [single] => Expr::Identifier(single.clone()),
        _ => Expr::CompoundIdentifier(idents),
    }
}

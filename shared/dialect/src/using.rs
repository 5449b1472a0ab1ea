//! JOIN … USING: one column of both sides. The planner takes the left side's, which is NULL where
//! a RIGHT or FULL JOIN has no left row, and leaves it at its place in `*`, where Trino puts it
//! first.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, ExcludeSelectItem, Expr, GroupByExpr, Ident, Join, JoinConstraint,
    JoinOperator, ObjectName, Query, Select, SelectItem, SelectItemQualifiedWildcardKind,
    TableFactor, TableWithJoins, VisitMut, VisitorMut, WildcardAdditionalOptions,
};
use datafusion::sql::sqlparser::parser::Parser;
use waterbear_protocol::Failure;

use super::check::unsupported;
use super::lexer::TrinoDialect;

/// Rewrites the joins with USING of a SELECT, and what uses their columns.
///
/// # Errors
/// NOT_SUPPORTED with the place of a join whose column cannot be written out.
pub(super) fn rewrite(select: &mut Select) -> Result<(), Failure> {
    let mut columns: Vec<Ident> = Vec::new();
    for (position, table) in select.from.iter().enumerate() {
        for join in table.joins.iter().rev() {
            let Some(names) = using(join) else { continue };
            if position > 0 && has_star(select) {
                return Err(unsupported(join, "USING behind a comma, with *,"));
            }
            for name in names {
                if !columns.iter().any(|column| column.value == name.value) {
                    columns.push(name);
                }
            }
        }
        if has_star(select) && table_factors(table).any(nests_using) {
            return Err(unsupported(table, "USING in brackets, with *,"));
        }
    }
    if columns.is_empty() {
        return Ok(());
    }
    let outer = select.from.iter().flat_map(|table| &table.joins).find(|join| {
        using(join).is_some()
            && matches!(
                join.join_operator,
                JoinOperator::RightOuter(_) | JoinOperator::Right(_) | JoinOperator::FullOuter(_)
            )
    });
    if let Some(outer) = outer {
        let single = select.from.len() == 1 && select.from[0].joins.len() == 1;
        let sides = (name_of(&select.from[0].relation), name_of(&outer.relation));
        let (true, (Some(left), Some(right))) = (single, sides) else {
            return Err(unsupported(outer, "USING in a RIGHT or FULL JOIN beside other joins"));
        };
        let full = matches!(outer.join_operator, JoinOperator::FullOuter(_));
        let merged = Merged { columns: &columns, left, right, full, depth: 0 };
        return write_out(select, merged);
    }
    put_first(select, &columns)
}

fn using(join: &Join) -> Option<Vec<Ident>> {
    let constraint = match &join.join_operator {
        JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::Left(constraint)
        | JoinOperator::LeftOuter(constraint)
        | JoinOperator::Right(constraint)
        | JoinOperator::RightOuter(constraint)
        | JoinOperator::FullOuter(constraint) => constraint,
        _ => return None,
    };
    let JoinConstraint::Using(names) = constraint else { return None };
    let ident = |name: &ObjectName| name.0.last()?.as_ident().cloned();
    Some(names.iter().filter_map(ident).collect())
}

fn table_factors(table: &TableWithJoins) -> impl Iterator<Item = &TableFactor> {
    std::iter::once(&table.relation).chain(table.joins.iter().map(|join| &join.relation))
}

fn nests_using(factor: &TableFactor) -> bool {
    let TableFactor::NestedJoin { table_with_joins, .. } = factor else { return false };
    table_with_joins.joins.iter().any(|join| using(join).is_some())
        || table_factors(table_with_joins).any(nests_using)
}

fn has_star(select: &Select) -> bool {
    select.projection.iter().any(|item| matches!(item, SelectItem::Wildcard(_)))
}

/// What columns of a table are qualified with.
fn name_of(factor: &TableFactor) -> Option<Ident> {
    match factor {
        TableFactor::Table { alias: Some(alias), .. }
        | TableFactor::Derived { alias: Some(alias), .. } => Some(alias.name.clone()),
        TableFactor::Table { name, alias: None, .. } => name.0.last()?.as_ident().cloned(),
        _ => None,
    }
}

/// `*` gives these columns first, and none of them again. The planner leaves a column out of one
/// table at a time, so each must have a name, and have the columns.
fn put_first(select: &mut Select, columns: &[Ident]) -> Result<(), Failure> {
    let star = select.projection.iter().position(|item| matches!(item, SelectItem::Wildcard(_)));
    let Some(star) = star else { return Ok(()) };
    let refused = || unsupported(&select.from[0], "USING of different columns, with *,");
    let first = &select.from[0];
    let last = first.joins.iter().rposition(|join| using(join).is_some());
    let same = |join: &Join| {
        using(join).is_some_and(|names| {
            names.len() == columns.len()
                && names.iter().all(|name| columns.iter().any(|column| column.value == name.value))
        })
    };
    let joined = last.map_or(0, |last| last + 1);
    if !first.joins[..joined].iter().all(same) {
        return Err(refused());
    }
    let mut items: Vec<SelectItem> = columns
        .iter()
        .map(|name| SelectItem::UnnamedExpr(Expr::Identifier(name.clone())))
        .collect();
    let factors = table_factors(first).chain(select.from[1..].iter().flat_map(table_factors));
    for (position, factor) in factors.enumerate() {
        let name = name_of(factor).ok_or_else(refused)?;
        let names = columns.iter().map(|name| ObjectName::from(name.clone())).collect();
        let options = WildcardAdditionalOptions {
            opt_exclude: (position <= joined).then_some(ExcludeSelectItem::Multiple(names)),
            ..WildcardAdditionalOptions::default()
        };
        let table = SelectItemQualifiedWildcardKind::ObjectName(ObjectName::from(name));
        items.push(SelectItem::QualifiedWildcard(table, options));
    }
    select.projection.splice(star..=star, items);
    Ok(())
}

/// The columns of a RIGHT or FULL JOIN with USING.
struct Merged<'a> {
    columns: &'a [Ident],
    left: Ident,
    right: Ident,
    full: bool,
    /// Queries around this place, inside of the SELECT.
    depth: usize,
}

impl Merged<'_> {
    /// The value of a column: of the side that has a row.
    fn value(&self, column: &Ident) -> Option<Expr> {
        let (left, right) = (&self.left, &self.right);
        let text = match self.full {
            true => format!("coalesce({left}.{column}, {right}.{column})"),
            false => format!("{right}.{column}"),
        };
        Parser::new(&TrinoDialect).try_with_sql(&text).ok()?.parse_expr().ok()
    }

    fn is_one(&self, name: &Ident) -> bool {
        self.columns.iter().any(|column| column.value == name.value)
    }
}

fn write_out(select: &mut Select, mut merged: Merged<'_>) -> Result<(), Failure> {
    let columns = merged.columns;
    put_first(select, columns)?;
    let joined = columns.iter().map(|column| {
        let side =
            |side: &Ident| Box::new(Expr::CompoundIdentifier(vec![side.clone(), column.clone()]));
        let (left, right) = (side(&merged.left), side(&merged.right));
        Expr::BinaryOp { left, op: BinaryOperator::Eq, right }
    });
    let condition = joined.reduce(|one, other| Expr::BinaryOp {
        left: Box::new(one),
        op: BinaryOperator::And,
        right: Box::new(other),
    });
    let join = &mut select.from[0].joins[0];
    if let (
        Some(condition),
        JoinOperator::Right(constraint)
        | JoinOperator::RightOuter(constraint)
        | JoinOperator::FullOuter(constraint),
    ) = (condition, &mut join.join_operator)
    {
        *constraint = JoinConstraint::On(condition);
    }
    for item in &mut select.projection {
        if let SelectItem::UnnamedExpr(Expr::Identifier(name)) = item
            && merged.is_one(name)
        {
            let (expr, alias) = (Expr::Identifier(name.clone()), name.clone());
            *item = SelectItem::ExprWithAlias { expr, alias };
        }
    }
    let group_by = match &mut select.group_by {
        GroupByExpr::Expressions(expressions, _) => expressions.as_mut_slice(),
        GroupByExpr::All(_) => &mut [],
    };
    let parts = [&mut select.selection, &mut select.having].into_iter().flatten().chain(group_by);
    for part in parts {
        flow(part.visit(&mut merged))?;
    }
    for item in &mut select.projection {
        flow(item.visit(&mut merged))?;
    }
    Ok(())
}

fn flow(flow: ControlFlow<Failure>) -> Result<(), Failure> {
    match flow {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(failure) => Err(failure),
    }
}

impl VisitorMut for Merged<'_> {
    type Break = Failure;

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<Failure> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<Failure> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Failure> {
        let Expr::Identifier(name) = expr else { return ControlFlow::Continue(()) };
        if !self.is_one(name) {
            return ControlFlow::Continue(());
        }
        let what = "A subquery with a column of USING in a RIGHT or FULL JOIN";
        match self.value(name) {
            Some(value) if self.depth == 0 => {
                *expr = value;
                ControlFlow::Continue(())
            }
            _ => ControlFlow::Break(unsupported(expr, what)),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use datafusion::sql::sqlparser::ast::SetExpr;

    use super::*;

    fn rewritten(text: &str) -> Result<String, Failure> {
        let mut parser = Parser::new(&TrinoDialect).try_with_sql(text).unwrap();
        let SetExpr::Select(mut select) = *parser.parse_query().unwrap().body else { panic!() };
        rewrite(&mut select)?;
        Ok(select.to_string())
    }

    #[test]
    fn the_column_comes_first_and_from_the_side_that_has_a_row() {
        for (text, becomes) in [
            ("SELECT x FROM a JOIN b USING (k)", "SELECT x FROM a JOIN b USING(k)"),
            (
                "SELECT * FROM a LEFT JOIN b USING (k) JOIN c ON x = y",
                "SELECT k, a.* EXCLUDE (k), b.* EXCLUDE (k), c.* FROM a LEFT JOIN b USING(k) \
                 JOIN c ON x = y",
            ),
            (
                "SELECT * FROM a FULL JOIN b AS c USING (k)",
                "SELECT coalesce(a.k, c.k) AS k, a.* EXCLUDE (k), c.* EXCLUDE (k) FROM a \
                 FULL JOIN b AS c ON a.k = c.k",
            ),
            (
                "SELECT k + 1 FROM a RIGHT JOIN b USING (k) WHERE k > 1",
                "SELECT b.k + 1 FROM a RIGHT JOIN b ON a.k = b.k WHERE b.k > 1",
            ),
        ] {
            assert_eq!(rewritten(text).unwrap(), becomes);
        }
    }

    #[test]
    fn what_cannot_be_written_out_is_refused() {
        for text in [
            "SELECT k FROM a FULL JOIN b USING (k) FULL JOIN c USING (k)",
            "SELECT (SELECT max(x) FROM c WHERE y = k) FROM a FULL JOIN b USING (k)",
            "SELECT * FROM a JOIN b USING (k) JOIN c USING (j)",
            "SELECT * FROM c, a JOIN b USING (k)",
            "SELECT * FROM c JOIN (a JOIN b USING (k)) ON x = y",
        ] {
            assert!(rewritten(text).is_err(), "{text}");
        }
    }
}

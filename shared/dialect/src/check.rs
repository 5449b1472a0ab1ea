//! Refuses what Trino does not have and what the planner would silently ignore: an error is
//! better than a wrong answer.

use std::fmt::Display;

use datafusion::sql::sqlparser::ast::{
    Distinct, Function, FunctionArguments, GroupByExpr, Ident, Join, JoinConstraint, JoinOperator,
    LimitClause, ObjectName, OrderBy, OrderByKind, Query, Select, SelectFlavor, SelectItem,
    SetExpr, SetOperator, SetQuantifier, Spanned, TableFactor, TableWithJoins,
    WildcardAdditionalOptions,
};
use waterbear_protocol::{ErrorCode, Failure};

use super::lexer::{failure_at, place};

pub(super) type Checked = Result<(), Failure>;

/// `X is not supported`, at the place of `node`.
pub(super) fn unsupported(node: &impl Spanned, what: impl Display) -> Failure {
    let message = format!("{what} is not supported");
    failure_at(place(node.span().start), ErrorCode::NOT_SUPPORTED, message)
}

/// Refuses `what` when it is there.
fn refuse(is_there: bool, node: &impl Spanned, what: &str) -> Checked {
    if is_there { Err(unsupported(node, what)) } else { Ok(()) }
}

pub(super) fn query(query: &Query) -> Checked {
    refuse(!query.locks.is_empty(), query, "FOR UPDATE")?;
    refuse(query.for_clause.is_some(), query, "FOR")?;
    refuse(query.settings.is_some(), query, "SETTINGS")?;
    refuse(query.format_clause.is_some(), query, "FORMAT")?;
    refuse(!query.pipe_operators.is_empty(), query, "A pipe operator")?;
    if let Some(fetch) = &query.fetch {
        refuse(fetch.with_ties, query, "FETCH FIRST ... WITH TIES")?;
        refuse(fetch.percent, query, "FETCH FIRST ... PERCENT")?;
        let limited = matches!(
            &query.limit_clause,
            Some(
                LimitClause::LimitOffset { limit: Some(_), .. }
                    | LimitClause::OffsetCommaLimit { .. }
            )
        );
        refuse(limited, query, "LIMIT together with FETCH FIRST")?;
    }
    match &query.limit_clause {
        Some(LimitClause::OffsetCommaLimit { .. }) => return Err(unsupported(query, "LIMIT n, m")),
        Some(LimitClause::LimitOffset { limit_by, .. }) => {
            refuse(!limit_by.is_empty(), query, "LIMIT BY")?;
        }
        None => {}
    }
    if let Some(order) = &query.order_by {
        order_by(order)?;
    }
    for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
        refuse(cte.from.is_some(), query, "FROM in WITH")?;
        let recursive = query.with.as_ref().is_some_and(|with| with.recursive)
            && matches!(cte.query.body.as_ref(), SetExpr::SetOperation { .. });
        // The planner would look at the terms alone.
        let limited = cte.query.limit_clause.is_some() || cte.query.fetch.is_some();
        refuse(recursive && limited, cte.query.as_ref(), "A limit in WITH RECURSIVE")?;
        let nested = recursive && cte.query.with.is_some();
        refuse(nested, cte.query.as_ref(), "WITH directly in WITH RECURSIVE")?;
    }
    set_expr(&query.body, query)
}

fn order_by(order: &OrderBy) -> Checked {
    refuse(order.interpolate.is_some(), order, "INTERPOLATE")?;
    match &order.kind {
        OrderByKind::All(_) => Err(unsupported(order, "ORDER BY ALL")),
        OrderByKind::Expressions(items) => {
            let filled = items.iter().any(|item| item.with_fill.is_some());
            refuse(filled, order, "WITH FILL")
        }
    }
}

fn set_expr(body: &SetExpr, query: &Query) -> Checked {
    match body {
        SetExpr::Select(_) | SetExpr::Query(_) | SetExpr::Values(_) => Ok(()),
        SetExpr::SetOperation { op, set_quantifier, left, right } => {
            // The planner ignores how often a row is there.
            let all = *op != SetOperator::Union && *set_quantifier == SetQuantifier::All;
            refuse(all, query, &format!("{op} ALL"))?;
            refuse(*op == SetOperator::Minus, query, "MINUS")?;
            let by_name = matches!(
                set_quantifier,
                SetQuantifier::ByName | SetQuantifier::AllByName | SetQuantifier::DistinctByName
            );
            refuse(by_name, query, "BY NAME")?;
            set_expr(left, query)?;
            set_expr(right, query)
        }
        SetExpr::Table(_) => Err(unsupported(query, "TABLE as a query")),
        SetExpr::Insert(_) => Err(unsupported(query, "INSERT")),
        SetExpr::Update(_) => Err(unsupported(query, "UPDATE")),
        SetExpr::Delete(_) => Err(unsupported(query, "DELETE")),
        SetExpr::Merge(_) => Err(unsupported(query, "MERGE")),
    }
}

pub(super) fn select(select: &Select) -> Checked {
    let there = [
        (matches!(select.distinct, Some(Distinct::On(_))), "DISTINCT ON"),
        (select.select_modifiers.is_some(), "A modifier of SELECT"),
        (select.top.is_some(), "TOP"),
        (select.exclude.is_some(), "EXCLUDE"),
        (select.into.is_some(), "SELECT INTO"),
        (!select.lateral_views.is_empty(), "LATERAL VIEW"),
        (select.prewhere.is_some(), "PREWHERE"),
        (!select.connect_by.is_empty(), "CONNECT BY"),
        (!select.cluster_by.is_empty(), "CLUSTER BY"),
        (!select.distribute_by.is_empty(), "DISTRIBUTE BY"),
        (!select.sort_by.is_empty(), "SORT BY"),
        (select.qualify.is_some(), "QUALIFY"),
        (select.value_table_mode.is_some(), "SELECT AS"),
        (select.flavor != SelectFlavor::Standard, "FROM before SELECT"),
        (select.projection.is_empty(), "SELECT without columns"),
    ];
    for (is_there, what) in there {
        refuse(is_there, select, what)?;
    }
    match &select.group_by {
        GroupByExpr::All(_) => return Err(unsupported(select, "GROUP BY ALL")),
        GroupByExpr::Expressions(_, modifiers) => {
            refuse(!modifiers.is_empty(), select, "A modifier of GROUP BY")?;
        }
    }
    for item in &select.projection {
        select_item(item)?;
    }
    select.from.iter().try_for_each(table_with_joins)
}

fn select_item(item: &SelectItem) -> Checked {
    match item {
        SelectItem::UnnamedExpr(_) => Ok(()),
        SelectItem::ExprWithAlias { alias, .. } => identifier(alias, item),
        SelectItem::ExprWithAliases { .. } => Err(unsupported(item, "An item with several names")),
        SelectItem::Wildcard(options) | SelectItem::QualifiedWildcard(_, options) => {
            wildcard(item, options)
        }
    }
}

fn wildcard(item: &SelectItem, options: &WildcardAdditionalOptions) -> Checked {
    let plain = options.opt_ilike.is_none()
        && options.opt_exclude.is_none()
        && options.opt_except.is_none()
        && options.opt_replace.is_none()
        && options.opt_rename.is_none()
        && options.opt_alias.is_none();
    refuse(!plain, item, "An option of *")
}

/// A string where a name belongs: a file or an alias in another dialect.
fn identifier(name: &Ident, node: &impl Spanned) -> Checked {
    match name.quote_style {
        None | Some('"') => Ok(()),
        Some(_) => {
            let message = format!("mismatched input '{name}'. Expecting: <identifier>");
            let at = place(name.span.start).or_else(|| place(node.span().start));
            Err(failure_at(at, ErrorCode::SYNTAX_ERROR, message))
        }
    }
}

fn object_name(name: &ObjectName) -> Checked {
    name.0.iter().try_for_each(|part| match part.as_ident() {
        Some(ident) => identifier(ident, name),
        None => Err(unsupported(name, "A function as a name")),
    })
}

pub(super) fn table_with_joins(table: &TableWithJoins) -> Checked {
    table.joins.iter().try_for_each(join)
}

fn join(join: &Join) -> Checked {
    refuse(join.global, join, "GLOBAL JOIN")?;
    let constraint = match &join.join_operator {
        JoinOperator::CrossJoin(JoinConstraint::None) => return Ok(()),
        JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::Left(constraint)
        | JoinOperator::LeftOuter(constraint)
        | JoinOperator::Right(constraint)
        | JoinOperator::RightOuter(constraint)
        | JoinOperator::FullOuter(constraint) => constraint,
        _ => return Err(unsupported(join, "This kind of join")),
    };
    match constraint {
        JoinConstraint::On(_) | JoinConstraint::Using(_) => Ok(()),
        JoinConstraint::Natural => Err(unsupported(join, "NATURAL JOIN")),
        JoinConstraint::None => {
            let message = "mismatched input. Expecting: 'ON', 'USING'";
            Err(failure_at(place(join.span().start), ErrorCode::SYNTAX_ERROR, message))
        }
    }
}

/// Calls that the planner would take with arguments that mean nothing.
pub(super) fn arguments(function: &Function) -> Checked {
    let FunctionArguments::List(list) = &function.args else { return Ok(()) };
    if list.args.len() < 2 || !function.name.to_string().eq_ignore_ascii_case("count") {
        return Ok(());
    }
    let message = "Unexpected parameters for function count. Expected: count(), count(t)";
    Err(failure_at(place(function.name.span().start), ErrorCode::FUNCTION_NOT_FOUND, message))
}

pub(super) fn table_factor(factor: &TableFactor) -> Checked {
    let alias = match factor {
        TableFactor::Table {
            name,
            alias,
            args,
            with_hints,
            version,
            with_ordinality,
            partitions,
            json_path,
            sample,
            index_hints,
        } => {
            object_name(name)?;
            refuse(args.is_some(), factor, "A table function")?;
            refuse(sample.is_some(), factor, "TABLESAMPLE")?;
            refuse(version.is_some(), factor, "A version of a table")?;
            let rest = !with_hints.is_empty()
                || *with_ordinality
                || !partitions.is_empty()
                || json_path.is_some()
                || !index_hints.is_empty();
            refuse(rest, factor, "A modifier of a table")?;
            alias
        }
        TableFactor::Derived { alias, sample, lateral, subquery } => {
            refuse(sample.is_some(), factor, "TABLESAMPLE")?;
            // The planner would keep its references to the other side, which nobody can compute.
            let constant = match subquery.body.as_ref() {
                SetExpr::Select(select) => select.from.is_empty(),
                _ => false,
            };
            refuse(*lateral && constant, subquery.as_ref(), "LATERAL of a query without FROM")?;
            alias
        }
        TableFactor::UNNEST { alias, with_offset, with_offset_alias, .. } => {
            let offset = *with_offset || with_offset_alias.is_some();
            refuse(offset, factor, "UNNEST WITH OFFSET")?;
            alias
        }
        TableFactor::NestedJoin { table_with_joins: inner, alias } => {
            table_with_joins(inner)?;
            alias
        }
        TableFactor::TableFunction { .. } | TableFactor::Function { .. } => {
            return Err(unsupported(factor, "A table function"));
        }
        TableFactor::MatchRecognize { .. } => {
            return Err(unsupported(factor, "MATCH_RECOGNIZE"));
        }
        TableFactor::JsonTable { .. } => return Err(unsupported(factor, "JSON_TABLE")),
        _ => return Err(unsupported(factor, "This kind of table")),
    };
    match alias {
        None => Ok(()),
        Some(alias) => {
            refuse(alias.at.is_some(), factor, "AT after a table's name")?;
            let typed = alias.columns.iter().any(|column| column.data_type.is_some());
            refuse(typed, factor, "A type after a column's name")?;
            identifier(&alias.name, factor)?;
            alias.columns.iter().try_for_each(|column| identifier(&column.name, factor))
        }
    }
}

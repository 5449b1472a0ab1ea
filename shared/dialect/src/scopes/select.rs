//! The items of a SELECT: `*` written out where the planner would take it for something else, and
//! a name of its own for every column.

use std::collections::HashSet;

use datafusion::sql::sqlparser::ast::{
    AccessExpr, Expr, GroupByExpr, Ident, ObjectName, OrderBy, Select, SelectItem,
    SelectItemQualifiedWildcardKind, Spanned, Value, ValueWithSpan,
};
use waterbear_protocol::{ErrorCode, Failure};

use super::expressions::{Clause, lower};
use super::{Column, Found, Output, Outputs, Resolver};
use crate::check::unsupported;
use crate::lexer::{failure_at, place};
use crate::names::MARK;

/// A column of a SELECT.
struct Entry {
    item: SelectItem,
    name: Option<String>,
    shown: Option<String>,
    /// What the planner calls it when `*` is not written out.
    internal: Option<String>,
    /// A column that the planner does not call by its name.
    computed: bool,
}

/// What one item of a SELECT stands for.
enum Item {
    One(Entry),
    /// `*`, and its columns.
    Star(SelectItem, Vec<Entry>),
    /// `*` with columns that only the planner knows.
    Open(SelectItem),
}

impl Resolver<'_> {
    /// A SELECT; gives its columns.
    pub(super) fn select(
        &mut self,
        select: &mut Select,
        order: Option<&mut OrderBy>,
        visible: bool,
    ) -> Result<Outputs, Failure> {
        let mut from = std::mem::take(&mut select.from);
        let scope = self.from(&mut from)?;
        self.scopes.push(scope);
        let items = std::mem::take(&mut select.projection).into_iter();
        let items =
            items.map(|item| self.item(item, from.is_empty())).collect::<Result<Vec<_>, _>>()?;
        let aliases = aliases(&items);
        let no_groups = GroupByExpr::Expressions(Vec::new(), Vec::new());
        let mut group_by = std::mem::replace(&mut select.group_by, no_groups);
        let mut having = select.having.take();
        self.visit(&mut group_by, Clause::Grouping(&aliases))?;
        self.visit(&mut having, Clause::Grouping(&aliases))?;
        self.visit(select, Clause::Plain)?;
        (select.group_by, select.having, select.from) = (group_by, having, from);
        let (projection, outputs) = named(items, visible);
        select.projection = projection;
        if let GroupByExpr::Expressions(items, _) = &select.group_by {
            items.iter().try_for_each(|item| check_position(item, &outputs, "GROUP BY"))?;
        }
        self.order_by(order, &outputs)?;
        self.scopes.pop();
        Ok(outputs)
    }

    fn item(&mut self, item: SelectItem, no_from: bool) -> Result<Item, Failure> {
        match item {
            SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. } => {
                self.expression(item).map(Item::One)
            }
            SelectItem::Wildcard(_) if no_from => {
                let message = "SELECT * not allowed in queries without FROM clause";
                let at = place(item.span().start);
                Err(failure_at(at, ErrorCode::COLUMN_NOT_FOUND, message))
            }
            SelectItem::Wildcard(_) => self.star(item, &[]),
            SelectItem::QualifiedWildcard(
                SelectItemQualifiedWildcardKind::ObjectName(ref name),
                _,
            ) => {
                let relation = name.clone();
                self.qualified(item, &relation)
            }
            _ => Err(unsupported(&item, "* of an expression")),
        }
    }

    fn qualified(&mut self, item: SelectItem, name: &ObjectName) -> Result<Item, Failure> {
        let idents: Vec<Ident> =
            name.0.iter().filter_map(|part| part.as_ident()).cloned().collect();
        let parts = lower(&idents);
        let Some(scope) = self.scopes.last() else { return Ok(Item::Open(item)) };
        let known = scope.columns.iter().map(|column| &column.relation).chain(&scope.open);
        if known.into_iter().any(|relation| !relation.is_empty() && relation.ends_with(&parts)) {
            return self.star(item, &parts);
        }
        let found = self.scopes.iter().rev().map(|scope| scope.find(&parts));
        if found.into_iter().any(|found| matches!(found, Found::One(..))) {
            return Err(unsupported(&item, "* of a row"));
        }
        let message = format!("Table '{}' not found", parts.join("."));
        let at = idents.first().and_then(|first| place(first.span.start));
        Err(failure_at(at, ErrorCode::TABLE_NOT_FOUND, message))
    }

    /// The columns of all relations, or of those that can be qualified so.
    fn star(&self, item: SelectItem, qualifier: &[String]) -> Result<Item, Failure> {
        let Some(scope) = self.scopes.last() else { return Ok(Item::Open(item)) };
        let meant = |relation: &[String]| qualifier.is_empty() || relation.ends_with(qualifier);
        let columns: Vec<&Column> =
            scope.columns.iter().filter(|column| meant(&column.relation)).collect();
        if scope.open.iter().any(|relation| meant(relation)) {
            return match columns.iter().all(|column| column.keeps_its_name()) {
                true => Ok(Item::Open(item)),
                false => Err(unsupported(&item, "* over UNNEST without names of columns, here,")),
            };
        }
        let hides = scope.columns.iter().any(|column| column.hidden);
        let shown = columns.into_iter().filter(|column| !column.hidden);
        let mut entries: Vec<Entry> = shown.map(entry).collect();
        // A column of USING is not among the columns of its relations.
        let merges = scope.columns.iter().any(|column| column.relation.is_empty() && !column.plain);
        for entry in &mut entries {
            entry.computed |= hides || merges;
        }
        Ok(Item::Star(item, entries))
    }

    /// An item that is no `*`: its names are those of the text, before it is resolved.
    fn expression(&mut self, mut item: SelectItem) -> Result<Entry, Failure> {
        let (name, shown) = match &item {
            SelectItem::ExprWithAlias { alias, .. } => self.written(alias),
            SelectItem::UnnamedExpr(expr) => match column_name(expr) {
                Some(name) => self.written(name),
                None => (None, None),
            },
            _ => (None, None),
        };
        let before = match &item {
            SelectItem::UnnamedExpr(expr) if name.is_some() => Some(expr.clone()),
            _ => None,
        };
        self.visit(&mut item, Clause::Plain)?;
        let computed = match (&before, &item) {
            (Some(before), SelectItem::UnnamedExpr(expr)) => before != expr || self.is_field(expr),
            _ => false,
        };
        Ok(Entry { item, name, shown, internal: None, computed })
    }

    fn written(&self, name: &Ident) -> (Option<String>, Option<String>) {
        let shown = self.written.get(&name.span.start).unwrap_or(&name.value).clone();
        (Some(name.value.to_lowercase()), Some(shown))
    }

    /// True for a field of a row, which the planner calls by the whole text.
    fn is_field(&self, expr: &Expr) -> bool {
        let idents = match expr {
            Expr::CompoundIdentifier(idents) => idents,
            Expr::CompoundFieldAccess { .. } => return true,
            _ => return false,
        };
        let parts = lower(idents);
        let found = self.scopes.iter().rev().map(|scope| scope.find(&parts));
        let first = found.into_iter().find(|found| !matches!(found, Found::Nothing));
        matches!(first, Some(Found::One(_, used)) if used < parts.len())
    }
}

/// A number in GROUP BY and ORDER BY stands for a column of SELECT.
pub(super) fn check_position(expr: &Expr, outputs: &Outputs, clause: &str) -> Result<(), Failure> {
    let Expr::Value(ValueWithSpan { value: Value::Number(number, _), span }) = expr else {
        return Ok(());
    };
    let known = number.parse().is_ok_and(|number| (1..=outputs.columns.len()).contains(&number));
    if known || outputs.open {
        return Ok(());
    }
    let message = format!("{clause} position {number} is not in select list");
    Err(failure_at(place(span.start), ErrorCode::INVALID_COLUMN_REFERENCE, message))
}

/// The name that an expression gives its column.
fn column_name(expr: &Expr) -> Option<&Ident> {
    match expr {
        Expr::Identifier(name) => Some(name),
        Expr::CompoundIdentifier(names) => names.last(),
        Expr::CompoundFieldAccess { access_chain, .. } => match access_chain.last() {
            Some(AccessExpr::Dot(Expr::Identifier(name))) => Some(name),
            _ => None,
        },
        _ => None,
    }
}

impl Column {
    /// The planner's `*` does for it, unless others have its name.
    fn keeps_its_name(&self) -> bool {
        (self.plain || self.name.is_none()) && !self.hidden
    }
}

/// A column of `*`.
fn entry(column: &Column) -> Entry {
    let internal = match &column.value {
        Expr::Identifier(name) => Some(name.value.clone()),
        Expr::CompoundIdentifier(names) => names.last().map(|name| name.value.clone()),
        _ => None,
    };
    Entry {
        item: SelectItem::UnnamedExpr(column.value.clone()),
        name: column.name.clone(),
        shown: column.shown.clone(),
        internal,
        computed: !column.plain,
    }
}

/// The names of the items that have one.
fn aliases(items: &[Item]) -> Vec<String> {
    let alias = |item: &Item| match item {
        Item::One(Entry { item: SelectItem::ExprWithAlias { alias, .. }, .. }) => {
            Some(alias.value.to_lowercase())
        }
        _ => None,
    };
    items.iter().filter_map(alias).collect()
}

/// The items with a name of its own for each, and what they give.
fn named(items: Vec<Item>, visible: bool) -> (Vec<SelectItem>, Outputs) {
    let write_out = must_write_out(&items);
    let mut names = Namer { seen: HashSet::new(), position: 0, visible };
    let mut projection = Vec::with_capacity(items.len());
    let mut outputs = Outputs::default();
    for item in items {
        match item {
            Item::One(entry) => {
                let (item, output) = names.give(entry);
                projection.push(item);
                outputs.columns.push(output);
            }
            Item::Star(_, entries) if write_out => {
                for entry in entries {
                    let (item, output) = names.give(entry);
                    projection.push(item);
                    outputs.columns.push(output);
                }
            }
            Item::Star(star, entries) => {
                projection.push(star);
                names.position += entries.len();
                outputs.columns.extend(entries.into_iter().map(|entry| Output {
                    internal: entry.internal.unwrap_or_default(),
                    name: entry.name,
                    shown: entry.shown,
                }));
            }
            Item::Open(star) => {
                projection.push(star);
                names.position += 1;
                outputs.open = true;
            }
        }
    }
    (projection, outputs)
}

/// Whether the planner's `*` would not do: a column of it is computed, or a name is there twice.
fn must_write_out(items: &[Item]) -> bool {
    let mut seen = HashSet::new();
    let mut repeated = false;
    let mut stars = false;
    for item in items {
        match item {
            Item::One(entry) => {
                repeated |= entry.name.as_ref().is_some_and(|name| !seen.insert(name.as_str()));
            }
            Item::Star(_, entries) => {
                stars = true;
                for entry in entries {
                    let internal = entry.internal.as_deref().unwrap_or_default();
                    repeated |= entry.computed || !seen.insert(internal);
                }
            }
            Item::Open(_) => {}
        }
    }
    stars && repeated
}

struct Namer {
    seen: HashSet<String>,
    position: usize,
    /// Names of expressions can be seen.
    visible: bool,
}

impl Namer {
    fn give(&mut self, entry: Entry) -> (SelectItem, Output) {
        let Entry { item, name, shown, computed, .. } = entry;
        let position = self.position;
        self.position += 1;
        let own = name.as_ref().is_some_and(|name| self.seen.insert(name.clone()));
        let internal = match &name {
            Some(name) if own => name.clone(),
            name => format!("{}{MARK}{position}", name.as_deref().unwrap_or_default()),
        };
        // Alone it needs no name; with others it could be one of two equals.
        let needless = name.is_none() && !self.visible && position == 0;
        let renamed = !needless && (!own || computed);
        let item = match item {
            SelectItem::UnnamedExpr(expr) if renamed => {
                SelectItem::ExprWithAlias { expr, alias: Ident::with_quote('"', &internal) }
            }
            SelectItem::ExprWithAlias { expr, .. } if renamed => {
                SelectItem::ExprWithAlias { expr, alias: Ident::with_quote('"', &internal) }
            }
            item => item,
        };
        (item, Output { name, internal, shown })
    }
}

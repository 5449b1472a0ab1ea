//! What a memory catalog holds, under one lock that is held for moments only.

use std::collections::BTreeMap;
use std::collections::btree_map;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use waterbear_protocol::{ErrorCode, Failure};

use super::budget::{Budget, Part};
use crate::connector::{Column, ConnectorError};
use crate::write::{TableDefinition, TableName, ViewDefinition};

/// The schema that is there from the start, as in Trino.
const DEFAULT_SCHEMA: &str = "default";

/// A table. Readers have it as it was: a change makes a new one.
#[derive(Clone, Debug)]
pub(super) struct StoredTable {
    /// Tells it from another table that has its name later.
    pub id: u64,
    pub columns: Vec<Column>,
    pub comment: Option<String>,
    pub parts: Vec<Arc<Part>>,
}

#[derive(Clone, Debug)]
pub(super) enum Entry {
    Table(Arc<StoredTable>),
    View(Arc<ViewDefinition>),
}

/// What of the two a statement is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Table,
    View,
}

impl Entry {
    fn kind(&self) -> Kind {
        match self {
            Entry::Table(_) => Kind::Table,
            Entry::View(_) => Kind::View,
        }
    }
}

type Entries = BTreeMap<String, Entry>;

#[derive(Debug)]
struct State {
    schemas: BTreeMap<String, Entries>,
    next_id: u64,
}

/// All schemas of a catalog.
#[derive(Debug)]
pub(super) struct Store {
    pub budget: Arc<Budget>,
    state: Mutex<State>,
}

fn failure(code: ErrorCode, message: String) -> ConnectorError {
    Failure::new(code, message).into()
}

fn not_found(name: &TableName, kind: Kind) -> ConnectorError {
    let TableName { schema, table } = name;
    let what = if kind == Kind::Table { "Table" } else { "View" };
    failure(ErrorCode::TABLE_NOT_FOUND, format!("{what} '{schema}.{table}' does not exist"))
}

/// The entry of a name, or the failure that says that it is taken.
fn vacant<'a>(
    entries: &'a mut Entries,
    name: &TableName,
) -> Result<btree_map::VacantEntry<'a, String, Entry>, ConnectorError> {
    match entries.entry(name.table.clone()) {
        btree_map::Entry::Vacant(entry) => Ok(entry),
        btree_map::Entry::Occupied(entry) => {
            let what = if entry.get().kind() == Kind::Table { "Table" } else { "View" };
            let message = format!("{what} '{}.{}' already exists", name.schema, name.table);
            Err(failure(ErrorCode::TABLE_ALREADY_EXISTS, message))
        }
    }
}

/// The column of that name.
pub(super) fn column_of<'a>(
    columns: &'a mut [Column],
    name: &str,
) -> Result<&'a mut Column, ConnectorError> {
    columns.iter_mut().find(|column| column.name == name).ok_or_else(|| {
        failure(ErrorCode::COLUMN_NOT_FOUND, format!("Column '{name}' does not exist"))
    })
}

fn no_such_column_yet(columns: &[Column], name: &str) -> Result<(), ConnectorError> {
    if columns.iter().any(|column| column.name == name) {
        let message = format!("Column '{name}' already exists");
        return Err(failure(ErrorCode::COLUMN_ALREADY_EXISTS, message));
    }
    Ok(())
}

impl State {
    fn entries(&mut self, schema: &str) -> Result<&mut Entries, ConnectorError> {
        let missing = || ConnectorError::SchemaNotFound { schema: schema.to_owned() };
        self.schemas.get_mut(schema).ok_or_else(missing)
    }
}

impl Store {
    pub(super) fn new(budget: Arc<Budget>) -> Self {
        let schemas = BTreeMap::from([(DEFAULT_SCHEMA.to_owned(), Entries::new())]);
        Self { budget, state: Mutex::new(State { schemas, next_id: 0 }) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // --- schemas

    pub(super) fn schemas(&self) -> Vec<String> {
        self.state().schemas.keys().cloned().collect()
    }

    pub(super) fn create_schema(&self, schema: &str) -> Result<(), ConnectorError> {
        match self.state().schemas.entry(schema.to_owned()) {
            btree_map::Entry::Vacant(entry) => {
                entry.insert(Entries::new());
                Ok(())
            }
            btree_map::Entry::Occupied(_) => {
                let message = format!("Schema '{schema}' already exists");
                Err(failure(ErrorCode::SCHEMA_ALREADY_EXISTS, message))
            }
        }
    }

    pub(super) fn drop_schema(&self, schema: &str, cascade: bool) -> Result<(), ConnectorError> {
        let mut state = self.state();
        if !state.entries(schema)?.is_empty() && !cascade {
            let message = format!("Cannot drop non-empty schema '{schema}'");
            return Err(failure(ErrorCode::SCHEMA_NOT_EMPTY, message));
        }
        state.schemas.remove(schema);
        Ok(())
    }

    pub(super) fn rename_schema(&self, schema: &str, to: &str) -> Result<(), ConnectorError> {
        let mut state = self.state();
        state.entries(schema)?;
        if state.schemas.contains_key(to) {
            let message = format!("Schema '{to}' already exists");
            return Err(failure(ErrorCode::SCHEMA_ALREADY_EXISTS, message));
        }
        let entries = state.schemas.remove(schema).unwrap_or_default();
        state.schemas.insert(to.to_owned(), entries);
        Ok(())
    }

    // --- tables and views

    pub(super) fn tables(&self, schema: &str) -> Result<Vec<String>, ConnectorError> {
        Ok(self.state().entries(schema)?.keys().cloned().collect())
    }

    pub(super) fn entry(&self, schema: &str, table: &str) -> Result<Option<Entry>, ConnectorError> {
        Ok(self.state().entries(schema)?.get(table).cloned())
    }

    /// The table of that name.
    pub(super) fn table(&self, name: &TableName) -> Result<Arc<StoredTable>, ConnectorError> {
        match self.entry(&name.schema, &name.table)? {
            Some(Entry::Table(table)) => Ok(table),
            _ => Err(not_found(name, Kind::Table)),
        }
    }

    /// Fails if a table of that name could not be created.
    pub(super) fn check_vacant(&self, name: &TableName) -> Result<(), ConnectorError> {
        vacant(self.state().entries(&name.schema)?, name).map(drop)
    }

    pub(super) fn create_table(
        &self,
        name: &TableName,
        definition: TableDefinition,
        parts: Vec<Arc<Part>>,
    ) -> Result<(), ConnectorError> {
        let mut state = self.state();
        let id = state.next_id;
        let TableDefinition { columns, comment } = definition;
        let table = StoredTable { id, columns, comment, parts };
        vacant(state.entries(&name.schema)?, name)?.insert(Entry::Table(Arc::new(table)));
        state.next_id += 1;
        Ok(())
    }

    /// Replaces a table by what `change` makes of it, unless it fails.
    pub(super) fn change_table<T>(
        &self,
        name: &TableName,
        change: impl FnOnce(&mut StoredTable) -> Result<T, ConnectorError>,
    ) -> Result<T, ConnectorError> {
        let mut state = self.state();
        match state.entries(&name.schema)?.get_mut(&name.table) {
            Some(Entry::Table(table)) => {
                let mut changed = table.as_ref().clone();
                let result = change(&mut changed)?;
                *table = Arc::new(changed);
                Ok(result)
            }
            _ => Err(not_found(name, Kind::Table)),
        }
    }

    /// Replaces a view by what `change` makes of it, unless it fails.
    pub(super) fn change_view(
        &self,
        name: &TableName,
        change: impl FnOnce(&mut ViewDefinition) -> Result<(), ConnectorError>,
    ) -> Result<(), ConnectorError> {
        let mut state = self.state();
        match state.entries(&name.schema)?.get_mut(&name.table) {
            Some(Entry::View(view)) => {
                let mut changed = view.as_ref().clone();
                change(&mut changed)?;
                *view = Arc::new(changed);
                Ok(())
            }
            _ => Err(not_found(name, Kind::View)),
        }
    }

    fn drop_entry(&self, name: &TableName, kind: Kind) -> Result<(), ConnectorError> {
        let mut state = self.state();
        let entries = state.entries(&name.schema)?;
        if entries.get(&name.table).is_none_or(|entry| entry.kind() != kind) {
            return Err(not_found(name, kind));
        }
        let dropped = entries.remove(&name.table);
        // Rows are freed where nobody waits for the lock.
        drop(state);
        drop(dropped);
        Ok(())
    }

    pub(super) fn drop_table(&self, name: &TableName) -> Result<(), ConnectorError> {
        self.drop_entry(name, Kind::Table)
    }

    pub(super) fn drop_view(&self, name: &TableName) -> Result<(), ConnectorError> {
        self.drop_entry(name, Kind::View)
    }

    pub(super) fn rename(
        &self,
        name: &TableName,
        to: &TableName,
        kind: Kind,
    ) -> Result<(), ConnectorError> {
        let mut state = self.state();
        vacant(state.entries(&to.schema)?, to)?;
        let entries = state.entries(&name.schema)?;
        match entries.remove(&name.table) {
            Some(entry) if entry.kind() == kind => {
                state.entries(&to.schema)?.insert(to.table.clone(), entry);
                Ok(())
            }
            other => {
                if let Some(entry) = other {
                    entries.insert(name.table.clone(), entry);
                }
                Err(not_found(name, kind))
            }
        }
    }

    pub(super) fn create_view(
        &self,
        name: &TableName,
        view: ViewDefinition,
        replace: bool,
    ) -> Result<(), ConnectorError> {
        let mut state = self.state();
        let entries = state.entries(&name.schema)?;
        if replace && matches!(entries.get(&name.table), Some(Entry::View(_))) {
            entries.remove(&name.table);
        }
        vacant(entries, name)?.insert(Entry::View(Arc::new(view)));
        Ok(())
    }

    // --- columns

    pub(super) fn comment_column(
        &self,
        name: &TableName,
        column: &str,
        comment: Option<String>,
    ) -> Result<(), ConnectorError> {
        match self.entry(&name.schema, &name.table)? {
            Some(Entry::View(_)) => self.change_view(name, |view| {
                column_of(&mut view.columns, column)?.comment = comment;
                Ok(())
            }),
            _ => self.change_table(name, |table| {
                column_of(&mut table.columns, column)?.comment = comment;
                Ok(())
            }),
        }
    }

    pub(super) fn add_column(
        &self,
        name: &TableName,
        column: Column,
    ) -> Result<(), ConnectorError> {
        self.change_table(name, |table| {
            no_such_column_yet(&table.columns, &column.name)?;
            if !column.nullable && !table.parts.is_empty() {
                let message = format!(
                    "Unable to add NOT NULL column '{}' for non-empty table: {}.{}",
                    column.name, name.schema, name.table
                );
                return Err(failure(ErrorCode::NOT_SUPPORTED, message));
            }
            table.columns.push(column);
            Ok(())
        })
    }

    pub(super) fn rename_column(
        &self,
        name: &TableName,
        column: &str,
        to: &str,
    ) -> Result<(), ConnectorError> {
        self.change_table(name, |table| {
            column_of(&mut table.columns, column)?;
            no_such_column_yet(&table.columns, to)?;
            to.clone_into(&mut column_of(&mut table.columns, column)?.name);
            Ok(())
        })
    }
}

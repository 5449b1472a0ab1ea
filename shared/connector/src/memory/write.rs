//! The write contract over a [`Store`]: attempts keep their rows to themselves until the commit.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::array::{Array, RecordBatch, UInt64Array};
use arrow::compute::{BatchCoalescer, take_record_batch};
use arrow::datatypes::Schema;
use async_trait::async_trait;
use datafusion::error::DataFusionError;
use waterbear_protocol::{ErrorCode, Failure};

use super::budget::Part;
use super::store::Store;
use crate::connector::{Column, ConnectorError};
use crate::write::{TableDefinition, TableName, TableWrite, WriteAttempt, WriteTarget, Written};

/// Rows of the batches that are kept.
const BATCH_ROWS: usize = 8192;

#[derive(Debug)]
enum Mode {
    Create(TableDefinition),
    /// Into the table of this id.
    Insert(u64),
}

#[derive(Debug)]
struct Shared {
    store: Arc<Store>,
    name: TableName,
    mode: Mode,
    columns: Vec<Column>,
    /// The rows of finished attempts, by number.
    finished: Mutex<BTreeMap<u32, Vec<Arc<Part>>>>,
}

impl Shared {
    fn finished(&self) -> MutexGuard<'_, BTreeMap<u32, Vec<Arc<Part>>>> {
        self.finished.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
struct MemoryWrite(Arc<Shared>);

/// Begins to write into a table, or one that is to be.
pub(super) fn begin(
    store: &Arc<Store>,
    name: &TableName,
    target: WriteTarget,
) -> Result<Arc<dyn TableWrite>, ConnectorError> {
    let (columns, mode) = match target {
        WriteTarget::Create(definition) => {
            store.check_vacant(name)?;
            (definition.columns.clone(), Mode::Create(definition))
        }
        WriteTarget::Insert => {
            let table = store.table(name)?;
            (table.columns.clone(), Mode::Insert(table.id))
        }
    };
    let shared = Shared {
        store: Arc::clone(store),
        name: name.clone(),
        mode,
        columns,
        finished: Mutex::default(),
    };
    Ok(Arc::new(MemoryWrite(Arc::new(shared))))
}

fn changed(name: &TableName) -> ConnectorError {
    let message = format!("Table '{}.{}' changed while it was written to", name.schema, name.table);
    Failure::new(ErrorCode::TRANSACTION_CONFLICT, message).into()
}

#[async_trait]
impl TableWrite for MemoryWrite {
    fn columns(&self) -> &[Column] {
        &self.0.columns
    }

    async fn attempt(&self, number: u32) -> Result<Box<dyn WriteAttempt>, ConnectorError> {
        let fields: Vec<_> = self.0.columns.iter().map(Column::field).collect();
        Ok(Box::new(MemoryAttempt {
            number,
            rows: BatchCoalescer::new(Arc::new(Schema::new(fields)), BATCH_ROWS),
            parts: Vec::new(),
            shared: Arc::clone(&self.0),
        }))
    }

    async fn commit(&self, winners: &[Written]) -> Result<u64, ConnectorError> {
        let shared = &self.0;
        let mut finished = std::mem::take(&mut *shared.finished());
        let mut parts = Vec::new();
        let mut rows = 0;
        for winner in winners {
            let Some(own) = finished.remove(&winner.attempt) else {
                let message = format!("attempt {} of the write has not finished", winner.attempt);
                return Err(Failure::new(ErrorCode::GENERIC_INTERNAL_ERROR, message).into());
            };
            parts.extend(own);
            rows += winner.rows;
        }
        match &shared.mode {
            Mode::Create(definition) => {
                shared.store.create_table(&shared.name, definition.clone(), parts)?;
            }
            Mode::Insert(id) => shared.store.change_table(&shared.name, |table| {
                let same_types = |(now, then): (&Column, &Column)| {
                    now.data_type == then.data_type && now.nullable == then.nullable
                };
                let fits = table.id == *id
                    && table.columns.len() == shared.columns.len()
                    && table.columns.iter().zip(&shared.columns).all(same_types);
                if !fits {
                    return Err(changed(&shared.name));
                }
                table.parts.extend(parts);
                Ok(())
            })?,
        }
        Ok(rows)
    }
}

/// A batch whose buffers hold little but its rows: the coalescer gives on slices of large batches
/// as they are.
fn own(batch: RecordBatch) -> Result<RecordBatch, DataFusionError> {
    let needed = batch.columns().iter().map(|array| array.to_data().get_slice_memory_size());
    let needed: usize = needed.sum::<Result<usize, _>>()?;
    if batch.get_array_memory_size() <= 2 * needed + 4096 {
        return Ok(batch);
    }
    let rows = UInt64Array::from_iter_values(0..batch.num_rows() as u64);
    Ok(take_record_batch(&batch, &rows)?)
}

struct MemoryAttempt {
    number: u32,
    /// Copies rows into batches of one size: what comes may share much larger buffers.
    rows: BatchCoalescer,
    parts: Vec<Arc<Part>>,
    shared: Arc<Shared>,
}

impl MemoryAttempt {
    fn keep_complete(&mut self) -> Result<(), ConnectorError> {
        while let Some(batch) = self.rows.next_completed_batch() {
            let batch = own(batch)?;
            self.parts.push(Arc::new(Part::hold(&self.shared.store.budget, &batch)?));
        }
        Ok(())
    }
}

#[async_trait]
impl WriteAttempt for MemoryAttempt {
    async fn append(&mut self, batch: RecordBatch) -> Result<(), ConnectorError> {
        for (column, array) in self.shared.columns.iter().zip(batch.columns()) {
            if !column.nullable && array.logical_null_count() > 0 {
                let message =
                    format!("NULL value not allowed for NOT NULL column: {}", column.name);
                return Err(Failure::new(ErrorCode::CONSTRAINT_VIOLATION, message).into());
            }
        }
        self.rows.push_batch(batch).map_err(DataFusionError::from)?;
        self.keep_complete()
    }

    async fn finish(mut self: Box<Self>) -> Result<Written, ConnectorError> {
        self.rows.finish_buffered_batch().map_err(DataFusionError::from)?;
        self.keep_complete()?;
        let rows = self.parts.iter().map(|part| part.rows() as u64).sum();
        let parts = std::mem::take(&mut self.parts);
        self.shared.finished().insert(self.number, parts);
        Ok(Written { attempt: self.number, rows })
    }
}

//! The values of a group.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, UInt64Array, new_empty_array};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{
    SortColumn, SortOptions, concat, filter, is_not_null, lexsort_to_indices, take,
};
use arrow::datatypes::{DataType, Field};
use arrow::row::{RowConverter, SortField};
use datafusion::common::{Result, ScalarValue, internal_datafusion_err};
use datafusion::logical_expr::Accumulator;

use super::collect::Def;
use crate::nested::cast;

/// Batches that are kept as they come, at least, before they are put together.
const MAX_CHUNKS: usize = 32;

/// Collects the rows of one group.
pub(super) struct Collected {
    def: &'static Def,
    /// Of the arguments, then of ORDER BY.
    types: Vec<DataType>,
    arguments: usize,
    result: DataType,
    order: Vec<SortOptions>,
    distinct: bool,
    /// Rows as they came, a column for each type.
    chunks: Vec<Vec<ArrayRef>>,
    bytes: usize,
    /// Rows in the first chunk, that were put together, and in those that came since.
    together: usize,
    since: usize,
}

impl std::fmt::Debug for Collected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Collected({})", self.def.name)
    }
}

impl Collected {
    pub fn new(
        def: &'static Def,
        types: Vec<DataType>,
        arguments: usize,
        result: DataType,
        order: Vec<SortOptions>,
        distinct: bool,
    ) -> Self {
        let chunks = Vec::new();
        let (bytes, together, since) = (0, 0, 0);
        Self { def, types, arguments, result, order, distinct, chunks, bytes, together, since }
    }

    fn push(&mut self, columns: Vec<ArrayRef>) -> Result<()> {
        let rows = columns.first().map_or(0, |column| column.len());
        if rows == 0 {
            return Ok(());
        }
        self.since += rows;
        self.bytes += bytes_of(&columns);
        self.chunks.push(columns);
        // With an order or without repetitions all rows must stay until the end.
        let compact = self.def.compact.filter(|_| self.order.is_empty() && !self.distinct);
        // Not before there are twice as many rows: a row is copied few times however many come.
        let many = self.chunks.len() > MAX_CHUNKS && self.since >= self.together;
        if many || compact.is_some() {
            let mut columns = self.columns()?;
            if let Some(compact) = compact {
                columns = compact(&columns)?;
            }
            self.bytes = bytes_of(&columns);
            (self.together, self.since) = (columns.first().map_or(0, |column| column.len()), 0);
            self.chunks = vec![columns];
        }
        Ok(())
    }

    /// All rows so far.
    fn columns(&self) -> Result<Vec<ArrayRef>> {
        let column = |(position, data_type): (usize, &DataType)| {
            let parts: Vec<&dyn Array> =
                self.chunks.iter().map(|chunk| chunk[position].as_ref()).collect();
            match parts.is_empty() {
                true => Ok(new_empty_array(data_type)),
                false => Ok(concat(&parts)?),
            }
        };
        self.types.iter().enumerate().map(column).collect()
    }

    /// The arguments' rows in order and without repetitions.
    fn arguments(&self) -> Result<Vec<ArrayRef>> {
        let mut columns = self.columns()?;
        if !self.order.is_empty() {
            let keys: Vec<SortColumn> = columns[self.arguments..]
                .iter()
                .zip(&self.order)
                .map(|(values, options)| SortColumn {
                    values: Arc::clone(values),
                    options: Some(*options),
                })
                .collect();
            let places = lexsort_to_indices(&keys, None)?;
            columns = taken(&columns, &places)?;
        }
        columns.truncate(self.arguments);
        if self.distinct {
            let fields = columns.iter().map(|column| SortField::new(column.data_type().clone()));
            let rows = RowConverter::new(fields.collect())?.convert_columns(&columns)?;
            let mut seen = HashSet::new();
            let first = (0..rows.num_rows()).filter(|at| seen.insert(rows.row(*at)));
            let first: Vec<u64> = first.map(|at| at as u64).collect();
            columns = taken(&columns, &UInt64Array::from(first))?;
        }
        Ok(columns)
    }
}

fn bytes_of(columns: &[ArrayRef]) -> usize {
    columns.iter().map(|column| column.get_array_memory_size()).sum()
}

/// These rows of all columns.
pub(super) fn taken(columns: &[ArrayRef], rows: &dyn Array) -> Result<Vec<ArrayRef>> {
    columns.iter().map(|column| Ok(take(column.as_ref(), rows, None)?)).collect()
}

impl Accumulator for Collected {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let mut columns = values
            .iter()
            .zip(&self.types)
            .map(|(values, data_type)| cast(values, data_type))
            .collect::<Result<Vec<_>>>()?;
        if columns.len() != self.types.len() {
            return Err(internal_datafusion_err!("{} lacks columns", self.def.name));
        }
        if let Some(position) = self.def.counts {
            let counts = is_not_null(&columns[position])?;
            columns = columns
                .iter()
                .map(|column| Ok(filter(column, &counts)?))
                .collect::<Result<Vec<_>>>()?;
        }
        self.push(columns)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        if self.chunks.is_empty() {
            return ScalarValue::try_from(&self.result);
        }
        (self.def.finish)(&self.arguments()?, &self.result)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.bytes
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let list = |values: ArrayRef| {
            let item = Arc::new(Field::new_list_field(values.data_type().clone(), true));
            let offsets = OffsetBuffer::from_lengths([values.len()]);
            Ok(ScalarValue::List(Arc::new(ListArray::try_new(item, offsets, values, None)?)))
        };
        self.columns()?.into_iter().map(list).collect()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let rows = states.first().map_or(0, |state| state.len());
        for row in 0..rows {
            let columns = states
                .iter()
                .zip(&self.types)
                .map(|(state, data_type)| cast(&state.as_list::<i32>().value(row), data_type))
                .collect::<Result<Vec<_>>>()?;
            self.push(columns)?;
        }
        Ok(())
    }
}

//! Lists as ranges of one array of values, and new lists as indices into one.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, MapArray, StructArray, UInt64Array};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, internal_datafusion_err};

use super::{item_of, map_parts};

/// The lists of a column of type [`DataType::List`].
pub(crate) struct Lists {
    list: ListArray,
}

impl Lists {
    /// # Errors
    /// For arrays that are no lists.
    pub fn new(array: &ArrayRef) -> Result<Self> {
        let list = array
            .as_list_opt::<i32>()
            .ok_or_else(|| internal_datafusion_err!("{} is no list", array.data_type()))?;
        Ok(Self { list: list.clone() })
    }

    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// The values of all lists; some may be in no list.
    pub fn values(&self) -> &ArrayRef {
        self.list.values()
    }

    pub fn item(&self) -> FieldRef {
        item_of(self.list.data_type())
            .unwrap_or_else(|| Arc::new(Field::new_list_field(DataType::Null, true)))
    }

    /// Where a row's values are; None for NULL.
    pub fn range(&self, row: usize) -> Option<Range<usize>> {
        self.list.is_valid(row).then(|| {
            let offsets = self.list.value_offsets();
            offsets[row] as usize..offsets[row + 1] as usize
        })
    }

    pub fn ranges(&self) -> impl Iterator<Item = Option<Range<usize>>> + '_ {
        (0..self.len()).map(|row| self.range(row))
    }
}

/// The maps of a column.
pub(crate) struct Maps {
    map: MapArray,
}

impl Maps {
    /// # Errors
    /// For arrays that are no maps.
    pub fn new(array: &ArrayRef) -> Result<Self> {
        let map = array
            .as_map_opt()
            .ok_or_else(|| internal_datafusion_err!("{} is no map", array.data_type()))?;
        Ok(Self { map: map.clone() })
    }

    pub fn len(&self) -> usize {
        self.map.len()
    }

    pub fn keys(&self) -> &ArrayRef {
        self.map.keys()
    }

    pub fn values(&self) -> &ArrayRef {
        self.map.values()
    }

    /// Where a row's entries are; None for NULL.
    pub fn range(&self, row: usize) -> Option<Range<usize>> {
        self.map.is_valid(row).then(|| {
            let offsets = self.map.value_offsets();
            offsets[row] as usize..offsets[row + 1] as usize
        })
    }

    pub fn ranges(&self) -> impl Iterator<Item = Option<Range<usize>>> + '_ {
        (0..self.len()).map(|row| self.range(row))
    }
}

/// New lists, as indices into an array of values.
#[derive(Default)]
pub(crate) struct Gather {
    indices: Vec<Option<u64>>,
    lengths: Vec<usize>,
    valid: Vec<bool>,
}

impl Gather {
    /// Adds the list of these values; None is an item that is NULL.
    pub fn push_optional(&mut self, indices: impl IntoIterator<Item = Option<usize>>) {
        let before = self.indices.len();
        self.indices.extend(indices.into_iter().map(|index| index.map(|index| index as u64)));
        self.lengths.push(self.indices.len() - before);
        self.valid.push(true);
    }

    /// Adds the list of these values.
    pub fn push(&mut self, indices: impl IntoIterator<Item = usize>) {
        self.push_optional(indices.into_iter().map(Some));
    }

    /// Adds a NULL.
    pub fn push_null(&mut self) {
        self.lengths.push(0);
        self.valid.push(false);
    }

    /// The items of all lists behind each other.
    ///
    /// # Errors
    /// When an index is out of bounds.
    pub fn take(&self, values: &ArrayRef) -> Result<ArrayRef> {
        let indices = UInt64Array::from(self.indices.clone());
        Ok(take(values.as_ref(), &indices, None)?)
    }

    fn shape(&self) -> (OffsetBuffer<i32>, Option<NullBuffer>) {
        let nulls = NullBuffer::from(self.valid.clone());
        let nulls = (nulls.null_count() > 0).then_some(nulls);
        (OffsetBuffer::from_lengths(self.lengths.iter().copied()), nulls)
    }

    /// The lists.
    ///
    /// # Errors
    /// When an index is out of bounds.
    pub fn lists(&self, values: &ArrayRef, item: &Field) -> Result<ArrayRef> {
        self.lists_of(self.take(values)?, item)
    }

    /// Lists of items that are in their places already.
    ///
    /// # Errors
    /// When their number is wrong.
    pub fn lists_of(&self, values: ArrayRef, item: &Field) -> Result<ArrayRef> {
        let item = Field::new_list_field(item.data_type().clone(), true)
            .with_metadata(item.metadata().clone());
        let values = super::cast(&values, item.data_type())?;
        let (offsets, nulls) = self.shape();
        Ok(Arc::new(ListArray::try_new(Arc::new(item), offsets, values, nulls)?))
    }

    /// For each item the row of its list.
    pub fn rows(&self) -> UInt64Array {
        let row = |(row, length): (usize, &usize)| std::iter::repeat_n(row as u64, *length);
        self.lengths.iter().enumerate().flat_map(row).collect::<Vec<_>>().into()
    }

    /// The number of items of each list; None for NULL.
    pub fn lengths(&self) -> impl Iterator<Item = Option<usize>> + '_ {
        self.lengths.iter().zip(&self.valid).map(|(length, valid)| valid.then_some(*length))
    }

    /// Maps of these keys and values, of a map type.
    ///
    /// # Errors
    /// When an index is out of bounds, or a key is NULL.
    pub fn maps(
        &self,
        keys: &ArrayRef,
        values: &ArrayRef,
        map_type: &DataType,
    ) -> Result<ArrayRef> {
        let (keys, values) = (self.take(keys)?, self.take(values)?);
        self.maps_of(keys, values, map_type)
    }

    /// Maps of keys and values that are in their places already.
    ///
    /// # Errors
    /// When their number is wrong, or a key is NULL.
    pub fn maps_of(
        &self,
        keys: ArrayRef,
        values: ArrayRef,
        map_type: &DataType,
    ) -> Result<ArrayRef> {
        let DataType::Map(entries, sorted) = map_type else {
            return Err(internal_datafusion_err!("{map_type} is no map"));
        };
        let (key, value) =
            map_parts(map_type).ok_or_else(|| internal_datafusion_err!("{map_type} is no map"))?;
        let keys = super::cast(&keys, key.data_type())?;
        let values = super::cast(&values, value.data_type())?;
        let rows = StructArray::try_new(vec![key, value].into(), vec![keys, values], None)?;
        let (offsets, nulls) = self.shape();
        Ok(Arc::new(MapArray::try_new(Arc::clone(entries), offsets, rows, nulls, *sorted)?))
    }
}

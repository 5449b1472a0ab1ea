//! What a column references, as opposed to what its buffers hold.
//!
//! A slice or a filtered batch of string views keeps whole buffers alive of which it needs a
//! little; on the wire that would be many times its size.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, FixedSizeListArray, GenericByteViewArray, GenericListArray, MapArray,
    OffsetSizeTrait, StructArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{BinaryViewType, ByteViewType, DataType, StringViewType};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;

use super::wire_schema::has_views;

/// Bytes that the batch's rows need when encoded, without padding: an estimate for odd types.
pub(crate) fn referenced_bytes(batch: &RecordBatch) -> usize {
    batch.columns().iter().map(|column| array_bytes(column.as_ref())).sum()
}

fn array_bytes(array: &dyn Array) -> usize {
    let validity = array.nulls().map_or(0, |nulls| nulls.len().div_ceil(8));
    match array.data_type() {
        DataType::Utf8View => validity + view_bytes(array.as_string_view()),
        DataType::BinaryView => validity + view_bytes(array.as_binary_view()),
        DataType::List(_) => validity + list_bytes(array.as_list::<i32>()),
        DataType::LargeList(_) => validity + list_bytes(array.as_list::<i64>()),
        DataType::Map(_, _) => {
            let map = array.as_map();
            let (start, length) = window(map.offsets());
            let entries = map.entries().slice(start, length);
            validity + size_of_val(&**map.offsets()) + array_bytes(&entries)
        }
        DataType::FixedSizeList(_, _) => {
            validity + array_bytes(array.as_fixed_size_list().values().as_ref())
        }
        DataType::Struct(_) => {
            let columns = array.as_struct().columns();
            validity + columns.iter().map(|column| array_bytes(column.as_ref())).sum::<usize>()
        }
        _ => {
            let data = array.to_data();
            data.get_slice_memory_size().unwrap_or_else(|_| data.get_buffer_memory_size())
        }
    }
}

fn view_bytes<T: ByteViewType>(array: &GenericByteViewArray<T>) -> usize {
    size_of_val(&**array.views()) + array.total_buffer_bytes_used().min(held_bytes(array))
}

fn held_bytes<T: ByteViewType>(array: &GenericByteViewArray<T>) -> usize {
    array.data_buffers().iter().map(|buffer| buffer.len()).sum()
}

fn list_bytes<O: OffsetSizeTrait>(array: &GenericListArray<O>) -> usize {
    let (start, length) = window(array.offsets());
    size_of_val(&**array.offsets()) + array_bytes(array.values().slice(start, length).as_ref())
}

/// Start and length of the part of the values that the offsets span.
fn window<O: OffsetSizeTrait>(offsets: &OffsetBuffer<O>) -> (usize, usize) {
    let start = offsets.first().map_or(0, |offset| offset.as_usize());
    let end = offsets.last().map_or(start, |offset| offset.as_usize());
    (start, end.saturating_sub(start))
}

/// The same rows, with views compacted where their buffers hold much more than they reference.
pub(super) fn compacted(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    Ok(match array.data_type() {
        DataType::Utf8View => compacted_views::<StringViewType>(array),
        DataType::BinaryView => compacted_views::<BinaryViewType>(array),
        nested if !has_views(nested) => Arc::clone(array),
        DataType::List(_) => compacted_list::<i32>(array)?,
        DataType::LargeList(_) => compacted_list::<i64>(array)?,
        DataType::Struct(fields) => {
            let (_, columns, nulls) = array.as_struct().clone().into_parts();
            let columns = columns.iter().map(compacted).collect::<Result<Vec<_>, _>>()?;
            Arc::new(StructArray::try_new_with_length(fields.clone(), columns, nulls, array.len())?)
        }
        DataType::Map(field, sorted) => {
            let map = array.as_map();
            let (start, length) = window(map.offsets());
            let entries: ArrayRef = Arc::new(map.entries().slice(start, length));
            let entries = compacted(&entries)?.as_struct().clone();
            let offsets = rebased(map.offsets());
            let nulls = map.nulls().cloned();
            Arc::new(MapArray::try_new(Arc::clone(field), offsets, entries, nulls, *sorted)?)
        }
        DataType::FixedSizeList(field, size) => {
            let list = array.as_fixed_size_list();
            let values = compacted(list.values())?;
            let nulls = list.nulls().cloned();
            Arc::new(FixedSizeListArray::try_new(Arc::clone(field), *size, values, nulls)?)
        }
        _ => Arc::clone(array),
    })
}

fn compacted_views<T: ByteViewType>(array: &ArrayRef) -> ArrayRef {
    let views = array.as_byte_view::<T>();
    let (held, used) = (held_bytes(views), views.total_buffer_bytes_used());
    if held > used + used / 8 { Arc::new(views.gc()) } else { Arc::clone(array) }
}

fn compacted_list<O: OffsetSizeTrait>(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let (field, offsets, values, nulls) = array.as_list::<O>().clone().into_parts();
    let (start, length) = window(&offsets);
    let values = compacted(&values.slice(start, length))?;
    Ok(Arc::new(GenericListArray::try_new(field, rebased(&offsets), values, nulls)?))
}

/// The same lengths, starting from zero.
fn rebased<O: OffsetSizeTrait>(offsets: &OffsetBuffer<O>) -> OffsetBuffer<O> {
    OffsetBuffer::from_lengths(offsets.lengths())
}

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryViewArray, BooleanArray, Decimal128Array, DictionaryArray,
    FixedSizeListArray, Float64Array, Int8Array, Int32Array, Int64Array, ListArray, MapArray,
    NullArray, RecordBatch, RecordBatchOptions, StringArray, StringViewArray, StructArray,
};
use arrow::buffer::{Buffer, OffsetBuffer};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Field, Int8Type, Int32Type, Schema, SchemaRef};
use rand::{Rng, RngCore};
use waterbear_exchange::page::{Page, PageAssembler, PageDecoder, PageEncoder, TARGET_PAGE_BYTES};

use crate::support::{decoded, numbers, received, seeded};

fn encoded(schema: &SchemaRef, batches: &[RecordBatch]) -> Vec<Page> {
    let mut encoder = PageEncoder::new(schema).unwrap();
    let mut pages = Vec::new();
    for batch in batches {
        encoder.push(batch.clone(), &mut pages).unwrap();
    }
    encoder.flush(&mut pages).unwrap();
    pages
}

fn wire_bytes(pages: &[Page]) -> usize {
    pages.iter().map(|page| page.bytes.len()).sum()
}

/// Encodes and decodes; the rows must be the same.
fn round_trip(batches: &[RecordBatch]) -> Vec<Page> {
    let schema = batches[0].schema();
    let pages = encoded(&schema, batches);
    let bytes: Vec<_> = pages.iter().map(|page| page.bytes.clone()).collect();
    let back = decoded(&schema, &bytes);
    // Types of dictionaries are compared by the schema, values by their meaning.
    let plain = |batches: &[RecordBatch]| {
        let whole: Vec<RecordBatch> = batches.iter().map(unpacked).collect();
        concat_batches(&whole[0].schema(), &whole).unwrap()
    };
    for batch in &back {
        assert_eq!(batch.schema(), schema);
    }
    assert_eq!(plain(&back), plain(batches));
    pages
}

fn unpacked(batch: &RecordBatch) -> RecordBatch {
    let columns: Vec<ArrayRef> = batch
        .columns()
        .iter()
        .map(|column| match column.data_type() {
            DataType::Dictionary(_, values) => cast(column, values).unwrap(),
            _ => Arc::clone(column),
        })
        .collect();
    let names = batch.schema();
    let fields = columns.iter().zip(names.fields());
    let fields: Vec<_> = fields
        .map(|(column, field)| Field::new(field.name(), column.data_type().clone(), true))
        .collect();
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options).unwrap()
}

fn text(row: usize) -> Option<String> {
    (row % 7 != 3).then(|| "waterbear".repeat(row % 5) + &row.to_string())
}

/// One batch with a column of each kind.
fn all_kinds(rows: usize) -> RecordBatch {
    let texts = || (0..rows).map(text);
    let lists = ListArray::from_iter_primitive::<Int32Type, _, _>(
        (0..rows).map(|row| (row % 4 != 1).then(|| (0..row % 4).map(|n| Some(n as i32)))),
    );
    let view_lists = {
        let values: ArrayRef = Arc::new(StringViewArray::from_iter((0..2 * rows).map(text)));
        let field = Arc::new(Field::new_list_field(DataType::Utf8View, true));
        let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(2, rows));
        ListArray::new(field, offsets, values, None)
    };
    let fixed = {
        let values: ArrayRef = Arc::new(Int32Array::from_iter_values(0..3 * rows as i32));
        let field = Arc::new(Field::new_list_field(DataType::Int32, true));
        FixedSizeListArray::new(field, 3, values, None)
    };
    let structs = StructArray::from(vec![
        (
            Arc::new(Field::new("a", DataType::Utf8View, true)),
            Arc::new(StringViewArray::from_iter(texts())) as ArrayRef,
        ),
        (
            Arc::new(Field::new("b", DataType::Boolean, true)),
            Arc::new(BooleanArray::from_iter((0..rows).map(|row| Some(row % 3 == 0)))) as ArrayRef,
        ),
    ]);
    let maps = {
        let keys: ArrayRef = Arc::new(StringViewArray::from_iter_values(
            (0..rows).map(|row| format!("a key of some length {row}")),
        ));
        let entries = StructArray::from(vec![
            (Arc::new(Field::new("key", DataType::Utf8View, false)), keys),
            (
                Arc::new(Field::new("value", DataType::Int32, true)),
                Arc::new(Int32Array::from_iter_values(0..rows as i32)) as ArrayRef,
            ),
        ]);
        let field = Arc::new(Field::new("entries", entries.data_type().clone(), false));
        let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(1, rows));
        MapArray::new(field, offsets, entries, None, false)
    };
    let decimals = Decimal128Array::from_iter((0..rows as i128).map(|row| Some(row << 70)));
    let columns: Vec<(&str, ArrayRef)> = vec![
        (
            "ints",
            Arc::new(Int64Array::from_iter((0..rows as i64).map(|n| (n % 5 != 0).then_some(n)))),
        ),
        ("doubles", Arc::new(Float64Array::from_iter_values((0..rows).map(|n| n as f64 / 3.0)))),
        (
            "bools",
            Arc::new(BooleanArray::from_iter(
                (0..rows).map(|row| (row % 9 != 0).then_some(row % 2 == 0)),
            )),
        ),
        ("decimals", Arc::new(decimals.with_precision_and_scale(38, 2).unwrap())),
        ("strings", Arc::new(StringArray::from_iter(texts()))),
        ("views", Arc::new(StringViewArray::from_iter(texts()))),
        (
            "binary",
            Arc::new(BinaryViewArray::from_iter(texts().map(|text| text.map(String::into_bytes)))),
        ),
        ("nothing", Arc::new(NullArray::new(rows))),
        ("lists", Arc::new(lists)),
        ("view_lists", Arc::new(view_lists)),
        ("fixed", Arc::new(fixed)),
        ("structs", Arc::new(structs)),
        ("maps", Arc::new(maps)),
        (
            "dictionary",
            Arc::new(
                texts()
                    .map(|text| text.map(|text| text[..1].to_owned()))
                    .collect::<Vec<_>>()
                    .iter()
                    .map(|text| text.as_deref())
                    .collect::<DictionaryArray<Int32Type>>(),
            ),
        ),
    ];
    RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, column)| (name, column, true)),
    )
    .unwrap()
}

#[test]
fn rows_of_every_kind_survive_the_wire() {
    let batch = all_kinds(1000);
    round_trip(std::slice::from_ref(&batch));
    // Slices, at odd places and small enough to be joined.
    round_trip(&[
        batch.slice(13, 1),
        batch.slice(3, 200),
        batch.slice(777, 223),
        batch.slice(0, 0),
    ]);
    // Many pages.
    let large = all_kinds(40_000);
    let pages = round_trip(std::slice::from_ref(&large));
    assert!(pages.len() > 3, "{} pages", pages.len());
}

#[test]
fn rows_without_columns_keep_their_number() {
    let schema = Arc::new(Schema::empty());
    let batch = |rows| {
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(Arc::clone(&schema), Vec::new(), &options).unwrap()
    };
    let pages = encoded(&schema, &[batch(5), batch(100_000), batch(7)]);
    let bytes: Vec<_> = pages.iter().map(|page| page.bytes.clone()).collect();
    let rows: usize = decoded(&schema, &bytes).iter().map(RecordBatch::num_rows).sum();
    assert_eq!(rows, 100_012);
}

#[test]
fn large_batches_are_divided_and_small_ones_joined() {
    let pages = round_trip(&[numbers(0, 1_000_000)]);
    assert_eq!(pages.len(), 8);
    assert!(pages.iter().all(|page| page.bytes.len() < TARGET_PAGE_BYTES + 4096));

    let small: Vec<_> = (0..100).map(|n| numbers(n * 50, 50)).collect();
    let pages = round_trip(&small);
    assert_eq!(pages.len(), 1);
}

#[test]
fn rows_of_very_different_sizes_are_divided_until_pages_are_small() {
    let texts: Vec<String> =
        (0..4096).map(|row| "x".repeat(if row < 40 { 400_000 } else { 10 })).collect();
    let views: ArrayRef = Arc::new(StringViewArray::from_iter_values(&texts));
    let strings: ArrayRef = Arc::new(StringArray::from_iter_values(&texts));
    let batch = RecordBatch::try_from_iter([("v", views), ("s", strings)]).unwrap();
    let pages = round_trip(&[batch]);
    let largest = pages.iter().map(|page| page.bytes.len()).max().unwrap();
    assert!(largest <= 3 * TARGET_PAGE_BYTES, "{largest}");
    assert!(pages.len() < 100, "{} pages", pages.len());
}

#[test]
fn a_slice_of_views_is_sent_without_the_rest_of_its_buffers() {
    let texts: Vec<String> = (0..8192).map(|row| format!("{row} {}", "long".repeat(20))).collect();
    let views: ArrayRef = Arc::new(StringViewArray::from_iter_values(&texts));
    let field = Arc::new(Field::new_list_field(DataType::Utf8View, true));
    let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(1, 8192));
    let lists: ArrayRef = Arc::new(ListArray::new(field, offsets, Arc::clone(&views), None));
    for column in [views, lists] {
        let batch = RecordBatch::try_from_iter([("v", column)]).unwrap();
        let whole = wire_bytes(&round_trip(std::slice::from_ref(&batch)));
        let part = wire_bytes(&round_trip(&[batch.slice(4000, 80)]));
        assert!(part < whole / 80, "{part} of {whole} bytes for one row of a hundred");
    }
}

#[test]
fn wire_bytes_are_close_to_the_bytes_referenced() {
    let batch = all_kinds(8192).project(&[0, 1, 2, 3, 4]).unwrap();
    let referenced: usize =
        batch.columns().iter().map(|c| c.to_data().get_slice_memory_size().unwrap()).sum();
    let wire = wire_bytes(&round_trip(std::slice::from_ref(&batch)));
    assert!(wire as f64 <= referenced as f64 * 1.02, "{wire} for {referenced}");
}

#[test]
fn dictionaries_that_together_overflow_their_keys_still_arrive() {
    let batch = |start: usize| {
        let keys = Int8Array::from_iter_values((0..100).map(|n| n as i8));
        let values = StringArray::from_iter_values((start..start + 100).map(|n| n.to_string()));
        let column = DictionaryArray::<Int8Type>::new(keys, Arc::new(values));
        RecordBatch::try_from_iter([("d", Arc::new(column) as ArrayRef)]).unwrap()
    };
    let pages = round_trip(&[batch(0), batch(1000), batch(2000)]);
    assert_eq!(pages.len(), 1, "the batches are joined, so their values are too many for i8");
}

#[test]
fn pages_are_decoded_where_they_lie() {
    let batch = all_kinds(1000).project(&[0, 3, 5]).unwrap();
    let pages = encoded(&batch.schema(), std::slice::from_ref(&batch));
    let page = received(&[pages[0].bytes.clone()]).remove(0);
    let mut batches = VecDeque::new();
    PageDecoder::new(batch.schema()).decode(&page, &mut batches).unwrap();
    let inside = page.as_slice().as_ptr_range();
    for column in batches[0].columns() {
        for buffer in column.to_data().buffers() {
            assert!(inside.contains(&buffer.as_ptr()), "a buffer was copied");
        }
    }
}

#[test]
fn batches_that_do_not_fit_the_schema_are_refused() {
    let schema: SchemaRef = Arc::new(Schema::new(vec![Field::new("n", DataType::Utf8, false)]));
    let mut encoder = PageEncoder::new(&schema).unwrap();
    let mut pages = Vec::new();
    let pushed = encoder.push(numbers(0, 10), &mut pages);
    assert!(pushed.and_then(|()| encoder.flush(&mut pages)).is_err());
    assert!(pages.is_empty());
}

#[test]
fn garbage_and_flipped_bits_are_errors_at_worst() {
    let mut random = seeded("garbage_and_flipped_bits");
    let batch = all_kinds(200);
    let decoder = PageDecoder::new(batch.schema());
    let page = encoded(&batch.schema(), std::slice::from_ref(&batch)).remove(0);
    let page = &page.bytes[4..];
    let (mut refused, mut accepted) = (0, 0);
    for round in 0..20_000 {
        let mut bytes = match round % 4 {
            0 => {
                let mut bytes = vec![0; random.random_range(0..500)];
                random.fill_bytes(&mut bytes);
                bytes
            }
            1 => page[..random.random_range(0..page.len())].to_vec(),
            _ => page.to_vec(),
        };
        // Mostly in the metadata, where a flip does harm.
        let area = if round % 2 == 0 { bytes.len().min(2500) } else { bytes.len() };
        for _ in 0..random.random_range(1..4) {
            if area > 0 {
                bytes[random.random_range(0..area)] ^= 1 << random.random_range(0..8);
            }
        }
        let mut batches = VecDeque::new();
        match decoder.decode(&Buffer::from(bytes), &mut batches) {
            Ok(()) => accepted += 1,
            Err(_) => refused += 1,
        }
        // What is accepted must be usable.
        for batch in &batches {
            for column in batch.columns() {
                column.to_data().validate_full().unwrap();
            }
        }
    }
    println!("{refused} refused, {accepted} accepted");
    assert!(refused > 5_000 && accepted > 100);
}

#[test]
fn pages_of_another_schema_are_refused() {
    let kinds = all_kinds(10);
    let page = encoded(&kinds.schema(), std::slice::from_ref(&kinds)).remove(0);
    let page = received(&[page.bytes]).remove(0);
    for column in 0..kinds.num_columns() - 1 {
        let other = Arc::new(kinds.schema().project(&[column + 1, column]).unwrap());
        let mut batches = VecDeque::new();
        assert!(PageDecoder::new(other).decode(&page, &mut batches).is_err(), "column {column}");
    }
}

#[test]
fn pages_come_together_from_pieces_of_any_size() {
    let mut random = seeded("pages_come_together");
    let pages = encoded(&numbers(0, 1).schema(), &[numbers(0, 300_000)]);
    let wire: Vec<u8> = pages.iter().flat_map(|page| page.bytes.to_vec()).collect();
    let mut assembler = PageAssembler::new(wire.len());
    let mut rest = wire.as_slice();
    while !rest.is_empty() {
        let (part, next) = rest.split_at(random.random_range(1..=rest.len().min(9000)));
        assembler.feed(part).unwrap();
        rest = next;
    }
    assert_eq!(assembler.finish().unwrap().len(), pages.len());
}

#[test]
fn lengths_are_checked_before_memory_is_taken() {
    let mut assembler = PageAssembler::new(usize::MAX);
    assert!(assembler.feed(&u32::MAX.to_le_bytes()).is_err());
    let mut assembler = PageAssembler::new(100);
    assert!(assembler.feed(&[0; 101]).is_err());
    let mut assembler = PageAssembler::new(100);
    assembler.feed(&[9, 0, 0, 0, 1]).unwrap();
    assert!(assembler.finish().is_err());
}

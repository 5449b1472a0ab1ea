//! Every type as the client protocol writes it.
#![allow(clippy::unwrap_used)]

use arrow::array::*;
use arrow::buffer::OffsetBuffer;

use super::*;

/// The JSON of a one-column batch.
fn json(column: impl Array + 'static, parametric: bool) -> String {
    let column: ArrayRef = Arc::new(column);
    let batch = RecordBatch::try_from_iter_with_nullable([("c", column, true)]).unwrap();
    let mut rows = Rows::default();
    append_rows(&batch, 0, usize::MAX, parametric, &mut rows).unwrap();
    rows.text
}

#[test]
fn every_type_is_written_as_trino_writes_it() {
    let cases = [
        (json(NullArray::new(1), true), "[null]"),
        (json(BooleanArray::from(vec![Some(true), None]), true), "[true],[null]"),
        (
            json(Int64Array::from(vec![i64::MIN, i64::MAX]), true),
            "[-9223372036854775808],[9223372036854775807]",
        ),
        (json(UInt64Array::from(vec![7]), true), "[7]"),
        (json(Float64Array::from(vec![1e10, f64::NAN, 0.5]), true), r#"[1.0E10],["NaN"],[0.5]"#),
        (json(Float32Array::from(vec![f32::NEG_INFINITY]), true), r#"["-Infinity"]"#),
        (
            json(
                Decimal128Array::from(vec![1030, -5]).with_precision_and_scale(12, 2).unwrap(),
                true,
            ),
            r#"["10.30"],["-0.05"]"#,
        ),
        (json(StringArray::from(vec!["a\"b"]), true), r#"["a\"b"]"#),
        (
            json(
                StringViewArray::from(vec![Some("a view that is longer than twelve"), None]),
                true,
            ),
            r#"["a view that is longer than twelve"],[null]"#,
        ),
        (json(BinaryArray::from(vec![&b"\x00\xff"[..]]), true), r#"["AP8="]"#),
        (json(Date32Array::from(vec![11_556]), true), r#"["2001-08-22"]"#),
        (
            json(TimestampMicrosecondArray::from(vec![1_500_000]), true),
            r#"["1970-01-01 00:00:01.500000"]"#,
        ),
        (
            json(TimestampMicrosecondArray::from(vec![1_500]), false),
            r#"["1970-01-01 00:00:00.002"]"#,
        ),
        (json(TimestampSecondArray::from(vec![0]), true), r#"["1970-01-01 00:00:00"]"#),
        (
            json(TimestampMillisecondArray::from(vec![1]).with_timezone("+00:00"), true),
            r#"["1970-01-01 00:00:00.001 UTC"]"#,
        ),
        (
            json(TimestampMillisecondArray::from(vec![0]).with_timezone("-08:00"), true),
            r#"["1969-12-31 16:00:00.000 -08:00"]"#,
        ),
        (json(Time64MicrosecondArray::from(vec![3_723_000_004]), true), r#"["01:02:03.000004"]"#),
        (json(IntervalYearMonthArray::from(vec![-14]), true), r#"["-1-2"]"#),
        (json(DurationMillisecondArray::from(vec![3_723_400]), true), r#"["0 01:02:03.400"]"#),
        (
            json(
                vec![Some("x"), None, Some("x")].into_iter().collect::<DictionaryArray<Int8Type>>(),
                true,
            ),
            r#"["x"],[null],["x"]"#,
        ),
    ];
    for (written, expected) in cases {
        assert_eq!(written, expected);
    }
}

#[test]
fn nested_values_are_written_as_trino_writes_them() {
    let list = ListArray::from_iter_primitive::<Int32Type, _, _>([
        Some(vec![Some(1), None]),
        None,
        Some(vec![]),
    ]);
    assert_eq!(json(list, true), "[[1,null]],[null],[[]]");
    let row = StructArray::from(vec![(
        Arc::new(Field::new("x", DataType::Int32, true)),
        Arc::new(Int32Array::from(vec![Some(5), None])) as ArrayRef,
    )]);
    assert_eq!(json(row, true), "[[5]],[[null]]");
    let entries = StructArray::from(vec![
        (
            Arc::new(Field::new("k", DataType::Float64, false)),
            Arc::new(Float64Array::from(vec![1.4, 2.0])) as ArrayRef,
        ),
        (
            Arc::new(Field::new("v", DataType::Utf8, true)),
            Arc::new(StringArray::from(vec![Some("a"), None])) as ArrayRef,
        ),
    ]);
    let field = Arc::new(Field::new("entries", entries.data_type().clone(), false));
    let offsets = OffsetBuffer::new(vec![0, 2, 2].into());
    let map = MapArray::new(field, offsets, entries, None, false);
    assert_eq!(json(map, true), r#"[{"1.4":"a","2.0":null}],[{}]"#);
}

#[test]
fn a_page_ends_at_its_limit_and_goes_on_where_it_ended() {
    let column: ArrayRef = Arc::new(Int32Array::from_iter_values(0..100));
    let batch = RecordBatch::try_from_iter([("c", column)]).unwrap();
    let (mut from, mut count) = (0, 0);
    while from < 100 {
        let mut rows = Rows::default();
        from = append_rows(&batch, from, 20, true, &mut rows).unwrap();
        assert!(rows.text.len() < 30, "{}", rows.text);
        count += rows.count;
    }
    assert_eq!(count, 100);
}

#[test]
fn values_that_the_shown_type_cannot_hold_are_errors() {
    let column: ArrayRef = Arc::new(UInt64Array::from(vec![u64::MAX]));
    let batch = RecordBatch::try_from_iter([("c", column)]).unwrap();
    let error = append_rows(&batch, 0, usize::MAX, true, &mut Rows::default()).unwrap_err();
    assert_eq!(error.code, ErrorCode::NUMERIC_VALUE_OUT_OF_RANGE);
}

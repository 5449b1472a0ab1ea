//! Trino's types for Arrow's.
//!
//! Unsigned integers become the next larger signed type. `UInt64` becomes bigint: the engine
//! makes it in ranking functions, which are bigint in Trino; a value beyond bigint fails the query
//! with NUMERIC_VALUE_OUT_OF_RANGE instead of being shown wrongly. Month-day-nano intervals are
//! shown as `interval day to second`; one with months in it fails the query.
//!
//! What Arrow's types cannot say (`varchar(25)`, `char(3)`, `json`) stands in the metadata of a
//! field under [`METADATA_KEY`].

mod storage;

use std::collections::HashMap;

use arrow::datatypes::{DataType, Field, IntervalUnit, TimeUnit};
use waterbear_protocol::client::{Column, FieldName, NamedType, TypeArgument, TypeSignature};
use waterbear_protocol::{ErrorCode, Failure};

/// The key of a field's metadata with the Trino type that its Arrow type cannot say.
pub const METADATA_KEY: &str = "trino.type";

/// A Trino type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TrinoType {
    /// A type without arguments: `bigint`, `date`, …
    Plain(&'static str),
    /// `varchar`, `varchar(length)`.
    Varchar(Option<u32>),
    /// `char(length)`. Values are stored without their padding.
    Char(u32),
    /// `decimal(precision, scale)`.
    Decimal(u8, u8),
    /// `time(precision)`.
    Time(u8),
    /// `timestamp(precision)`.
    Timestamp(u8),
    /// `timestamp(precision) with time zone`.
    TimestampWithTimeZone(u8),
    /// `array(element)`.
    Array(Box<TrinoType>),
    /// `map(key, value)`.
    Map(Box<TrinoType>, Box<TrinoType>),
    /// `row(name type, …)`.
    Row(Vec<(String, TrinoType)>),
}

/// The Arrow name of a row's field that has none in Trino, at this position of the row. Names in
/// Arrow tell fields apart; nobody can type this one.
pub fn anonymous_field(position: usize) -> String {
    format!("{ANONYMOUS}{position}")
}

const ANONYMOUS: char = '\u{1f}';

const fn digits(unit: &TimeUnit) -> u8 {
    match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 3,
        TimeUnit::Microsecond => 6,
        TimeUnit::Nanosecond => 9,
    }
}

impl TrinoType {
    /// The Trino type of a field: its metadata's, else its Arrow type's.
    ///
    /// # Errors
    /// NOT_SUPPORTED for types that have none.
    pub fn of_field(field: &Field) -> Result<Self, Failure> {
        // A conversion may have carried the note to a field of another kind: there it says nothing.
        let noted = field.metadata().get(METADATA_KEY).filter(|_| is_text(field.data_type()));
        match noted.and_then(|text| Self::annotated(text)) {
            Some(named) => Ok(named),
            None => Self::of(field.data_type()),
        }
    }

    /// The field with this type noted in its metadata, where its Arrow type alone would not say
    /// it. Any earlier note is replaced.
    pub fn annotate(&self, field: Field) -> Field {
        let mut metadata: HashMap<String, String> = field.metadata().clone();
        metadata.remove(METADATA_KEY);
        if Self::annotated(&self.listing()).is_some() {
            metadata.insert(METADATA_KEY.to_owned(), self.listing());
        }
        field.with_metadata(metadata)
    }

    /// The types that stand in metadata.
    fn annotated(text: &str) -> Option<Self> {
        let length = |base: &str| {
            text.strip_prefix(base)?.strip_prefix('(')?.strip_suffix(')')?.parse().ok()
        };
        match text {
            "json" => Some(Self::Plain("json")),
            "uuid" => Some(Self::Plain("uuid")),
            "ipaddress" => Some(Self::Plain("ipaddress")),
            _ => length("varchar")
                .map(|length| Self::Varchar(Some(length)))
                .or_else(|| length("char").map(Self::Char)),
        }
    }

    /// The Trino type of an Arrow type.
    ///
    /// # Errors
    /// NOT_SUPPORTED for types that have none.
    pub fn of(data_type: &DataType) -> Result<Self, Failure> {
        let boxed = |inner: &Field| Ok::<_, Failure>(Box::new(Self::of_field(inner)?));
        Ok(match data_type {
            DataType::Null => Self::Plain("unknown"),
            DataType::Boolean => Self::Plain("boolean"),
            DataType::Int8 => Self::Plain("tinyint"),
            DataType::Int16 | DataType::UInt8 => Self::Plain("smallint"),
            DataType::Int32 | DataType::UInt16 => Self::Plain("integer"),
            DataType::Int64 | DataType::UInt32 | DataType::UInt64 => Self::Plain("bigint"),
            DataType::Float16 | DataType::Float32 => Self::Plain("real"),
            DataType::Float64 => Self::Plain("double"),
            DataType::Decimal32(precision, scale)
            | DataType::Decimal64(precision, scale)
            | DataType::Decimal128(precision, scale)
            | DataType::Decimal256(precision, scale) => decimal(*precision, *scale),
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Self::Varchar(None),
            DataType::Binary
            | DataType::LargeBinary
            | DataType::BinaryView
            | DataType::FixedSizeBinary(_) => Self::Plain("varbinary"),
            DataType::Date32 | DataType::Date64 => Self::Plain("date"),
            DataType::Time32(unit) | DataType::Time64(unit) => Self::Time(digits(unit)),
            DataType::Timestamp(unit, None) => Self::Timestamp(digits(unit)),
            DataType::Timestamp(unit, Some(_)) => Self::TimestampWithTimeZone(digits(unit)),
            DataType::Interval(IntervalUnit::YearMonth) => Self::Plain("interval year to month"),
            DataType::Interval(_) | DataType::Duration(_) => Self::Plain("interval day to second"),
            DataType::List(item)
            | DataType::LargeList(item)
            | DataType::ListView(item)
            | DataType::LargeListView(item)
            | DataType::FixedSizeList(item, _) => Self::Array(boxed(item)?),
            DataType::Map(entries, _) => match entries.data_type() {
                DataType::Struct(fields) if fields.len() == 2 => {
                    Self::Map(boxed(&fields[0])?, boxed(&fields[1])?)
                }
                _ => return Err(unsupported(data_type)),
            },
            DataType::Struct(fields) => {
                let field = |field: &arrow::datatypes::FieldRef| {
                    let name = match field.name() {
                        name if name.starts_with(ANONYMOUS) => String::new(),
                        name => name.clone(),
                    };
                    Ok((name, Self::of_field(field)?))
                };
                Self::Row(fields.iter().map(field).collect::<Result<_, Failure>>()?)
            }
            DataType::Dictionary(_, values) => Self::of(values)?,
            DataType::RunEndEncoded(_, values) => Self::of_field(values)?,
            DataType::Union(..) => return Err(unsupported(data_type)),
        })
    }

    /// The type as `columns[].type` shows it: `map(K, V)`, `decimal(12, 2)`. Without
    /// `parametric_datetime`, times lose their precision.
    pub fn display(&self, parametric_datetime: bool) -> String {
        self.text(", ", parametric_datetime)
    }

    /// The type as metadata listings show it: `decimal(12,2)`.
    pub fn listing(&self) -> String {
        self.text(",", true)
    }

    fn text(&self, comma: &str, parametric: bool) -> String {
        let precise = |base: &str, precision: &u8, rest: &str| match parametric {
            true => format!("{base}({precision}){rest}"),
            false => format!("{base}{rest}"),
        };
        match self {
            Self::Plain(name) => (*name).to_owned(),
            Self::Varchar(None) => "varchar".to_owned(),
            Self::Varchar(Some(length)) => format!("varchar({length})"),
            Self::Char(length) => format!("char({length})"),
            Self::Decimal(precision, scale) => format!("decimal({precision}{comma}{scale})"),
            Self::Time(precision) => precise("time", precision, ""),
            Self::Timestamp(precision) => precise("timestamp", precision, ""),
            Self::TimestampWithTimeZone(precision) => {
                precise("timestamp", precision, " with time zone")
            }
            Self::Array(item) => format!("array({})", item.text(comma, parametric)),
            Self::Map(key, value) => {
                format!("map({}, {})", key.text(comma, parametric), value.text(comma, parametric))
            }
            Self::Row(fields) => {
                let listing = comma == ",";
                let field = |(name, field): &(String, Self)| match name.as_str() {
                    "" => field.text(comma, parametric),
                    name if listing => {
                        let name = name.replace('"', "\"\"");
                        format!("\"{name}\" {}", field.text(comma, parametric))
                    }
                    name => format!("{name} {}", field.text(comma, parametric)),
                };
                format!("row({})", fields.iter().map(field).collect::<Vec<_>>().join(", "))
            }
        }
    }

    /// The type as programs read it.
    pub fn signature(&self, parametric: bool) -> TypeSignature {
        let long = |value: u8| TypeArgument::Long(i64::from(value));
        let of = |raw_type: &str, arguments: Vec<TypeArgument>| TypeSignature {
            raw_type: raw_type.to_owned(),
            arguments,
        };
        let precise = |raw_type: &str, precision: u8| {
            of(raw_type, if parametric { vec![long(precision)] } else { Vec::new() })
        };
        match self {
            Self::Plain(name) => TypeSignature::plain(*name),
            Self::Varchar(length) => {
                let length = length.map_or(i64::from(i32::MAX), i64::from);
                of("varchar", vec![TypeArgument::Long(length)])
            }
            Self::Char(length) => of("char", vec![TypeArgument::Long(i64::from(*length))]),
            Self::Decimal(precision, scale) => of("decimal", vec![long(*precision), long(*scale)]),
            Self::Time(precision) => precise("time", *precision),
            Self::Timestamp(precision) => precise("timestamp", *precision),
            Self::TimestampWithTimeZone(precision) => {
                precise("timestamp with time zone", *precision)
            }
            Self::Array(item) => of("array", vec![TypeArgument::Type(item.signature(parametric))]),
            Self::Map(key, value) => {
                let argument = |t: &Self| TypeArgument::Type(t.signature(parametric));
                of("map", vec![argument(key), argument(value)])
            }
            Self::Row(fields) => {
                let field = |(name, field): &(String, Self)| {
                    TypeArgument::NamedType(NamedType {
                        field_name: (!name.is_empty()).then(|| FieldName { name: name.clone() }),
                        type_signature: field.signature(parametric),
                    })
                };
                of("row", fields.iter().map(field).collect())
            }
        }
    }
}

fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, values) => is_text(values),
        _ => false,
    }
}

/// Trino has no negative scales and no precision beyond 38; what exceeds it is shown as it is.
fn decimal(precision: u8, scale: i8) -> TrinoType {
    match u8::try_from(scale) {
        Ok(scale) => TrinoType::Decimal(precision, scale),
        Err(_) => TrinoType::Decimal(precision.saturating_add(scale.unsigned_abs()), 0),
    }
}

fn unsupported(data_type: &DataType) -> Failure {
    Failure::new(ErrorCode::NOT_SUPPORTED, format!("Unsupported result type: {data_type}"))
}

/// A column as the client protocol shows it. Without `parametric_datetime`, times lose their
/// precision.
pub fn column(name: &str, trino_type: &TrinoType, parametric_datetime: bool) -> Column {
    Column {
        name: name.to_owned(),
        type_name: trino_type.display(parametric_datetime),
        type_signature: trino_type.signature(parametric_datetime),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use arrow::datatypes::{Field, Fields};

    use super::*;

    #[test]
    fn types_are_shown_as_trino_shows_them() {
        let field = |name: &str, data_type| Field::new(name, data_type, true);
        let row: Fields = vec![field("x", DataType::Int64), field("", DataType::Float64)].into();
        let entries: Fields =
            vec![field("k", DataType::Utf8), field("v", DataType::Decimal128(5, 2))].into();
        let map = DataType::Map(Arc::new(field("e", DataType::Struct(entries))), false);
        let utc = || Some(Arc::from("UTC"));
        let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
        let cases = [
            (DataType::Null, "unknown", "unknown"),
            (DataType::UInt8, "smallint", "smallint"),
            (DataType::UInt64, "bigint", "bigint"),
            (DataType::Utf8View, "varchar", "varchar"),
            (dictionary, "varchar", "varchar"),
            (DataType::Decimal128(12, 2), "decimal(12, 2)", "decimal(12, 2)"),
            (DataType::Timestamp(TimeUnit::Microsecond, None), "timestamp(6)", "timestamp"),
            (
                DataType::Timestamp(TimeUnit::Millisecond, utc()),
                "timestamp(3) with time zone",
                "timestamp with time zone",
            ),
            (DataType::Time32(TimeUnit::Second), "time(0)", "time"),
            (
                DataType::List(Arc::new(field("i", DataType::Int32))),
                "array(integer)",
                "array(integer)",
            ),
            (map, "map(varchar, decimal(5, 2))", "map(varchar, decimal(5, 2))"),
            (DataType::Struct(row), "row(x bigint, double)", "row(x bigint, double)"),
        ];
        for (arrow, parametric, plain) in cases {
            let trino = TrinoType::of(&arrow).unwrap();
            assert_eq!(trino.display(true), parametric);
            assert_eq!(trino.display(false), plain);
        }
        assert_eq!(TrinoType::Decimal(12, 2).listing(), "decimal(12,2)");
    }

    #[test]
    fn metadata_says_what_arrow_cannot() {
        let plain = Field::new("c", DataType::Utf8, true);
        for trino in [TrinoType::Varchar(Some(25)), TrinoType::Char(3), TrinoType::Plain("json")] {
            let field = trino.annotate(plain.clone());
            assert_eq!(TrinoType::of_field(&field).unwrap(), trino);
            assert_eq!(TrinoType::Varchar(None).annotate(field), plain);
        }
        let nested = TrinoType::Char(2).annotate(plain);
        let list = Field::new("l", DataType::List(Arc::new(nested)), true);
        assert_eq!(TrinoType::of_field(&list).unwrap().listing(), "array(char(2))");
    }

    #[test]
    fn signatures_follow_the_capability() {
        let timestamp = TrinoType::Timestamp(3);
        assert_eq!(timestamp.signature(true).arguments, vec![TypeArgument::Long(3)]);
        assert_eq!(timestamp.signature(false).arguments, vec![]);
        let varchar = TrinoType::Varchar(None).signature(false);
        assert_eq!(varchar.arguments, vec![TypeArgument::Long(2147483647)]);
    }
}

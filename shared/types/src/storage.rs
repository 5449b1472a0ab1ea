//! Arrow's types for Trino's: how a column of a table that is written here is kept.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, TimeUnit};
use waterbear_protocol::{ErrorCode, Failure};

use super::TrinoType;

impl TrinoType {
    /// The Arrow type that values of this type are kept in; the zone of times is UTC.
    ///
    /// # Errors
    /// NOT_SUPPORTED, naming the type, where there is none.
    pub fn storage(&self) -> Result<DataType, Failure> {
        let unsupported = || {
            let message = format!("Type {} is not supported in a table", self.listing());
            Failure::new(ErrorCode::NOT_SUPPORTED, message)
        };
        let unit = |precision: u8| match precision {
            0 => Ok(TimeUnit::Second),
            3 => Ok(TimeUnit::Millisecond),
            6 => Ok(TimeUnit::Microsecond),
            9 => Ok(TimeUnit::Nanosecond),
            _ => Err(unsupported()),
        };
        Ok(match self {
            Self::Plain("boolean") => DataType::Boolean,
            Self::Plain("tinyint") => DataType::Int8,
            Self::Plain("smallint") => DataType::Int16,
            Self::Plain("integer") => DataType::Int32,
            Self::Plain("bigint") => DataType::Int64,
            Self::Plain("real") => DataType::Float32,
            Self::Plain("double") => DataType::Float64,
            Self::Plain("varbinary") => DataType::Binary,
            Self::Plain("date") => DataType::Date32,
            Self::Plain("json") | Self::Varchar(_) | Self::Char(_) => DataType::Utf8,
            Self::Decimal(precision, scale) => {
                let scale = i8::try_from(*scale).map_err(|_| unsupported())?;
                DataType::Decimal128(*precision, scale)
            }
            Self::Time(precision) => match unit(*precision)? {
                unit @ (TimeUnit::Second | TimeUnit::Millisecond) => DataType::Time32(unit),
                unit => DataType::Time64(unit),
            },
            Self::Timestamp(precision) => DataType::Timestamp(unit(*precision)?, None),
            // A column has one zone; a type alone does not name it.
            Self::TimestampWithTimeZone(precision) => {
                DataType::Timestamp(unit(*precision)?, Some(Arc::from("UTC")))
            }
            Self::Array(item) => DataType::List(Arc::new(item.stored_as("item", true)?)),
            Self::Map(key, value) => {
                let entries: Fields =
                    vec![key.stored_as("key", false)?, value.stored_as("value", true)?].into();
                let entries = Field::new("entries", DataType::Struct(entries), false);
                DataType::Map(Arc::new(entries), false)
            }
            Self::Row(fields) => {
                let fields = fields.iter().map(|(name, field)| field.stored_as(name, true));
                DataType::Struct(fields.collect::<Result<_, _>>()?)
            }
            Self::Plain(_) => return Err(unsupported()),
        })
    }

    fn stored_as(&self, name: &str, nullable: bool) -> Result<Field, Failure> {
        if let Self::Char(_) = self {
            // Inside of other values nobody would give it its padding again.
            let message = format!("Type {} inside of another one is not supported", self.listing());
            return Err(Failure::new(ErrorCode::NOT_SUPPORTED, message));
        }
        Ok(self.annotate(Field::new(name, self.storage()?, nullable)))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_what_it_was() {
        let row = TrinoType::Row(vec![("x".to_owned(), TrinoType::Varchar(Some(3)))]);
        for trino in [
            TrinoType::Plain("bigint"),
            TrinoType::Varchar(Some(3)),
            TrinoType::Decimal(5, 2),
            TrinoType::Timestamp(6),
            TrinoType::Time(9),
            TrinoType::TimestampWithTimeZone(3),
            TrinoType::Array(Box::new(TrinoType::Varchar(Some(2)))),
            TrinoType::Map(Box::new(TrinoType::Varchar(None)), Box::new(row)),
        ] {
            let field = trino.stored_as("c", true).unwrap();
            assert_eq!(TrinoType::of_field(&field).unwrap(), trino);
        }
        let chars = TrinoType::Array(Box::new(TrinoType::Char(3)));
        for missing in [TrinoType::Timestamp(4), TrinoType::Plain("unknown"), chars] {
            assert_eq!(missing.storage().unwrap_err().code, ErrorCode::NOT_SUPPORTED);
        }
    }
}

//! Types that values are cast to.

use arrow::datatypes::DataType;
use waterbear_types::TrinoType;

use crate::coercion::decimal;

/// A type that a value is cast to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// `boolean`
    Boolean,
    /// `tinyint`, `smallint`, `integer`, `bigint`, by their Arrow type
    Integer(DataType),
    /// `real`
    Real,
    /// `double`
    Double,
    /// `decimal(precision,scale)`
    Decimal(u8, u8),
    /// `varchar`, `varchar(length)`
    Varchar(Option<u32>),
    /// `char(length)`
    Char(u32),
}

impl Target {
    /// The type that [`TrinoType::listing`] writes so.
    pub fn parse(text: &str) -> Option<Self> {
        let (name, arguments) = match text.split_once('(') {
            Some((name, rest)) => (name, Some(rest.strip_suffix(')')?)),
            None => (text, None),
        };
        Some(match (name, arguments) {
            ("boolean", None) => Self::Boolean,
            ("tinyint", None) => Self::Integer(DataType::Int8),
            ("smallint", None) => Self::Integer(DataType::Int16),
            ("integer", None) => Self::Integer(DataType::Int32),
            ("bigint", None) => Self::Integer(DataType::Int64),
            ("real", None) => Self::Real,
            ("double", None) => Self::Double,
            ("decimal", Some(arguments)) => {
                let (precision, scale) = arguments.split_once(',')?;
                Self::Decimal(precision.parse().ok()?, scale.parse().ok()?)
            }
            ("varchar", None) => Self::Varchar(None),
            ("varchar", Some(length)) => Self::Varchar(Some(length.parse().ok()?)),
            ("char", Some(length)) => Self::Char(length.parse().ok()?),
            _ => return None,
        })
    }

    /// The type in Trino.
    pub fn trino_type(&self) -> TrinoType {
        match self {
            Self::Boolean => TrinoType::Plain("boolean"),
            Self::Integer(data_type) => {
                TrinoType::of(data_type).unwrap_or(TrinoType::Plain("bigint"))
            }
            Self::Real => TrinoType::Plain("real"),
            Self::Double => TrinoType::Plain("double"),
            Self::Decimal(precision, scale) => TrinoType::Decimal(*precision, *scale),
            Self::Varchar(length) => TrinoType::Varchar(*length),
            Self::Char(length) => TrinoType::Char(*length),
        }
    }

    /// The Arrow type.
    pub fn data_type(&self) -> DataType {
        match self {
            Self::Boolean => DataType::Boolean,
            Self::Integer(data_type) => data_type.clone(),
            Self::Real => DataType::Float32,
            Self::Double => DataType::Float64,
            Self::Decimal(precision, scale) => decimal(*precision, *scale),
            Self::Varchar(_) | Self::Char(_) => DataType::Utf8,
        }
    }
}

//! The eight tables: names, types, sizes, and how rows divide into parts.

use std::{fmt, str::FromStr};

use arrow::datatypes::{DataType, Schema, SchemaRef};
use serde::{Deserialize, Serialize};
use tpchgen::generators::{
    CustomerGenerator, OrderGenerator, PartGenerator, PartSuppGenerator, SupplierGenerator,
};

use crate::connector::Column;

/// A TPC-H table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names say all")]
pub enum Table {
    Customer,
    Lineitem,
    Nation,
    Orders,
    Part,
    Partsupp,
    Region,
    Supplier,
}

/// How columns are named.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ColumnNaming {
    /// `orderkey`, as Trino has it by default.
    #[default]
    Simplified,
    /// `l_orderkey`, as the TPC-H specification has it.
    Standard,
}

/// Which type money and quantities have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum DoubleTypeMapping {
    /// `double`, as Trino has it by default.
    #[default]
    Double,
    /// `decimal(12,2)`.
    Decimal,
}

/// The type of `decimal(12,2)` columns.
pub(crate) const DECIMAL: DataType = DataType::Decimal128(12, 2);

/// A scale factor that the generator can make: 0.001 to 10000, or 30000 to 100000 (between them
/// it overflows).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Scale(f64);

impl Scale {
    /// Returns the scale of a schema: `tiny` is 0.01, `sfX` is X.
    pub fn of_schema(name: &str) -> Option<Self> {
        if name == "tiny" { Some(Self(0.01)) } else { name.strip_prefix("sf")?.parse().ok() }
    }

    /// Returns the factor.
    pub fn factor(self) -> f64 {
        self.0
    }
}

impl FromStr for Scale {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let plain = text.len() <= 16 && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        match text.parse::<f64>() {
            Ok(x) if plain && ((0.001..=1e4).contains(&x) || (3e4..=1e5).contains(&x)) => {
                Ok(Self(x))
            }
            _ => Err(format!("{text:?} is not a scale factor")),
        }
    }
}

impl TryFrom<String> for Scale {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Scale> for String {
    fn from(scale: Scale) -> Self {
        scale.to_string()
    }
}

impl fmt::Display for Scale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One column as TPC-H defines it.
#[derive(Debug)]
pub(crate) struct Definition {
    /// Name with its prefix, such as `l_orderkey`.
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) domain: Domain,
}

/// A column's type, before the mapping of doubles.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Bigint,
    Integer,
    Double,
    Date,
    /// Longest and average length.
    Varchar(u16, u16),
}

/// Which values a column holds, for the planner's estimates.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Domain {
    /// Nearly as many as rows.
    Distinct,
    /// That many different ones.
    Few(u32),
    /// Evenly between two bounds: numbers, hundredths (doubles), or days since 1970 (dates).
    Between(i64, i64),
    /// 1 to the number of rows of that table.
    KeyOf(Table),
    /// Eight of 32 consecutive numbers.
    OrderKey,
}

impl Definition {
    pub(crate) fn data_type(&self, doubles: DoubleTypeMapping) -> DataType {
        match self.kind {
            Kind::Bigint => DataType::Int64,
            Kind::Integer => DataType::Int32,
            Kind::Double => match doubles {
                DoubleTypeMapping::Double => DataType::Float64,
                DoubleTypeMapping::Decimal => DECIMAL,
            },
            Kind::Date => DataType::Date32,
            // Views, as DataFusion reads Parquet: filters, joins and sorts copy 16 bytes a value,
            // and values up to 12 bytes (most codes here) need no other memory.
            Kind::Varchar(..) => DataType::Utf8View,
        }
    }

    fn trino_type(&self, doubles: DoubleTypeMapping) -> String {
        match self.kind {
            Kind::Bigint => "bigint".to_owned(),
            Kind::Integer => "integer".to_owned(),
            Kind::Double => match doubles {
                DoubleTypeMapping::Double => "double".to_owned(),
                DoubleTypeMapping::Decimal => "decimal(12,2)".to_owned(),
            },
            Kind::Date => "date".to_owned(),
            Kind::Varchar(longest, _) => format!("varchar({longest})"),
        }
    }

    /// Returns the average bytes of a value in memory.
    pub(crate) fn bytes(&self, doubles: DoubleTypeMapping) -> u64 {
        match self.kind {
            Kind::Varchar(_, average) if average > 12 => 16 + u64::from(average),
            Kind::Varchar(..) => 16,
            _ => self.data_type(doubles).primitive_width().map_or(8, |width| width as u64),
        }
    }

    fn name(&self, naming: ColumnNaming) -> &'static str {
        match naming {
            ColumnNaming::Standard => self.name,
            ColumnNaming::Simplified => {
                self.name.split_once('_').map_or(self.name, |(_, name)| name)
            }
        }
    }
}

impl Table {
    /// All tables by name.
    pub const ALL: [Self; 8] = [
        Self::Customer,
        Self::Lineitem,
        Self::Nation,
        Self::Orders,
        Self::Part,
        Self::Partsupp,
        Self::Region,
        Self::Supplier,
    ];

    /// Returns the table's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::Lineitem => "lineitem",
            Self::Nation => "nation",
            Self::Orders => "orders",
            Self::Part => "part",
            Self::Partsupp => "partsupp",
            Self::Region => "region",
            Self::Supplier => "supplier",
        }
    }

    /// Returns the table of that name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|table| table.name() == name)
    }

    /// Returns how many rows the generator counts: of `lineitem` orders, of `partsupp` parts.
    fn base_rows(self, scale: Scale) -> u64 {
        let rows = match self {
            Self::Customer => CustomerGenerator::calculate_row_count(scale.0, 1, 1),
            Self::Orders | Self::Lineitem => OrderGenerator::calculate_row_count(scale.0, 1, 1),
            Self::Part => PartGenerator::calculate_row_count(scale.0, 1, 1),
            Self::Partsupp => PartSuppGenerator::calculate_row_count(scale.0, 1, 1),
            Self::Supplier => SupplierGenerator::calculate_row_count(scale.0, 1, 1),
            Self::Nation => 25,
            Self::Region => 5,
        };
        rows.unsigned_abs()
    }

    /// Returns into how many parts the table is divided; a scan reads ranges of them.
    ///
    /// The number depends on table and scale alone, so that ranges of parts mean the same rows on
    /// every node, and small enough parts exist to divide a scan evenly among many tasks.
    pub fn parts(self, scale: Scale) -> u32 {
        if matches!(self, Self::Nation | Self::Region) {
            return 1;
        }
        let rows = self.base_rows(scale);
        let rows_per_part = (rows / 64).clamp(16, 2048).max(rows >> 20);
        u32::try_from(rows / rows_per_part).unwrap_or(u32::MAX >> 1).max(1)
    }

    /// Returns the rows in parts `from` (inclusive, from zero) to `to`. For `lineitem` this is the
    /// expected number, else the exact one.
    pub(crate) fn rows(self, scale: Scale, from: u32, to: u32) -> u64 {
        let (rows, parts) = (self.base_rows(scale), u64::from(self.parts(scale)));
        let remainder = if u64::from(to) == parts && from < to { rows % parts } else { 0 };
        let base = rows / parts * u64::from(to.saturating_sub(from)) + remainder;
        match self {
            Self::Lineitem | Self::Partsupp => base * 4,
            _ => base,
        }
    }

    /// Tells whether [`Self::rows`] is exact.
    pub(crate) fn rows_are_exact(self) -> bool {
        self != Self::Lineitem
    }

    /// Returns the table's schema.
    pub fn schema(self, naming: ColumnNaming, doubles: DoubleTypeMapping) -> SchemaRef {
        let columns = self.columns(naming, doubles);
        let fields = columns.iter().map(|column| column.field().with_nullable(false));
        Schema::new(fields.collect::<Vec<_>>()).into()
    }

    /// Returns the table's columns.
    pub fn columns(self, naming: ColumnNaming, doubles: DoubleTypeMapping) -> Vec<Column> {
        self.definitions()
            .iter()
            .map(|column| Column {
                name: column.name(naming).to_owned(),
                data_type: column.data_type(doubles),
                trino_type: column.trino_type(doubles),
                nullable: false,
                comment: None,
                hidden: false,
            })
            .collect()
    }
}

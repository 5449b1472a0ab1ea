//! `system.jdbc`: what drivers read to answer `DatabaseMetaData`.

use datafusion::common::ScalarValue;
use datafusion::error::Result;
use waterbear_connector::Column;

use super::listing::Listing;
use super::rows::{NULL, Row, bigint, optional_bigint, optional_text, text};

pub(super) const CATALOGS: &str = "table_cat";
pub(super) const SCHEMAS: &str = "table_schem table_catalog";
pub(super) const TABLES: &str = "table_cat table_schem table_name table_type remarks type_cat \
    type_schem type_name self_referencing_col_name ref_generation";
pub(super) const COLUMNS: &str = "table_cat table_schem table_name column_name data_type:bigint \
    type_name column_size:bigint buffer_length:bigint decimal_digits:bigint \
    num_prec_radix:bigint nullable:bigint remarks column_def sql_data_type:bigint \
    sql_datetime_sub:bigint char_octet_length:bigint ordinal_position:bigint is_nullable \
    scope_catalog scope_schema scope_table source_data_type:bigint is_autoincrement \
    is_generatedcolumn";
pub(super) const TABLE_TYPES: &str = "table_type";
pub(super) const TYPES: &str = "type_name data_type:bigint precision:bigint literal_prefix \
    literal_suffix create_params nullable:bigint case_sensitive:boolean searchable:bigint \
    unsigned_attribute:boolean fixed_prec_scale:boolean auto_increment:boolean local_type_name \
    minimum_scale:bigint maximum_scale:bigint sql_data_type:bigint sql_datetime_sub:bigint \
    num_prec_radix:bigint";
pub(super) const ATTRIBUTES: &str = "type_cat type_schem type_name attr_name data_type:bigint \
    attr_type_name attr_size:bigint decimal_digits:bigint num_prec_radix:bigint nullable:bigint \
    remarks attr_def sql_data_type:bigint sql_datetime_sub:bigint char_octet_length:bigint \
    ordinal_position:bigint is_nullable scope_catalog scope_schema scope_table \
    source_data_type:bigint";
pub(super) const PROCEDURES: &str = "procedure_cat procedure_schem procedure_name remarks \
    procedure_type:bigint specific_name";
pub(super) const PROCEDURE_COLUMNS: &str = "procedure_cat procedure_schem procedure_name \
    column_name column_type:bigint data_type:bigint type_name precision:bigint length:bigint \
    scale:bigint radix:bigint nullable:bigint remarks column_def sql_data_type:bigint \
    sql_datetime_sub:bigint char_octet_length:bigint ordinal_position:bigint is_nullable \
    specific_name";
pub(super) const PSEUDO_COLUMNS: &str = "table_cat table_schem table_name column_name \
    data_type:bigint column_size:bigint decimal_digits:bigint num_prec_radix:bigint column_usage \
    remarks char_octet_length:bigint is_nullable";
pub(super) const SUPER_TABLES: &str = "table_cat table_schem table_name supertable_name";
pub(super) const SUPER_TYPES: &str =
    "type_cat type_schem type_name supertype_cat supertype_schem supertype_name";
pub(super) const UDTS: &str =
    "type_cat type_schem type_name class_name data_type:bigint remarks base_type:bigint";

/// The types of tables that there are.
pub(super) fn table_types() -> Vec<Row> {
    vec![vec![text("TABLE")], vec![text("VIEW")]]
}

pub(super) fn catalogs(listing: &Listing<'_>) -> Vec<Row> {
    listing.catalogs().map(|(name, _)| vec![text(name)]).collect()
}

pub(super) async fn schemas(listing: &Listing<'_>) -> Result<Vec<Row>> {
    let schemas = listing.schemas().await?;
    Ok(schemas.into_iter().map(|(_, catalog, schema)| vec![text(schema), text(catalog)]).collect())
}

pub(super) async fn tables(listing: &Listing<'_>) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for listed in listing.tables().await? {
        let kind = if listed.describe().await.view.is_some() { "VIEW" } else { "TABLE" };
        let mut row =
            vec![text(listed.catalog), text(listed.schema), text(listed.table), text(kind)];
        row.resize(10, NULL);
        rows.push(row);
    }
    Ok(rows)
}

pub(super) async fn columns(listing: &Listing<'_>) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for listed in listing.tables().await? {
        let Some(found) = listed.open().await else { continue };
        let shown = found.columns().iter().filter(|column| !column.hidden);
        for (position, column) in (1i64..).zip(shown) {
            let mut row = vec![text(&listed.catalog), text(&listed.schema), text(&listed.table)];
            row.extend(column_row(column, position));
            rows.push(row);
        }
    }
    Ok(rows)
}

fn column_row(column: &Column, position: i64) -> Row {
    let kind = Kind::of(&column.trino_type);
    vec![
        text(&column.name),
        bigint(kind.code),
        text(&column.trino_type),
        optional_bigint(kind.size),
        NULL,
        optional_bigint(kind.digits),
        optional_bigint(kind.radix),
        bigint(i64::from(column.nullable)),
        optional_text(column.comment.as_ref()),
        NULL,
        NULL,
        NULL,
        optional_bigint(kind.octets),
        bigint(position),
        text(if column.nullable { "YES" } else { "NO" }),
        NULL,
        NULL,
        NULL,
        NULL,
        NULL,
        NULL,
    ]
}

/// The types that a driver lists; parametric ones without their parameters.
pub(super) fn types() -> Vec<Row> {
    let plain = [
        "boolean",
        "tinyint",
        "smallint",
        "integer",
        "bigint",
        "real",
        "double",
        "varchar",
        "varbinary",
        "date",
        "json",
        "uuid",
        "ipaddress",
        "interval year to month",
        "interval day to second",
        "unknown",
        "decimal",
        "char",
        "time",
        "time with time zone",
        "timestamp",
        "timestamp with time zone",
        "array",
        "map",
        "row",
    ];
    let row = |name: &&str| {
        let kind = Kind::of(name);
        // What cannot be compared cannot be searched (java.sql.DatabaseMetaData.typePredNone).
        let searchable = i64::from(*name != "unknown") * 3;
        vec![
            text(*name),
            bigint(kind.code),
            optional_bigint(kind.size),
            NULL,
            NULL,
            NULL,
            bigint(1),
            ScalarValue::from(false),
            bigint(searchable),
            NULL,
            ScalarValue::from(false),
            NULL,
            NULL,
            bigint(0),
            bigint(0),
            NULL,
            NULL,
            optional_bigint(kind.radix),
        ]
    };
    plain.iter().map(row).collect()
}

/// A type as JDBC sees it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Kind {
    /// Of `java.sql.Types`.
    code: i64,
    /// Digits or characters.
    size: Option<i64>,
    /// Digits behind the point.
    digits: Option<i64>,
    radix: Option<i64>,
    /// Bytes that a text or binary may have.
    octets: Option<i64>,
}

/// Length of what has no limit.
const UNBOUNDED: i64 = i32::MAX as i64;

impl Kind {
    /// Reads a type as it is listed: `decimal(12,2)`, `timestamp(3) with time zone`.
    fn of(listing: &str) -> Self {
        let (base, arguments) = match listing.split_once('(') {
            None => (listing.to_owned(), Vec::new()),
            Some((base, rest)) => {
                let (inside, after) = rest.split_once(')').unwrap_or((rest, ""));
                let numbers: Vec<i64> =
                    inside.split(',').filter_map(|number| number.trim().parse().ok()).collect();
                (format!("{base}{after}"), numbers)
            }
        };
        let first = arguments.first().copied();
        let integer = |code, size| Self {
            code,
            size: Some(size),
            digits: Some(0),
            radix: Some(10),
            octets: None,
        };
        let float = |code, size| Self { code, size: Some(size), radix: Some(2), ..Self::default() };
        let bytes =
            |code, size| Self { code, size: Some(size), octets: Some(size), ..Self::default() };
        let time = |code, base: i64, zone: i64| {
            let precision = first.unwrap_or(3);
            let fraction = if precision > 0 { precision + 1 } else { 0 };
            let size = Some(base + fraction + zone);
            Self { code, size, digits: Some(precision), ..Self::default() }
        };
        match base.as_str() {
            "boolean" => Self { code: 16, ..Self::default() },
            "tinyint" => integer(-6, 3),
            "smallint" => integer(5, 5),
            "integer" => integer(4, 10),
            "bigint" => integer(-5, 19),
            "real" => float(7, 24),
            "double" => float(8, 53),
            "decimal" => Self {
                code: 3,
                size: Some(first.unwrap_or(38)),
                digits: Some(arguments.get(1).copied().unwrap_or(0)),
                radix: Some(10),
                octets: None,
            },
            "varchar" => bytes(12, first.unwrap_or(UNBOUNDED)),
            "char" => bytes(1, first.unwrap_or(1)),
            "varbinary" => bytes(-3, UNBOUNDED),
            "date" => Self { code: 91, size: Some(14), ..Self::default() },
            "time" => time(92, 8, 0),
            "time with time zone" => time(2013, 8, 6),
            "timestamp" => time(93, 21, 0),
            "timestamp with time zone" => time(2014, 21, 32),
            "array" => Self { code: 2003, ..Self::default() },
            base if base.starts_with("array") => Self { code: 2003, ..Self::default() },
            _ => Self { code: 2000, ..Self::default() },
        }
    }
}

#[cfg(test)]
mod tests {
    use waterbear_types::TrinoType;

    use super::*;

    #[test]
    fn types_have_jdbcs_numbers_and_sizes() {
        let kind = |text: &str| {
            let kind = Kind::of(text);
            (kind.code, kind.size, kind.digits, kind.radix, kind.octets)
        };
        assert_eq!(kind("boolean"), (16, None, None, None, None));
        assert_eq!(kind("bigint"), (-5, Some(19), Some(0), Some(10), None));
        assert_eq!(kind("double"), (8, Some(53), None, Some(2), None));
        assert_eq!(kind("decimal(12,2)"), (3, Some(12), Some(2), Some(10), None));
        assert_eq!(kind("varchar(25)"), (12, Some(25), None, None, Some(25)));
        assert_eq!(kind("varchar").1, Some(2_147_483_647));
        assert_eq!(kind("char(3)"), (1, Some(3), None, None, Some(3)));
        assert_eq!(kind("timestamp(3)"), (93, Some(25), Some(3), None, None));
        assert_eq!(kind("timestamp(0)").1, Some(21));
        assert_eq!(kind("timestamp(3) with time zone"), (2014, Some(57), Some(3), None, None));
        assert_eq!(kind("time(6)"), (92, Some(15), Some(6), None, None));
        let code = |of: &TrinoType| kind(&of.listing()).0;
        let array = TrinoType::Array(Box::new(TrinoType::Decimal(3, 1)));
        assert_eq!(code(&array), 2003);
        assert_eq!(code(&TrinoType::Row(vec![("a".into(), array)])), 2000);
        assert_eq!(kind("map(varchar(3), array(bigint))").0, 2000);
        assert_eq!(kind("json").0, 2000);
    }

    #[test]
    fn rows_have_a_value_for_each_column() {
        let width = |columns: &str| columns.split_whitespace().count();
        let column = Column {
            name: "a".into(),
            data_type: arrow::datatypes::DataType::Int64,
            trino_type: "bigint".into(),
            nullable: true,
            comment: None,
            hidden: false,
        };
        assert_eq!(column_row(&column, 1).len() + 3, width(COLUMNS));
        assert!(types().iter().all(|row| row.len() == width(TYPES)));
    }
}

//! DESCRIBE INPUT, DESCRIBE OUTPUT.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray};
use futures::StreamExt;
use futures::stream;
use waterbear_dialect::{
    DescribedColumn, ExplainKind, SessionStatement, Statement, WriteAction, describe_input,
    describe_output,
};
use waterbear_protocol::{ErrorCode, Failure};
use waterbear_types::TrinoType;

use super::super::run_metadata;
use super::{SessionScope, list};
use crate::query::{Output, OutputColumn};

/// The types of a statement's parameters.
pub(super) async fn input(
    parameters: usize,
    statement: &Statement,
    with_nulls: &Statement,
    scope: SessionScope<'_>,
) -> Result<Output, Failure> {
    let types =
        describe_input(parameters, statement, with_nulls, scope.state, scope.context).await?;
    let positions = Int64Array::from_iter_values((0..).take(types.len()));
    let shown = |found: &Option<TrinoType>| match found {
        Some(found) => found.listing(),
        None => "unknown".to_owned(),
    };
    let types: StringArray = types.iter().map(|found| Some(shown(found))).collect();
    rows(vec![("Position", "bigint", Arc::new(positions)), ("Type", "varchar", Arc::new(types))])
}

/// The columns that a statement gives.
pub(super) async fn output(
    statement: &Statement,
    scope: SessionScope<'_>,
) -> Result<Output, Failure> {
    let columns = match statement {
        Statement::Query(query) => describe_output(query, scope.state, scope.context).await?,
        Statement::Metadata(statement) => {
            let output = run_metadata(statement, scope.catalogs, scope.context).await?;
            output.columns.into_iter().map(computed).collect()
        }
        Statement::Write(statement) => match &statement.action {
            WriteAction::CreateTableAs { query, .. } | WriteAction::Insert { query, .. } => {
                describe_output(query, scope.state, scope.context).await?;
                vec![number_of_rows()]
            }
            WriteAction::Delete { .. } => vec![number_of_rows()],
            _ => Vec::new(),
        },
        Statement::Explain(explain) => vec![match explain.kind {
            ExplainKind::Validate => plain("Valid", TrinoType::Plain("boolean")),
            _ => plain("Query Plan", TrinoType::Varchar(None)),
        }],
        Statement::Session(SessionStatement::ShowSession { like }) => {
            let output = list::show(like.as_ref(), scope.context)?;
            output.columns.into_iter().map(computed).collect()
        }
        Statement::Session(_) | Statement::Call(_) => Vec::new(),
        Statement::ShowStats(_) => {
            let message = "DESCRIBE OUTPUT of SHOW STATS is not supported";
            return Err(Failure::new(ErrorCode::NOT_SUPPORTED, message));
        }
    };
    let text = |value: &dyn Fn(&DescribedColumn) -> String| -> ArrayRef {
        Arc::new(columns.iter().map(|column| Some(value(column))).collect::<StringArray>())
    };
    let part = |number: usize| {
        text(&|column| {
            column.table.as_ref().map_or_else(String::new, |table| table[number].clone())
        })
    };
    let sizes = Int64Array::from_iter_values(columns.iter().map(|column| size(&column.trino_type)));
    let aliased: BooleanArray = columns.iter().map(|column| Some(column.aliased)).collect();
    rows(vec![
        ("Column Name", "varchar", text(&|column| column.name.clone())),
        ("Catalog", "varchar", part(0)),
        ("Schema", "varchar", part(1)),
        ("Table", "varchar", part(2)),
        ("Type", "varchar", text(&|column| column.trino_type.listing())),
        ("Type Size", "bigint", Arc::new(sizes)),
        ("Aliased", "boolean", Arc::new(aliased)),
    ])
}

fn computed(column: OutputColumn) -> DescribedColumn {
    let OutputColumn { name, trino_type } = column;
    DescribedColumn { name, table: None, trino_type, aliased: false }
}

fn plain(name: &str, trino_type: TrinoType) -> DescribedColumn {
    computed(OutputColumn { name: name.to_owned(), trino_type })
}

/// What statements give that write.
fn number_of_rows() -> DescribedColumn {
    plain("rows", TrinoType::Plain("bigint"))
}

/// The bytes of a value in Trino's memory; zero where they differ from value to value.
fn size(trino_type: &TrinoType) -> i64 {
    match trino_type {
        TrinoType::Plain(name) => match *name {
            "boolean" | "tinyint" | "unknown" => 1,
            "smallint" => 2,
            "integer" | "real" | "date" | "interval year to month" => 4,
            "bigint" | "double" | "interval day to second" => 8,
            "uuid" | "ipaddress" => 16,
            _ => 0,
        },
        TrinoType::Decimal(precision, _) => {
            if *precision <= 18 {
                8
            } else {
                16
            }
        }
        TrinoType::Time(_) => 8,
        TrinoType::Timestamp(precision) => {
            if *precision <= 6 {
                8
            } else {
                12
            }
        }
        TrinoType::TimestampWithTimeZone(precision) => {
            if *precision <= 3 {
                8
            } else {
                12
            }
        }
        _ => 0,
    }
}

fn rows(columns: Vec<(&str, &'static str, ArrayRef)>) -> Result<Output, Failure> {
    let shown = |(name, trino_type, _): &(&str, &'static str, ArrayRef)| OutputColumn {
        name: (*name).to_owned(),
        trino_type: match *trino_type {
            "varchar" => TrinoType::Varchar(None),
            plain => TrinoType::Plain(plain),
        },
    };
    let output_columns = columns.iter().map(shown).collect();
    let batch =
        RecordBatch::try_from_iter(columns.into_iter().map(|(name, _, values)| (name, values)))
            .map_err(|error| Failure::new(ErrorCode::GENERIC_INTERNAL_ERROR, error.to_string()))?;
    Ok(Output::rows(output_columns, stream::iter([Ok(batch)]).boxed()))
}

//! The TPC-H tables at any scale, generated while they are read.
//!
//! Schema `tiny` has scale factor 0.01, `sfX` has X; columns, types and properties are those of
//! Trino's tpch connector.

mod columns;
mod generate;
mod scan;
mod schema;
mod statistics;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::{
    catalog::{Session, TableProvider},
    common::Statistics,
    error::Result,
    logical_expr::{Expr, TableType},
    physical_plan::ExecutionPlan,
};

pub use scan::{PartRange, Scan, TpchScanExec};
pub use schema::{ColumnNaming, DoubleTypeMapping, Scale, Table};

use crate::{
    connector::{Column, Connector, ConnectorError, ConnectorTable},
    properties::Properties,
};

const COLUMN_NAMING: &str = "tpch.column-naming";
const DOUBLE_TYPE_MAPPING: &str = "tpch.double-type-mapping";

/// Trino's other properties: hints for its own scheduler, which change no answer.
const IGNORED: [&str; 5] = [
    "tpch.max-rows-per-page",
    "tpch.partitioning-enabled",
    "tpch.predicate-pushdown-enabled",
    "tpch.produce-pages",
    "tpch.splits-per-node",
];

/// The schemas that are listed; every other scale can be named.
const SCHEMAS: [&str; 10] =
    ["sf1", "sf10", "sf100", "sf1000", "sf10000", "sf100000", "sf300", "sf3000", "sf30000", "tiny"];

/// The connector `tpch`.
#[derive(Debug)]
pub struct TpchConnector {
    naming: ColumnNaming,
    doubles: DoubleTypeMapping,
}

impl TpchConnector {
    pub(crate) fn create(mut properties: Properties<'_>) -> Result<Self, Vec<String>> {
        let namings =
            [("SIMPLIFIED", ColumnNaming::Simplified), ("STANDARD", ColumnNaming::Standard)];
        let mappings =
            [("DOUBLE", DoubleTypeMapping::Double), ("DECIMAL", DoubleTypeMapping::Decimal)];
        let naming = properties.take_choice(COLUMN_NAMING, &namings, ColumnNaming::default());
        let doubles =
            properties.take_choice(DOUBLE_TYPE_MAPPING, &mappings, DoubleTypeMapping::default());
        for name in IGNORED {
            properties.ignore(name, "scans are divided by their size");
        }
        properties.finish(&[COLUMN_NAMING, DOUBLE_TYPE_MAPPING])?;
        Ok(Self { naming, doubles })
    }
}

fn scale_of(schema: &str) -> Result<Scale, ConnectorError> {
    Scale::of_schema(schema)
        .ok_or_else(|| ConnectorError::SchemaNotFound { schema: schema.to_owned() })
}

#[async_trait]
impl Connector for TpchConnector {
    fn name(&self) -> &'static str {
        "tpch"
    }

    async fn schemas(&self) -> Result<Vec<String>, ConnectorError> {
        Ok(SCHEMAS.map(str::to_owned).to_vec())
    }

    async fn tables(&self, schema: &str) -> Result<Vec<String>, ConnectorError> {
        scale_of(schema)?;
        Ok(Table::ALL.map(|table| table.name().to_owned()).to_vec())
    }

    async fn table(
        &self,
        schema: &str,
        table: &str,
    ) -> Result<Option<Arc<dyn ConnectorTable>>, ConnectorError> {
        let scale = scale_of(schema)?;
        Ok(Table::of_name(table).map(|table| {
            let columns = table.columns(self.naming, self.doubles);
            let provider = TpchTableProvider {
                table,
                scale,
                naming: self.naming,
                doubles: self.doubles,
                schema: table.schema(self.naming, self.doubles),
            };
            Arc::new(TpchTable { columns, provider: Arc::new(provider) }) as Arc<dyn ConnectorTable>
        }))
    }
}

#[derive(Debug)]
struct TpchTable {
    columns: Vec<Column>,
    provider: Arc<TpchTableProvider>,
}

impl ConnectorTable for TpchTable {
    fn columns(&self) -> &[Column] {
        &self.columns
    }

    fn provider(&self) -> Arc<dyn TableProvider> {
        Arc::clone(&self.provider) as Arc<dyn TableProvider>
    }
}

/// What DataFusion plans a [`TpchScanExec`] with.
#[derive(Debug)]
struct TpchTableProvider {
    table: Table,
    scale: Scale,
    naming: ColumnNaming,
    doubles: DoubleTypeMapping,
    schema: SchemaRef,
}

#[async_trait]
impl TableProvider for TpchTableProvider {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn statistics(&self) -> Option<Statistics> {
        let parts = PartRange { from: 0, to: self.table.parts(self.scale) };
        let all = (0..self.schema.fields().len()).collect();
        let scan = self.scan_of(all, None, vec![parts]);
        Some(statistics::of(&scan, &scan.partitions))
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let parts = self.table.parts(self.scale);
        let partitions = state.config().target_partitions().clamp(1, parts as usize);
        let projection =
            projection.cloned().unwrap_or_else(|| (0..self.schema.fields().len()).collect());
        let ranges = PartRange { from: 0, to: parts }.divide(partitions).collect();
        let scan = self.scan_of(projection, limit, ranges);
        Ok(Arc::new(TpchScanExec::try_new(scan)?))
    }
}

impl TpchTableProvider {
    fn scan_of(
        &self,
        projection: Vec<usize>,
        limit: Option<usize>,
        partitions: Vec<PartRange>,
    ) -> Scan {
        let Self { table, scale, naming, doubles, .. } = *self;
        Scan { table, scale, naming, doubles, projection, limit, partitions }
    }
}

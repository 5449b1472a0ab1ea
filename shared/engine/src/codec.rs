//! Plans as bytes: DataFusion's protobuf, and for what that lacks a message of our own.

use std::collections::HashSet;
use std::sync::{Arc, OnceLock};

use arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, plan_datafusion_err};
use datafusion::error::DataFusionError;
use datafusion::execution::TaskContext;
use datafusion::physical_expr::{AcrossPartitions, LexOrdering};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::recursive_query::RecursiveQueryExec;
use datafusion::physical_plan::work_table::WorkTableExec;
use datafusion_proto::bytes::{
    physical_plan_from_bytes_with_proto_converter, physical_plan_to_bytes_with_proto_converter,
};
use datafusion_proto::physical_plan::from_proto::parse_physical_sort_exprs;
use datafusion_proto::physical_plan::to_proto::serialize_physical_sort_exprs;
use datafusion_proto::physical_plan::{
    DeduplicatingProtoConverter, PhysicalExtensionCodec, PhysicalPlanDecodeContext,
    PhysicalProtoConverterExtension,
};
use datafusion_proto::protobuf;
use prost::Message;
use waterbear_connector::{files, scan};
use waterbear_protocol::{ErrorCode, Failure};

use crate::exchange_source::{Claims, EqualColumns, ExchangeSourceExec};

/// More partitions than any plan has; a larger number in a message is damage, not a plan.
const MAX_PARTITIONS: u32 = 1 << 16;

/// Encodes a task's plan.
///
/// # Errors
/// `NotImplemented` with the operator's name for what cannot travel.
pub fn encode_plan(plan: &Arc<dyn ExecutionPlan>) -> Result<Vec<u8>> {
    refuse_losses(plan)?;
    let converter = DeduplicatingProtoConverter {};
    let codec = PlanCodec::default();
    let bytes = physical_plan_to_bytes_with_proto_converter(Arc::clone(plan), &codec, &converter);
    match (bytes, codec.refused.get()) {
        (Ok(bytes), _) => readable(bytes.into()),
        // DataFusion wraps the refusal in a dump of the whole plan.
        (Err(_), Some(operator)) => Err(DataFusionError::NotImplemented(format!(
            "The operator {operator} is not supported: it cannot run on a worker yet"
        ))),
        (Err(error), None) => Err(error),
    }
}

/// The message, unless it is nested deeper than a worker would read.
fn readable(message: Vec<u8>) -> Result<Vec<u8>> {
    match protobuf::PhysicalPlanNode::decode(message.as_slice()) {
        Ok(_) => Ok(message),
        Err(error) => {
            let message = format!("The query is nested too deeply for a worker: {error}");
            let failure = Failure::new(ErrorCode::QUERY_EXCEEDED_COMPILER_LIMIT, message);
            Err(DataFusionError::External(Box::new(failure)))
        }
    }
}

/// Refuses what DataFusion's protobuf would silently lose.
fn refuse_losses(plan: &Arc<dyn ExecutionPlan>) -> Result<()> {
    plan.apply(|node| {
        let groups = node.downcast_ref::<AggregateExec>().map(AggregateExec::group_expr);
        // The sets are written one after the other, and told apart by the number of columns.
        if groups.is_some_and(|by| by.expr().is_empty() && by.groups().len() > 1) {
            let message = "GROUPING SETS of empty sets alone are not supported".to_owned();
            return Err(DataFusionError::NotImplemented(message));
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(())
}

/// Decodes a task's plan.
///
/// # Errors
/// For bytes that are not a plan of this build.
pub fn decode_plan(bytes: &[u8], context: &TaskContext) -> Result<Arc<dyn ExecutionPlan>> {
    let converter = DeduplicatingProtoConverter {};
    let codec = PlanCodec::default();
    let plan = physical_plan_from_bytes_with_proto_converter(bytes, context, &codec, &converter)?;
    files::guarded(plan, &context.runtime_env())
}

/// An operator that DataFusion's protobuf does not have. What is below it travels beside it.
#[derive(Clone, PartialEq, Message)]
struct OperatorMessage {
    #[prost(oneof = "Operator", tags = "1, 2, 3, 4")]
    operator: Option<Operator>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Operator {
    #[prost(message, tag = "1")]
    ExchangeSource(ExchangeSourceMessage),
    /// A connector's scan, in the connector's own encoding.
    #[prost(bytes, tag = "2")]
    Scan(Vec<u8>),
    #[prost(message, tag = "3")]
    RecursiveQuery(RecursiveQueryMessage),
    #[prost(message, tag = "4")]
    WorkTable(WorkTableMessage),
}

/// A recursive query; its terms travel as its inputs.
#[derive(Clone, PartialEq, Message)]
struct RecursiveQueryMessage {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    schema: Option<protobuf::Schema>,
    #[prost(bool, tag = "3")]
    is_distinct: bool,
}

/// The rows of the iteration before; bound by name to the recursive query above it.
#[derive(Clone, PartialEq, Message)]
struct WorkTableMessage {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    schema: Option<protobuf::Schema>,
}

#[derive(Clone, PartialEq, Message)]
struct ExchangeSourceMessage {
    #[prost(uint32, tag = "1")]
    input: u32,
    #[prost(uint32, tag = "2")]
    partitions: u32,
    #[prost(message, optional, tag = "3")]
    schema: Option<protobuf::Schema>,
    #[prost(message, repeated, tag = "4")]
    orderings: Vec<protobuf::PhysicalSortExprNodeCollection>,
    #[prost(message, repeated, tag = "5")]
    equal: Vec<EqualColumnsMessage>,
}

/// Columns with the same value in each row.
#[derive(Clone, PartialEq, Message)]
struct EqualColumnsMessage {
    #[prost(uint32, repeated, tag = "1")]
    columns: Vec<u32>,
    #[prost(enumeration = "Constant", tag = "2")]
    constant: i32,
}

/// Where that value is the same for all rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
enum Constant {
    Nowhere = 0,
    InEachPartition = 1,
    Everywhere = 2,
}

/// Carries the operators that DataFusion's protobuf does not have.
#[derive(Debug, Default)]
struct PlanCodec {
    /// The first operator that cannot be encoded.
    refused: OnceLock<String>,
}

impl PhysicalExtensionCodec for PlanCodec {
    fn try_decode(
        &self,
        buf: &[u8],
        inputs: &[Arc<dyn ExecutionPlan>],
        ctx: &TaskContext,
        proto_converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let message = OperatorMessage::decode(buf)
            .map_err(|error| plan_datafusion_err!("an operator of the plan is damaged: {error}"))?;
        match message.operator {
            Some(Operator::ExchangeSource(source)) => {
                decode_exchange_source(&source, ctx, proto_converter)
            }
            Some(Operator::Scan(bytes)) => scan::decode(&bytes),
            Some(Operator::RecursiveQuery(query)) => decode_recursive_query(query, inputs),
            Some(Operator::WorkTable(table)) => {
                let schema = decode_schema(table.schema.as_ref(), "a work table")?;
                Ok(Arc::new(WorkTableExec::new(table.name, schema, None)?))
            }
            None => Err(plan_datafusion_err!("an operator of the plan has no kind")),
        }
    }

    fn try_encode(
        &self,
        node: Arc<dyn ExecutionPlan>,
        buf: &mut Vec<u8>,
        proto_converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<()> {
        let operator = if let Some(source) = node.downcast_ref::<ExchangeSourceExec>() {
            Operator::ExchangeSource(encode_exchange_source(source, proto_converter)?)
        } else if let Some(bytes) = scan::encode(&node) {
            Operator::Scan(bytes)
        } else if let Some(query) = node.downcast_ref::<RecursiveQueryExec>() {
            let schema = node.schema();
            let names: HashSet<&String> =
                schema.fields().iter().map(|field| field.name()).collect();
            if names.len() < schema.fields().len() {
                let reason = "RecursiveQueryExec with columns of the same name".to_owned();
                let operator = self.refused.get_or_init(|| reason);
                return Err(DataFusionError::NotImplemented(operator.clone()));
            }
            Operator::RecursiveQuery(RecursiveQueryMessage {
                name: query.name().to_owned(),
                schema: Some(schema.as_ref().try_into()?),
                is_distinct: query.is_distinct(),
            })
        } else if let Some(table) = node.downcast_ref::<WorkTableExec>() {
            Operator::WorkTable(WorkTableMessage {
                name: table.name().to_owned(),
                schema: Some(table.schema().as_ref().try_into()?),
            })
        } else {
            let operator = self.refused.get_or_init(|| node.name().to_owned());
            return Err(DataFusionError::NotImplemented(operator.clone()));
        };
        OperatorMessage { operator: Some(operator) }.encode(buf).map_err(|error| {
            plan_datafusion_err!("an operator of the plan cannot be encoded: {error}")
        })
    }
}

fn encode_exchange_source(
    source: &ExchangeSourceExec,
    proto_converter: &dyn PhysicalProtoConverterExtension,
) -> Result<ExchangeSourceMessage> {
    let properties = source.properties();
    let claims = Claims::of(properties.equivalence_properties());
    let orderings = claims.orderings.into_iter().map(|ordering| {
        let codec = PlanCodec::default();
        let physical_sort_expr_nodes =
            serialize_physical_sort_exprs(ordering, &codec, proto_converter)?;
        Ok(protobuf::PhysicalSortExprNodeCollection { physical_sort_expr_nodes })
    });
    let equal = claims.equal.into_iter().map(|class| {
        let constant = match class.constant {
            None => Constant::Nowhere,
            Some(AcrossPartitions::Heterogeneous) => Constant::InEachPartition,
            Some(AcrossPartitions::Uniform(_)) => Constant::Everywhere,
        };
        let columns = class.columns.into_iter().map(|index| index as u32).collect();
        EqualColumnsMessage { columns, constant: constant.into() }
    });
    Ok(ExchangeSourceMessage {
        input: source.input() as u32,
        partitions: properties.output_partitioning().partition_count() as u32,
        schema: Some(source.schema().as_ref().try_into()?),
        orderings: orderings.collect::<Result<_>>()?,
        equal: equal.collect(),
    })
}

/// The recursive query over its terms; it binds the work table inside to itself.
///
/// A work table keeps to itself which of the query's columns it gives: their names tell.
fn decode_recursive_query(
    message: RecursiveQueryMessage,
    inputs: &[Arc<dyn ExecutionPlan>],
) -> Result<Arc<dyn ExecutionPlan>> {
    let schema = decode_schema(message.schema.as_ref(), "a recursive query")?;
    let [first, recursive] = inputs else {
        return Err(plan_datafusion_err!("a recursive query has {} terms", inputs.len()));
    };
    let first = Arc::clone(first);
    let recursive = Arc::clone(recursive).transform_down(|node| {
        match node.downcast_ref::<WorkTableExec>().filter(|table| table.name() == message.name) {
            Some(table) => Ok(Transformed::yes(Arc::new(projected(table, &schema)?) as _)),
            None => Ok(Transformed::no(node)),
        }
    })?;
    let recursive = recursive.data;
    let query =
        RecursiveQueryExec::try_new(message.name, schema, first, recursive, message.is_distinct)?;
    Ok(Arc::new(query))
}

/// The work table that gives those columns of a recursive query's rows that `table` names.
fn projected(table: &WorkTableExec, rows: &Schema) -> Result<WorkTableExec> {
    // What the recursive term reads may always be NULL, whatever the first term gives.
    let nullable = rows.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
    let rows = Schema::new(nullable.collect::<Vec<_>>());
    let wanted = table.schema();
    let places = wanted.fields().iter().map(|field| rows.index_of(field.name()));
    let places = places.collect::<Result<Vec<_>, _>>()?;
    let whole = places.iter().copied().eq(0..rows.fields().len());
    let projection = (!whole).then_some(places);
    WorkTableExec::new(table.name().to_owned(), Arc::new(rows), projection)
}

fn decode_schema(schema: Option<&protobuf::Schema>, of: &str) -> Result<SchemaRef> {
    let schema = schema.ok_or_else(|| plan_datafusion_err!("{of} has no schema"))?;
    let schema: Schema = schema.try_into()?;
    Ok(Arc::new(schema))
}

fn decode_exchange_source(
    message: &ExchangeSourceMessage,
    ctx: &TaskContext,
    proto_converter: &dyn PhysicalProtoConverterExtension,
) -> Result<Arc<dyn ExecutionPlan>> {
    let schema = decode_schema(message.schema.as_ref(), "an exchange source")?;
    if message.partitions > MAX_PARTITIONS {
        return Err(plan_datafusion_err!(
            "an exchange source of {} partitions is not a plan",
            message.partitions
        ));
    }
    let codec = PlanCodec::default();
    let context = PhysicalPlanDecodeContext::new(ctx, &codec);
    let orderings = message.orderings.iter().filter_map(|ordering| {
        let nodes = &ordering.physical_sort_expr_nodes;
        let parsed = parse_physical_sort_exprs(nodes, &context, &schema, proto_converter);
        parsed.map(LexOrdering::new).transpose()
    });
    let orderings = orderings.collect::<Result<_>>()?;
    let equal = message.equal.iter().map(|class| EqualColumns {
        columns: class.columns.iter().map(|index| *index as usize).collect(),
        constant: match class.constant() {
            Constant::Nowhere => None,
            Constant::InEachPartition => Some(AcrossPartitions::Heterogeneous),
            Constant::Everywhere => Some(AcrossPartitions::Uniform(None)),
        },
    });
    let claims = Claims { orderings, equal: equal.collect() };
    let (input, partitions) = (message.input as usize, message.partitions as usize);
    Ok(Arc::new(ExchangeSourceExec::claiming(input, schema, partitions, claims)?))
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::{DataType, Field};
    use arrow::util::pretty::pretty_format_batches;
    use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
    use datafusion::physical_plan::collect;
    use datafusion::physical_plan::empty::EmptyExec;
    use datafusion::physical_plan::streaming::StreamingTableExec;
    use datafusion::prelude::SessionContext;

    use super::*;

    #[test]
    fn an_operator_that_cannot_travel_is_refused_by_its_name_alone() {
        let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, true)]));
        let plan = StreamingTableExec::try_new(schema, vec![], None, [], false, None).unwrap();
        let error = encode_plan(&(Arc::new(plan) as Arc<dyn ExecutionPlan>)).unwrap_err();
        assert!(matches!(error, DataFusionError::NotImplemented(_)), "{error}");
        let text = error.to_string();
        assert!(text.contains("StreamingTableExec") && text.len() < 200, "{text}");
    }

    /// The rows of a query here, and of its plan after a journey.
    async fn both_ways(sql: &str) -> (String, String) {
        let context = SessionContext::new();
        let plan = context.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
        let bytes = encode_plan(&plan).unwrap();
        let decoded = decode_plan(&bytes, &context.task_ctx()).unwrap();
        let mut rows = Vec::new();
        for plan in [plan, decoded] {
            let batches = collect(plan, context.task_ctx()).await.unwrap();
            rows.push(pretty_format_batches(&batches).unwrap().to_string());
        }
        let after = rows.pop().unwrap();
        (rows.pop().unwrap(), after)
    }

    #[tokio::test]
    async fn recursive_queries_travel() {
        for sql in [
            "WITH RECURSIVE t(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM t WHERE n < 5) \
             SELECT sum(n) FROM t",
            // Distinct: without it this would never end.
            "WITH RECURSIVE t(n) AS (SELECT 1 UNION SELECT 3 - n FROM t) SELECT n FROM t ORDER BY n",
            // The recursive term reads the second column alone.
            "WITH RECURSIVE t(a, b, c) AS (SELECT 1, 10, 'x' UNION ALL \
             SELECT 7, b + 1, 'y' FROM t WHERE b < 13) SELECT a, b, c FROM t ORDER BY b",
        ] {
            let (before, after) = both_ways(sql).await;
            assert_eq!(before, after, "{sql}");
            assert!(before.lines().count() > 4, "{before}");
        }
    }

    #[test]
    fn a_plan_that_a_worker_could_not_read_is_refused() {
        let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, true)]));
        let mut plan = Arc::new(EmptyExec::new(schema)) as Arc<dyn ExecutionPlan>;
        for _ in 0..20 {
            plan = Arc::new(CoalescePartitionsExec::new(plan));
        }
        assert!(encode_plan(&plan).is_ok());
        for _ in 0..100 {
            plan = Arc::new(CoalescePartitionsExec::new(plan));
        }
        let DataFusionError::External(error) = encode_plan(&plan).unwrap_err() else { panic!() };
        let failure = error.downcast_ref::<Failure>().unwrap();
        assert_eq!(failure.code, ErrorCode::QUERY_EXCEEDED_COMPILER_LIMIT);
    }

    #[test]
    fn recursive_queries_with_equal_names_are_refused() {
        let field = |name: &str| Field::new(name, DataType::Int64, true);
        let schema = Arc::new(Schema::new(vec![field("a"), field("a")]));
        let term = || Arc::new(EmptyExec::new(Arc::clone(&schema))) as Arc<dyn ExecutionPlan>;
        let name = "t".to_owned();
        let plan = RecursiveQueryExec::try_new(name, Arc::clone(&schema), term(), term(), false);
        let plan = Arc::new(plan.unwrap()) as Arc<dyn ExecutionPlan>;
        let error = encode_plan(&plan).unwrap_err().to_string();
        assert!(error.contains("columns of the same name"), "{error}");
    }
}

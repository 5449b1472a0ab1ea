//! Plans as bytes: DataFusion's protobuf, and for the leaves that are ours a message of our own.

use std::sync::{Arc, OnceLock};

use arrow::datatypes::Schema;
use datafusion::common::{Result, plan_datafusion_err};
use datafusion::error::DataFusionError;
use datafusion::execution::TaskContext;
use datafusion::physical_expr::LexOrdering;
use datafusion::physical_plan::ExecutionPlan;
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
use waterbear_connector::scan;

use crate::exchange_source::ExchangeSourceExec;

/// More partitions than any plan has; a larger number in a message is damage, not a plan.
const MAX_PARTITIONS: u32 = 1 << 16;

/// Encodes a task's plan.
///
/// # Errors
/// `NotImplemented` with the operator's name for what cannot travel.
pub fn encode_plan(plan: &Arc<dyn ExecutionPlan>) -> Result<Vec<u8>> {
    let converter = DeduplicatingProtoConverter {};
    let codec = PlanCodec::default();
    let bytes = physical_plan_to_bytes_with_proto_converter(Arc::clone(plan), &codec, &converter);
    match (bytes, codec.refused.get()) {
        (Ok(bytes), _) => Ok(bytes.into()),
        // DataFusion wraps the refusal in a dump of the whole plan.
        (Err(_), Some(operator)) => Err(DataFusionError::NotImplemented(format!(
            "The operator {operator} is not supported: it cannot run on a worker yet"
        ))),
        (Err(error), None) => Err(error),
    }
}

/// Decodes a task's plan.
///
/// # Errors
/// For bytes that are not a plan of this build.
pub fn decode_plan(bytes: &[u8], context: &TaskContext) -> Result<Arc<dyn ExecutionPlan>> {
    let converter = DeduplicatingProtoConverter {};
    physical_plan_from_bytes_with_proto_converter(bytes, context, &PlanCodec::default(), &converter)
}

/// A leaf of ours on the wire.
#[derive(Clone, PartialEq, Message)]
struct LeafMessage {
    #[prost(oneof = "Leaf", tags = "1, 2")]
    leaf: Option<Leaf>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Leaf {
    #[prost(message, tag = "1")]
    ExchangeSource(ExchangeSourceMessage),
    /// A connector's scan, in the connector's own encoding.
    #[prost(bytes, tag = "2")]
    Scan(Vec<u8>),
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
    ordering: Vec<protobuf::PhysicalSortExprNode>,
}

/// Carries the leaves that DataFusion does not know.
#[derive(Debug, Default)]
struct PlanCodec {
    /// The first operator that cannot be encoded.
    refused: OnceLock<String>,
}

impl PhysicalExtensionCodec for PlanCodec {
    fn try_decode(
        &self,
        buf: &[u8],
        _inputs: &[Arc<dyn ExecutionPlan>],
        ctx: &TaskContext,
        proto_converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let message = LeafMessage::decode(buf)
            .map_err(|error| plan_datafusion_err!("a leaf of the plan is damaged: {error}"))?;
        match message.leaf {
            Some(Leaf::ExchangeSource(source)) => {
                decode_exchange_source(&source, ctx, proto_converter)
            }
            Some(Leaf::Scan(bytes)) => scan::decode(&bytes),
            None => Err(plan_datafusion_err!("a leaf of the plan has no kind")),
        }
    }

    fn try_encode(
        &self,
        node: Arc<dyn ExecutionPlan>,
        buf: &mut Vec<u8>,
        proto_converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<()> {
        let leaf = if let Some(source) = node.downcast_ref::<ExchangeSourceExec>() {
            Leaf::ExchangeSource(encode_exchange_source(source, proto_converter)?)
        } else if let Some(bytes) = scan::encode(&node) {
            Leaf::Scan(bytes)
        } else {
            let operator = self.refused.get_or_init(|| node.name().to_owned());
            return Err(DataFusionError::NotImplemented(operator.clone()));
        };
        LeafMessage { leaf: Some(leaf) }
            .encode(buf)
            .map_err(|error| plan_datafusion_err!("a leaf of the plan cannot be encoded: {error}"))
    }
}

fn encode_exchange_source(
    source: &ExchangeSourceExec,
    proto_converter: &dyn PhysicalProtoConverterExtension,
) -> Result<ExchangeSourceMessage> {
    let properties = source.properties();
    let ordering = properties.output_ordering().into_iter().flat_map(|o| o.iter().cloned());
    Ok(ExchangeSourceMessage {
        input: source.input() as u32,
        partitions: properties.output_partitioning().partition_count() as u32,
        schema: Some(source.schema().as_ref().try_into()?),
        ordering: serialize_physical_sort_exprs(ordering, &PlanCodec::default(), proto_converter)?,
    })
}

fn decode_exchange_source(
    message: &ExchangeSourceMessage,
    ctx: &TaskContext,
    proto_converter: &dyn PhysicalProtoConverterExtension,
) -> Result<Arc<dyn ExecutionPlan>> {
    let schema = message
        .schema
        .as_ref()
        .ok_or_else(|| plan_datafusion_err!("an exchange source has no schema"))?;
    let schema: Schema = schema.try_into()?;
    if message.partitions > MAX_PARTITIONS {
        return Err(plan_datafusion_err!(
            "an exchange source of {} partitions is not a plan",
            message.partitions
        ));
    }
    let codec = PlanCodec::default();
    let context = PhysicalPlanDecodeContext::new(ctx, &codec);
    let ordering =
        parse_physical_sort_exprs(&message.ordering, &context, &schema, proto_converter)?;
    Ok(Arc::new(ExchangeSourceExec::new(
        message.input as usize,
        Arc::new(schema),
        message.partitions as usize,
        LexOrdering::new(ordering),
    )))
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::{DataType, Field};
    use datafusion::physical_plan::work_table::WorkTableExec;

    use super::*;

    #[test]
    fn an_operator_that_cannot_travel_is_refused_by_its_name_alone() {
        let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, true)]));
        let plan = WorkTableExec::new("t".to_owned(), schema, None).unwrap();
        let error = encode_plan(&(Arc::new(plan) as Arc<dyn ExecutionPlan>)).unwrap_err();
        assert!(matches!(error, DataFusionError::NotImplemented(_)), "{error}");
        let text = error.to_string();
        assert!(text.contains("WorkTableExec") && text.len() < 200, "{text}");
    }
}

//! A task that is told to fail while it runs.

use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::{StreamExt, stream};
use waterbear_faults::{Fault, Point};
use waterbear_ids::AttemptId;
use waterbear_protocol::Failure;

/// The output of one of the attempt's partitions; where a fault is planned, it fails behind its
/// first batch.
pub fn with_faults(
    attempt: &AttemptId,
    output: SendableRecordBatchStream,
) -> SendableRecordBatchStream {
    let Some(Fault::Error(code)) = waterbear_faults::at(Point::Task, attempt) else {
        return output;
    };
    let failure = Failure::new(code, format!("a fault was injected into task {attempt}"));
    let schema = output.schema();
    let end = stream::once(async { Err(DataFusionError::External(Box::new(failure))) });
    Box::pin(RecordBatchStreamAdapter::new(schema, output.take(1).chain(end)))
}

//! Where a task's exchange sources read.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use futures::StreamExt;
use futures::stream::BoxStream;
use waterbear_engine::{ByteCounter, InputStreams};
use waterbear_exchange::{ExchangeReader, Fetch, HeldBytes, ReaderOptions, Source};
use waterbear_protocol::task::{Producer, TaskInput};
use waterbear_protocol::{ErrorCode, Failure};

/// The producers of one task, read over the network, out of this worker, or in the spool.
pub(super) struct RemoteInputs {
    pub(super) fetch: Arc<dyn Fetch>,
    pub(super) producers: Vec<Arc<Producer>>,
    pub(super) inputs: Vec<TaskInput>,
    pub(super) options: ReaderOptions,
}

impl std::fmt::Debug for RemoteInputs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RemoteInputs").field("inputs", &self.inputs).finish_non_exhaustive()
    }
}

impl RemoteInputs {
    fn sources(&self, input: usize, partition: usize) -> Result<Vec<Source>, Failure> {
        let sources = self.inputs.get(input).and_then(|input| input.partitions.get(partition));
        let sources = sources.ok_or_else(|| {
            mismatch(format!("the plan reads partition {partition} of input {input}"))
        })?;
        let named = sources.iter().map(|source| {
            let producer = self.producers.get(source.producer as usize);
            let producer = producer
                .ok_or_else(|| mismatch(format!("an input names producer {}", source.producer)))?;
            let (partition, reader) = (source.partition, source.reader);
            Ok(Source { producer: Arc::clone(producer), partition, reader })
        });
        named.collect()
    }
}

fn mismatch(what: String) -> Failure {
    let text = format!("{what}, which the task's request does not have");
    Failure::new(ErrorCode::GENERIC_INTERNAL_ERROR, text)
}

impl InputStreams for RemoteInputs {
    fn open(
        &self,
        input: usize,
        partition: usize,
        schema: SchemaRef,
        held: ByteCounter,
    ) -> BoxStream<'static, Result<RecordBatch, Failure>> {
        match self.sources(input, partition) {
            Ok(sources) => {
                let held = HeldBytes::counted_by(held);
                let options = ReaderOptions { held, ..self.options.clone() };
                let fetch = Arc::clone(&self.fetch);
                ExchangeReader::over(fetch, sources, schema, &options)
                    .map(|batch| batch.map_err(Failure::from))
                    .boxed()
            }
            Err(failure) => futures::stream::once(async { Err(failure) }).boxed(),
        }
    }
}

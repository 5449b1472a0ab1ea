//! Runs one fragment of a query over its inputs, on DataFusion; plan codec, memory pool, CPU runtime.
//!
//! Layout: [`Engine`] owns what all tasks of a node share (threads, memory, spill folder);
//! [`prepared`] is one task's plan, ready to run; [`exchange_source`] is the leaf that stands for
//! another stage's output; [`codec`] moves plans between nodes; [`memory`] counts what each task
//! holds; `guards` keeps operators from what they must not do.

pub mod codec;
pub mod exchange_source;
mod guards;
pub mod memory;
pub mod prepared;

use std::path::PathBuf;
use std::sync::Arc;

use datafusion::config::ConfigOptions;
use datafusion::execution::TaskContext;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::MemoryPool;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionConfig;
use waterbear_ids::AttemptId;
use waterbear_protocol::task::TaskSession;
use waterbear_protocol::{ErrorCode, Failure};

pub use codec::{decode_plan, encode_plan};
pub use exchange_source::{ExchangeSourceExec, InputStreams};
pub use memory::{ByteCounter, SpareMemory};
pub use prepared::{PreparedTask, operator_metrics};
pub use waterbear_functions::failure_of;

use crate::exchange_source::TaskInputs;
use crate::memory::{NodeMemory, TaskMemoryPool};

/// Stack of a CPU thread. Plans are trees, and what parses, plans, decodes and drops them goes down
/// to their leaves; only what is used of it takes memory.
const STACK: usize = 64 << 20;

/// What an engine may use of its machine.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// Names the CPU threads, for profiles and debuggers.
    pub name: String,
    /// Bytes that all queries together may hold (`memory.pool-size-per-node`).
    pub memory_limit: usize,
    /// Bytes that all tasks of one query may hold (`query.max-memory-per-node`); at most the above.
    pub query_memory_limit: usize,
    /// CPU threads (`task.max-worker-threads`).
    pub threads: usize,
    /// Folder for operator spill; made with mode 0700 if absent.
    pub spill_dir: PathBuf,
}

/// Why an engine cannot start.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The CPU threads cannot be started.
    #[error("cannot start {threads} engine threads: {source}")]
    Threads {
        /// How many were asked for.
        threads: usize,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The spill folder cannot be used.
    #[error("cannot use {} as spill folder: {source}", path.display())]
    SpillFolder {
        /// The folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// DataFusion refused its settings.
    #[error("cannot set up the query engine: {0}")]
    DataFusion(#[from] datafusion::error::DataFusionError),
}

/// Shared by all tasks of a node: CPU threads, a memory pool, a spill folder.
#[derive(Debug, Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    runtime: Option<tokio::runtime::Runtime>,
    environment: Arc<RuntimeEnv>,
    functions: datafusion::execution::SessionState,
    memory: NodeMemory,
}

impl Drop for Inner {
    fn drop(&mut self) {
        // The last clone may go away on an async thread, where a blocking shutdown would panic.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Engine {
    /// Starts the threads and makes the spill folder.
    ///
    /// # Errors
    /// When threads cannot be started or the spill folder cannot be made.
    pub fn new(options: EngineOptions) -> Result<Self, EngineError> {
        let threads = options.threads.max(1);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name(format!("{}-cpu", options.name))
            .thread_stack_size(STACK)
            .enable_all()
            .build()
            .map_err(|source| EngineError::Threads { threads, source })?;
        make_private_folder(&options.spill_dir).map_err(|source| EngineError::SpillFolder {
            path: options.spill_dir.clone(),
            source,
        })?;
        let disk = DiskManagerBuilder::default()
            .with_mode(DiskManagerMode::Directories(vec![options.spill_dir]));
        let memory = NodeMemory::new(options.memory_limit, options.query_memory_limit);
        let environment = RuntimeEnvBuilder::new()
            .with_memory_pool(memory.pool())
            .with_disk_manager_builder(disk)
            .build_arc()?;
        let functions = waterbear_functions::register(
            SessionStateBuilder::new_with_default_features()
                .with_runtime_env(Arc::clone(&environment)),
        )
        .build();
        let inner = Inner { runtime: Some(runtime), environment, functions, memory };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The runtime of the CPU threads: plans run there and nowhere else, so that status polls
    /// never wait behind a computation.
    pub fn runtime(&self) -> &tokio::runtime::Handle {
        // The runtime is taken only in drop.
        match &self.inner.runtime {
            Some(runtime) => runtime.handle(),
            None => unreachable!("the engine's runtime lives as long as the engine"),
        }
    }

    /// What all tasks share of DataFusion: object stores, caches, disk, the whole pool.
    pub fn environment(&self) -> Arc<RuntimeEnv> {
        Arc::clone(&self.inner.environment)
    }

    /// Bytes held now by all tasks.
    pub fn memory_reserved(&self) -> usize {
        self.inner.memory.reserved()
    }

    /// The memory that no task holds, for caches.
    pub fn spare_memory(&self) -> Arc<SpareMemory> {
        self.inner.memory.spare()
    }

    /// Bytes that all tasks together may hold.
    pub fn memory_limit(&self) -> usize {
        self.inner.memory.limit()
    }

    /// Decodes a task's plan and makes it ready to run. Does not block for long, but is CPU work.
    ///
    /// # Errors
    /// A failure that names what is wrong with the plan.
    pub fn prepare(
        &self,
        attempt: &AttemptId,
        plan: &[u8],
        session: &TaskSession,
        inputs: Arc<dyn InputStreams>,
    ) -> Result<PreparedTask, Failure> {
        let (context, memory) = self.task_context(attempt, session, inputs)?;
        let plan = decode_plan(plan, &context).map_err(|error| {
            let failure = failure_of(&error);
            Failure::new(
                failure.code,
                format!("the task's plan cannot be read: {}", failure.message),
            )
        })?;
        PreparedTask::new(plan, context, memory, session.max_recursion_depth)
    }

    /// Makes a plan of this process ready to run, without a round trip through bytes.
    ///
    /// # Errors
    /// When the session's settings are not DataFusion's.
    pub fn prepare_plan(
        &self,
        attempt: &AttemptId,
        plan: Arc<dyn ExecutionPlan>,
        session: &TaskSession,
        inputs: Arc<dyn InputStreams>,
    ) -> Result<PreparedTask, Failure> {
        let (context, memory) = self.task_context(attempt, session, inputs)?;
        PreparedTask::new(plan, context, memory, session.max_recursion_depth)
    }

    fn task_context(
        &self,
        attempt: &AttemptId,
        session: &TaskSession,
        inputs: Arc<dyn InputStreams>,
    ) -> Result<(Arc<TaskContext>, Arc<TaskMemoryPool>), Failure> {
        let mut options = ConfigOptions::default();
        for (name, value) in &session.settings {
            options.set(name, value).map_err(|error| {
                Failure::new(
                    ErrorCode::GENERIC_INTERNAL_ERROR,
                    format!("the task's setting {name}={value} is not known here: {error}"),
                )
            })?;
        }
        let config = SessionConfig::from(options).with_extension(Arc::new(TaskInputs(inputs)));
        let shared = &self.inner.environment;
        let query = self.inner.memory.query(attempt.query());
        let memory = Arc::new(TaskMemoryPool::new(query));
        let environment = RuntimeEnv {
            memory_pool: Arc::clone(&memory) as Arc<dyn MemoryPool>,
            disk_manager: Arc::clone(&shared.disk_manager),
            cache_manager: Arc::clone(&shared.cache_manager),
            object_store_registry: Arc::clone(&shared.object_store_registry),
        };
        let functions = &self.inner.functions;
        let context = TaskContext::new(
            Some(attempt.to_string()),
            attempt.query().to_string(),
            config,
            functions.scalar_functions().clone(),
            functions.higher_order_functions().clone(),
            functions.aggregate_functions().clone(),
            functions.window_functions().clone(),
            Arc::new(environment),
        );
        Ok((Arc::new(context), memory))
    }
}

/// Makes a folder that only this user can enter.
fn make_private_folder(path: &std::path::Path) -> std::io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700))
}

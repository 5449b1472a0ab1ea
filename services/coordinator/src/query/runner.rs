//! Runs statements: parse, plan, cut, schedule.

mod explain;

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use datafusion::execution::SessionState;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::prelude::SessionConfig;
use futures::{StreamExt, TryStreamExt};
use waterbear_membership::Membership;
use waterbear_protocol::membership::NodeInfo;
use waterbear_protocol::task::TaskSession;
use waterbear_protocol::{ErrorCode, Failure, RetryPolicy};

use super::handle::QueryState;
use super::pad::padded;
use super::{Output, OutputColumn, QueryHandle, StatementRunner};
use waterbear_dialect::{self as dialect, ParsedQuery, PlannedQuery, SessionStatement, Statement};

use crate::catalogs::Catalogs;

use crate::planner::{self, CutOptions, StagePlan};
use crate::scheduler::run::QueryRun;
use crate::scheduler::{self, RunOptions, placement};
use crate::statements::{SessionScope, run_call, run_metadata, run_session};
use crate::transactions::{InTransaction, Transactions};
use crate::write;

/// How queries are cut and how long they wait for workers.
#[derive(Debug, Clone)]
pub struct RunnerOptions {
    /// Partitions inside a task (`task.concurrency`).
    pub partitions: usize,
    /// Bytes of a table that one partition of one task should read.
    pub bytes_per_partition: usize,
    /// How long a query that reads tables waits for the first worker
    /// (`query-manager.required-workers-max-wait`).
    pub workers_max_wait: Duration,
    /// Steps of a WITH RECURSIVE (`max-recursion-depth`); sessions may set another number.
    pub max_recursion_depth: u32,
    /// What runs again after a failure (`retry-policy`); sessions may set another.
    pub retry_policy: RetryPolicy,
    /// What sessions may set (`retry-policy.allowed`).
    pub allowed_policies: Vec<RetryPolicy>,
    /// Bytes of a table that one task should read under [`RetryPolicy::Task`].
    pub bytes_per_task: usize,
}

/// Under TASK a stage may have so many tasks for each worker, so that little is lost with one …
const TASKS_PER_WORKER: usize = 8;
/// … and so many in any case.
const MIN_TASKS: usize = 16;

/// The query engine behind the client API.
pub struct Runner {
    catalogs: Arc<Catalogs>,
    base: SessionState,
    membership: Membership,
    options: RunnerOptions,
    run: RunOptions,
    transactions: Arc<Transactions>,
}

impl Runner {
    /// An engine over these catalogs, whose tasks run on the members of this cluster.
    pub fn new(
        catalogs: Arc<Catalogs>,
        membership: Membership,
        options: RunnerOptions,
        run: RunOptions,
    ) -> Self {
        let mut config = SessionConfig::new();
        let settings = config.options_mut();
        settings.execution.collect_statistics = true;
        let builder = SessionStateBuilder::new_with_default_features()
            .with_config(config)
            .with_runtime_env(run.engine.environment())
            .with_catalog_list(Arc::clone(&catalogs) as _);
        let base = dialect::configure(builder).build();
        let transactions = Arc::default();
        Self { catalogs, base, membership, options, run, transactions }
    }

    fn session<'a>(&'a self, query: &'a QueryHandle) -> SessionScope<'a> {
        SessionScope {
            catalogs: &self.catalogs,
            state: &self.base,
            transactions: &self.transactions,
            context: query.context(),
        }
    }

    async fn run_statement(
        &self,
        query: &Arc<QueryHandle>,
        statement: &Statement,
    ) -> Result<Output, Failure> {
        match statement {
            Statement::Metadata(statement) => {
                run_metadata(statement, &self.catalogs, query.context()).await
            }
            Statement::Session(statement) => run_session(statement, self.session(query)).await,
            Statement::Call(call) => run_call(call, &self.catalogs, query.context()),
            Statement::Explain(explain) => self.explain(query, explain).await,
            Statement::ShowStats(_) => self.show_stats(query, statement).await,
            Statement::Write(statement) => write::run(self, query, statement).await,
            statement => self.run_query(query, statement).await,
        }
    }

    /// What the client says of its session, against what there is.
    fn check_session(&self, context: &dialect::ClientContext) -> Result<(), Failure> {
        let catalogs = context.session_properties.keys().filter_map(|name| name.rsplit_once('.'));
        for (catalog, _) in catalogs {
            if self.catalogs.connector(catalog).is_none() {
                let message = format!("Catalog '{catalog}' not found");
                return Err(Failure::new(ErrorCode::CATALOG_NOT_FOUND, message));
            }
        }
        dialect::check_session(context)
    }

    /// All open transactions.
    pub(crate) fn transactions(&self) -> &Transactions {
        &self.transactions
    }

    /// All catalogs.
    pub(crate) fn catalogs(&self) -> &Catalogs {
        &self.catalogs
    }

    /// Plans the query inside of a statement.
    pub(crate) async fn plan(
        &self,
        query: &Arc<QueryHandle>,
        source: &ParsedQuery,
    ) -> Result<PlannedQuery, Failure> {
        self.plan_statement(query, &Statement::Query(source.clone())).await
    }

    /// Plans the query of a view that is to be made under this name.
    pub(crate) async fn plan_view(
        &self,
        query: &Arc<QueryHandle>,
        source: &ParsedQuery,
        name: (String, String, String),
    ) -> Result<PlannedQuery, Failure> {
        dialect::plan_view(source, name, &self.base, query.context()).await
    }

    async fn plan_statement(
        &self,
        query: &Arc<QueryHandle>,
        statement: &Statement,
    ) -> Result<PlannedQuery, Failure> {
        query.set_state(QueryState::Planning);
        let analysis = Instant::now();
        let planned = dialect::plan_query(statement, &self.base, query.context()).await?;
        query.set_analysis_time(analysis.elapsed());
        Ok(planned)
    }

    /// Plans and starts a query.
    async fn run_query(
        &self,
        query: &Arc<QueryHandle>,
        statement: &Statement,
    ) -> Result<Output, Failure> {
        let planned = self.plan_statement(query, statement).await?;
        let run = self.start(query, &planned).await?;
        let columns = planned
            .columns
            .iter()
            .zip(run.schema.fields())
            .enumerate()
            .map(|(position, (name, field))| {
                let trino_type = planned.column_type(position, field)?;
                Ok(OutputColumn { name: name.clone(), trino_type })
            })
            .collect::<Result<Vec<_>, Failure>>()?;
        let shown = columns.clone();
        let batches = run.batches.map(move |batch| padded(batch?, &shown)).boxed();
        Ok(Output::rows(columns, batches))
    }

    /// Starts a planned query.
    pub(crate) async fn start(
        &self,
        query: &Arc<QueryHandle>,
        planned: &PlannedQuery,
    ) -> Result<QueryRun, Failure> {
        let (stages, workers) = self.fragments(query, planned).await?;
        let session = self.task_session(query);
        self.start_fragments(query, stages, workers, session).await
    }

    /// What runs again if this query fails.
    ///
    /// # Errors
    /// When the session asks for what is not allowed, or needs a spool that there is not.
    pub(crate) fn retry_policy(&self, query: &QueryHandle) -> Result<RetryPolicy, Failure> {
        let asked = dialect::retry_policy(query.context());
        let policy = asked.unwrap_or(self.options.retry_policy);
        if asked.is_some() && !self.options.allowed_policies.contains(&policy) {
            let allowed: Vec<_> =
                self.options.allowed_policies.iter().map(|policy| policy.name()).collect();
            let text = format!(
                "retry_policy={} is not allowed here: retry-policy.allowed has {}",
                policy.name(),
                allowed.join(", ")
            );
            return Err(Failure::new(ErrorCode::INVALID_SESSION_PROPERTY, text));
        }
        if policy == RetryPolicy::Task && self.run.spooled.is_none() {
            let text = "Exchange manager must be configured for the failure recovery capabilities \
                        to be fully functional: write exchange-manager.properties";
            return Err(Failure::new(ErrorCode::EXCHANGE_MANAGER_NOT_CONFIGURED, text));
        }
        Ok(policy)
    }

    /// Cuts a planned query for the workers that there are; waits for the first one if it reads
    /// tables.
    async fn fragments(
        &self,
        query: &Arc<QueryHandle>,
        planned: &PlannedQuery,
    ) -> Result<(StagePlan, Vec<NodeInfo>), Failure> {
        let planning = Instant::now();
        let policy = self.retry_policy(query)?;
        let mut workers = self.active_workers();
        let mut stages = self.cut(&planned.plan, workers.len(), policy).await?;
        query.set_planning_time(planning.elapsed());
        if workers.is_empty() && stages.fragments.iter().any(|fragment| fragment.scans) {
            query.set_state(QueryState::WaitingForResources);
            workers = self.first_workers().await?;
            stages = self.cut(&planned.plan, workers.len(), policy).await?;
        }
        Ok((stages, workers))
    }

    async fn start_fragments(
        &self,
        query: &Arc<QueryHandle>,
        stages: StagePlan,
        workers: Vec<NodeInfo>,
        session: TaskSession,
    ) -> Result<QueryRun, Failure> {
        query.set_state(QueryState::Starting);
        let policy = self.retry_policy(query)?;
        query.set_retry_policy(policy.name());
        // What has only literal rows runs here, and no worker can take it along.
        let scans = stages.fragments.iter().any(|fragment| fragment.scans);
        let run = match &self.run.spooled {
            Some(spooled) if policy == RetryPolicy::Task && scans => {
                spooled.run(Arc::clone(query), stages, session)?
            }
            _ => {
                let (query, options) = (Arc::clone(query), self.run.clone());
                scheduler::run::start(query, stages, session, workers, options).await?
            }
        };
        query.set_state(QueryState::Running);
        Ok(run)
    }

    /// Planning is CPU work: it runs where plans run, not where requests are answered.
    async fn cut(
        &self,
        plan: &datafusion::logical_expr::LogicalPlan,
        workers: usize,
        policy: RetryPolicy,
    ) -> Result<StagePlan, Failure> {
        let partitions = self.options.partitions;
        let options = match policy {
            RetryPolicy::Task => CutOptions {
                workers: (workers * TASKS_PER_WORKER).max(MIN_TASKS),
                partitions,
                bytes_per_partition: (self.options.bytes_per_task / partitions.max(1)).max(1),
            },
            _ => CutOptions {
                workers,
                partitions,
                bytes_per_partition: self.options.bytes_per_partition,
            },
        };
        let (plan, base) = (plan.clone(), self.base.clone());
        let planning = self
            .run
            .engine
            .runtime()
            .spawn(async move { planner::plan(&plan, &base, options).await });
        planning.await.unwrap_or_else(|error| {
            tracing::error!(%error, "planning stopped");
            Err(Failure::new(
                ErrorCode::GENERIC_INTERNAL_ERROR,
                "planning the query stopped with a panic; the coordinator's log has it",
            ))
        })
    }

    fn active_workers(&self) -> Vec<NodeInfo> {
        placement::sorted(self.membership.view().active_workers().cloned().collect())
    }

    async fn first_workers(&self) -> Result<Vec<NodeInfo>, Failure> {
        let wait = self.options.workers_max_wait;
        let mut changes = self.membership.clone();
        let arrived = async {
            loop {
                let workers = self.active_workers();
                if !workers.is_empty() {
                    return workers;
                }
                changes.changed().await;
            }
        };
        tokio::time::timeout(wait, arrived).await.map_err(|_| {
            Failure::new(
                ErrorCode::GENERIC_INSUFFICIENT_RESOURCES,
                format!(
                    "Insufficient active worker nodes. Waited {:.2}m for at least 1 workers, but \
                     only 0 workers are active",
                    wait.as_secs_f64() / 60.0
                ),
            )
        })
    }

    fn task_session(&self, query: &QueryHandle) -> TaskSession {
        let started = query.created().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        TaskSession {
            user: query.context().user.clone(),
            start_time_ns: i64::try_from(started.as_nanos()).unwrap_or(i64::MAX),
            settings: vec![(
                "datafusion.execution.target_partitions".to_owned(),
                self.options.partitions.max(2).to_string(),
            )],
            max_recursion_depth: dialect::max_recursion_depth(query.context())
                .unwrap_or(self.options.max_recursion_depth),
            operator_metrics: false,
        }
    }
}

/// The transaction is in use until the last row, and fails with the statement.
fn within(
    transaction: Option<InTransaction>,
    output: Result<Output, Failure>,
) -> Result<Output, Failure> {
    let Some(transaction) = transaction else { return output };
    match output {
        Err(failure) => {
            transaction.fail();
            Err(failure)
        }
        Ok(mut output) => {
            let batches = output.batches.inspect_err(move |_| transaction.fail());
            output.batches = batches.boxed();
            Ok(output)
        }
    }
}

#[async_trait]
impl StatementRunner for Runner {
    async fn run(&self, query: Arc<QueryHandle>) -> Result<Output, Failure> {
        let cancelled = query.cancellation().clone();
        let running = async {
            self.check_session(query.context())?;
            let statement = dialect::parse_in(query.sql(), query.context())?;
            if let Statement::Session(
                statement @ (SessionStatement::Commit | SessionStatement::Rollback),
            ) = &statement
            {
                // They end even a transaction in which nothing else can be done.
                return run_session(statement, self.session(&query)).await;
            }
            let transaction = self.transactions.enter(query.context())?;
            let output = self.run_statement(&query, &statement).await;
            within(transaction, output)
        };
        tokio::select! {
            output = running => output,
            () = cancelled.cancelled() => Err(query.failure().unwrap_or_else(|| {
                Failure::new(ErrorCode::USER_CANCELED, "Query was canceled")
            })),
        }
    }
}

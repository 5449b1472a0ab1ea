//! EXPLAIN and SHOW STATS: statements about plans.

use std::sync::Arc;
use std::time::Instant;

use arrow::array::{ArrayRef, BooleanArray, StringArray};
use datafusion::physical_plan::ExecutionPlan;
use futures::StreamExt;
use waterbear_dialect::{Explain, ExplainKind, PlannedQuery, Statement};
use waterbear_engine::{failure_of, operator_metrics};
use waterbear_protocol::{ErrorCode, Failure};
use waterbear_types::TrinoType;

use super::Runner;
use crate::explain::{self, Costs, Part, PlanNode};
use crate::planner::StagePlan;
use crate::query::{Output, QueryHandle};
use crate::statements::{rows_of, statistics};
use crate::write;

impl Runner {
    /// Answers EXPLAIN.
    pub(super) async fn explain(
        &self,
        query: &Arc<QueryHandle>,
        explain: &Explain,
    ) -> Result<Output, Failure> {
        let analyze = matches!(explain.kind, ExplainKind::Analyze { .. });
        let planned = match explain.statement.as_ref() {
            statement @ Statement::Query(_) => Some(self.plan_statement(query, statement).await?),
            Statement::Write(statement) if !analyze => write::plan(self, query, statement).await?,
            _ => None,
        };
        let Some(planned) = planned else { return explain_other(explain) };
        let context = query.context();
        match explain.kind {
            ExplainKind::Validate => valid(),
            ExplainKind::Logical => {
                let plan = self.base.optimize(&planned.plan).map_err(|error| failure_of(&error))?;
                let part = explain::logical::part(&planned.columns, &plan);
                query_plan(explain::write(&[part], explain.format))
            }
            ExplainKind::Distributed => {
                let stages = self.stages(query, &planned).await?;
                let parts = explain::parts(&stages, &planned.columns);
                query_plan(explain::write(&parts, explain.format))
            }
            ExplainKind::Io => {
                let physical = self.whole_plan(&planned).await?;
                query_plan(explain::io::write(&planned.plan, &physical, context))
            }
            ExplainKind::Analyze { verbose } => {
                let parts = self.analyze(query, &planned, verbose).await?;
                query_plan(explain::write(&parts, explain.format))
            }
        }
    }

    /// The fragments as they would be with the workers that there are; none is waited for.
    async fn stages(
        &self,
        query: &QueryHandle,
        planned: &PlannedQuery,
    ) -> Result<StagePlan, Failure> {
        let policy = self.retry_policy(query)?;
        self.cut(&planned.plan, self.active_workers().len().max(1), policy).await
    }

    /// The physical plan of a query that is not cut.
    async fn whole_plan(&self, planned: &PlannedQuery) -> Result<Arc<dyn ExecutionPlan>, Failure> {
        let plan = self.base.create_physical_plan(&planned.plan).await;
        plan.map_err(|error| failure_of(&error))
    }

    /// Runs a query, drops its rows, and says what that has cost.
    async fn analyze(
        &self,
        query: &Arc<QueryHandle>,
        planned: &PlannedQuery,
        verbose: bool,
    ) -> Result<Vec<Part>, Failure> {
        let (stages, workers) = self.fragments(query, planned).await?;
        let mut session = self.task_session(query);
        session.operator_metrics = true;
        let started = Instant::now();
        let shown = stages.clone();
        let run = self.start_fragments(query, stages, workers, session).await?;
        let mut batches = run.batches;
        let mut rows = 0;
        while let Some(batch) = batches.next().await {
            rows += batch?.num_rows() as u64;
        }
        // The root's tasks are among the query's when workers ran them.
        let here = !query.tasks().iter().any(|task| task.stage == 0);
        let local_root = shown.root().tasks.first().filter(|_| here).map(operator_metrics);
        let elapsed = started.elapsed();
        let costs = Costs { tasks: query.tasks(), local_root, rows, elapsed, verbose };
        let parts = explain::parts(&shown, &planned.columns);
        Ok(explain::measured(parts, &costs))
    }

    /// Answers SHOW STATS.
    pub(super) async fn show_stats(
        &self,
        query: &Arc<QueryHandle>,
        statement: &Statement,
    ) -> Result<Output, Failure> {
        let planned = self.plan_statement(query, statement).await?;
        let physical = self.whole_plan(&planned).await?;
        statistics(&planned.columns, &physical)
    }
}

/// EXPLAIN of what has no query in it.
fn explain_other(explain: &Explain) -> Result<Output, Failure> {
    match explain.kind {
        ExplainKind::Validate => valid(),
        ExplainKind::Logical | ExplainKind::Distributed => {
            let details = vec!["The coordinator answers this statement without a plan".to_owned()];
            let root = PlanNode { name: "Coordinator".to_owned(), details, ..PlanNode::default() };
            query_plan(explain::write(&[Part { root, ..Part::default() }], explain.format))
        }
        ExplainKind::Io | ExplainKind::Analyze { .. } => {
            let message = "This form of EXPLAIN is supported for queries only";
            Err(Failure::new(ErrorCode::NOT_SUPPORTED, message))
        }
    }
}

fn query_plan(text: String) -> Result<Output, Failure> {
    let array: ArrayRef = Arc::new(StringArray::from(vec![text]));
    rows_of(&[("Query Plan", TrinoType::Varchar(None))], vec![array])
}

fn valid() -> Result<Output, Failure> {
    let array: ArrayRef = Arc::new(BooleanArray::from(vec![true]));
    rows_of(&[("Valid", TrinoType::Plain("boolean"))], vec![array])
}

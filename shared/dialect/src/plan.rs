//! From a parsed query to a logical plan.

use std::collections::{HashSet, VecDeque};
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::datatypes::Field;
use chrono::Utc;
use datafusion::error::DataFusionError;
use datafusion::execution::SessionState;
use datafusion::execution::context::SQLOptions;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::parser::Statement as DFStatement;
use datafusion::sql::sqlparser::ast::{
    Expr, FunctionArguments, ObjectName, Query, Spanned, Statement as SqlStatement, Visit, Visitor,
};
use datafusion::sql::sqlparser::tokenizer::Token;
use waterbear_functions::{Availability, FunctionKind, availability};
use waterbear_protocol::{ErrorCode, ErrorLocation, Failure};
use waterbear_types::TrinoType;

use super::errors::planning_failure;
use super::hidden::Named;
use super::lexer::{Lexed, failure_at, place};
use super::names::Names;
use super::rewrite::rewrite;
use super::scopes;
use super::session_values;
use super::tables::{self, TableUse, Views};
use super::temporal::{SessionTime, session_zone};
use super::types;
use super::{ParsedQuery, Statement};
use crate::ClientContext;

/// A query that the planner has understood.
#[derive(Debug)]
pub struct PlannedQuery {
    /// The plan, analysed but not optimised.
    pub plan: LogicalPlan,
    /// What the client calls the plan's columns, in their order; names may repeat.
    pub columns: Vec<String>,
    /// Their Trino types, lengths of texts included; `None` for what has none.
    pub types: Vec<Option<TrinoType>>,
}

impl PlannedQuery {
    pub(super) fn new(plan: LogicalPlan, columns: Vec<String>) -> Self {
        let types = types::of_plan(&plan);
        Self { plan, columns, types }
    }

    /// The type of a column that is computed as `field`.
    ///
    /// # Errors
    /// NOT_SUPPORTED for types that Trino has not.
    pub fn column_type(&self, position: usize, field: &Field) -> Result<TrinoType, Failure> {
        let planned = self.types.get(position).cloned().flatten();
        match TrinoType::of_field(field)? {
            TrinoType::Varchar(_) => Ok(planned.unwrap_or(TrinoType::Varchar(None))),
            computed => Ok(computed),
        }
    }
}

/// Plans a query over the catalogs of `state`, in the client's session.
///
/// # Errors
/// Trino's code and message, with the place in the text where there is one.
pub async fn plan_query(
    statement: &Statement,
    state: &SessionState,
    context: &ClientContext,
) -> Result<PlannedQuery, Failure> {
    let parsed = match statement {
        Statement::Query(parsed) => parsed,
        Statement::ShowStats(parsed) => parsed,
        Statement::Explain(_)
        | Statement::Metadata(_)
        | Statement::Write(_)
        | Statement::Call(_)
        | Statement::Session(_) => {
            let message = "a statement that is no query cannot be planned";
            return Err(Failure::new(ErrorCode::GENERIC_INTERNAL_ERROR, message));
        }
    };
    plan_parsed(parsed, state, context).await
}

/// Plans the query of a view that is to be made under this name.
///
/// # Errors
/// As [`plan_query`]; VIEW_IS_RECURSIVE if the query reads the view itself.
pub async fn plan_view(
    query: &ParsedQuery,
    name: (String, String, String),
    state: &SessionState,
    context: &ClientContext,
) -> Result<PlannedQuery, Failure> {
    plan_inside(query, state, context, &Views::inside(name)).await
}

async fn plan_parsed(
    parsed: &ParsedQuery,
    state: &SessionState,
    context: &ClientContext,
) -> Result<PlannedQuery, Failure> {
    plan_inside(parsed, state, context, &Views::default()).await
}

async fn plan_inside(
    parsed: &ParsedQuery,
    state: &SessionState,
    context: &ClientContext,
    views: &Views,
) -> Result<PlannedQuery, Failure> {
    // One start for the query and the views in it.
    let start = context.start.or_else(|| Some(Utc::now()));
    let context = &ClientContext { start, ..context.clone() };
    let (plan, names) = plan_unanalysed(parsed, state, context, views).await?;
    let plan = analyse(plan, state, context, parsed)?;
    let columns = names.shown(plan.schema().fields().iter().map(|field| field.name()));
    Ok(PlannedQuery::new(plan, columns))
}

/// The planner's rules of meaning over a plan that is fresh from its text.
pub(super) fn analyse(
    plan: LogicalPlan,
    state: &SessionState,
    context: &ClientContext,
    parsed: &ParsedQuery,
) -> Result<LogicalPlan, Failure> {
    let state = in_session(state, context);
    state
        .analyzer()
        .execute_and_check(plan, state.config_options(), |_, _| {})
        .map_err(|error| planning_failure(&error, &parsed.lexed, &parsed.query))
}

/// The plan as the text says it, and what its columns are called; views are expanded in it.
pub(super) async fn plan_unanalysed(
    parsed: &ParsedQuery,
    state: &SessionState,
    context: &ClientContext,
    views: &Views,
) -> Result<(LogicalPlan, Names), Failure> {
    let mut query = parsed.query.clone();
    let time = SessionTime::new(context)?;
    rewrite(&mut query, &parsed.lexed, time).map_err(|failure| located(failure, &parsed.lexed))?;
    session_values::rewrite(&mut query, context);
    let mut uses = Uses::default();
    let _ = query.visit(&mut uses);
    let mut named = Named::default();
    let tables = tables::resolve(&uses.tables, state, context, &parsed.lexed, &mut named, views);
    let tables = tables.await?;
    uses.functions.iter().try_for_each(check_function)?;
    let names = scopes::resolve(&mut query, &tables, &named, context, &parsed.lexed)?;
    let mut state = in_session(state, context);
    state.register_catalog_list(Arc::new(tables));
    if !named.is_empty() {
        let revealed = named.revealed(Arc::clone(state.catalog_list()));
        state.register_catalog_list(revealed);
    }
    let statement = DFStatement::Statement(Box::new(SqlStatement::Query(query)));
    let failure = |error: DataFusionError| planning_failure(&error, &parsed.lexed, &parsed.query);
    let plan = state.statement_to_plan(statement).await.map_err(failure)?;
    // Nothing but a query can come here; should that ever break, it must not write.
    SQLOptions::new()
        .with_allow_ddl(false)
        .with_allow_dml(false)
        .with_allow_statements(false)
        .verify_plan(&plan)
        .map_err(failure)?;
    Ok((plan, names))
}

/// Names in single quotes have no place in the tree: the first such text is to blame.
fn located(failure: Failure, lexed: &Lexed) -> Failure {
    let blamed = lexed.tokens.iter().find(|token| {
        matches!(token.token, Token::SingleQuotedString(_))
            && failure.message.contains(&token.token.to_string())
    });
    match blamed {
        Some(token) if failure.location.is_none() => {
            failure_at(place(token.span.start), failure.code, failure.message)
        }
        _ => failure,
    }
}

/// The state with what Trino's language and this session decide.
fn in_session(state: &SessionState, context: &ClientContext) -> SessionState {
    let mut state = state.clone();
    let options = state.config_mut().options_mut();
    options.sql_parser.parse_float_as_decimal = true;
    options.sql_parser.default_null_ordering = "nulls_last".to_owned();
    options.sql_parser.collect_spans = true;
    options.catalog.information_schema = false;
    // A zone that nobody knows was refused before.
    options.execution.time_zone = session_zone(context).ok().map(|zone| zone.name().to_string());
    // Without a session catalog every name was checked to have one of its own.
    options.catalog.default_catalog = context.catalog.clone().unwrap_or_default();
    options.catalog.default_schema = context.schema.clone().unwrap_or_default();
    state
}

/// The names that the WITHs around a place give to it, as a tree is walked: the query behind a
/// name sees the names before its own, and its own only under RECURSIVE.
#[derive(Default)]
struct WithNames(Vec<OneWith>);

#[derive(Default)]
struct OneWith {
    given: HashSet<String>,
    /// Those whose queries come next, in order.
    coming: VecDeque<String>,
}

impl WithNames {
    /// Before anything of a query is visited.
    fn enter(&mut self, query: &Query) {
        let mut own = OneWith::default();
        if let Some(with) = &query.with {
            let names = with.cte_tables.iter().map(|cte| cte.alias.name.value.to_lowercase());
            match with.recursive {
                true => own.given = names.collect(),
                false => own.coming = names.collect(),
            }
        }
        self.0.push(own);
    }

    /// After everything of a query has been visited.
    fn leave(&mut self) {
        self.0.pop();
        // The queries of WITH come before all others of their query.
        if let Some(around) = self.0.last_mut()
            && let Some(name) = around.coming.pop_front()
        {
            around.given.insert(name);
        }
    }

    /// True when the name is one of theirs.
    fn gives(&self, name: &str) -> bool {
        self.0.iter().any(|with| with.given.contains(name))
    }
}

/// The tables and functions that a query uses.
#[derive(Default)]
struct Uses {
    with: WithNames,
    tables: Vec<TableUse>,
    functions: Vec<FunctionUse>,
}

struct FunctionUse {
    name: String,
    location: Option<ErrorLocation>,
    over: bool,
    /// With DISTINCT, ORDER BY or FILTER.
    aggregates: bool,
}

impl Visitor for Uses {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        self.with.enter(query);
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.with.leave();
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, name: &ObjectName) -> ControlFlow<()> {
        let idents = name.0.iter().filter_map(|part| part.as_ident());
        let parts: Vec<String> = idents.map(|ident| ident.value.to_lowercase()).collect();
        let is_with = parts.len() == 1 && self.with.gives(&parts[0]);
        if !is_with {
            self.tables.push(TableUse { parts, location: place(name.span().start) });
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if let Expr::Function(function) = expr {
            let name = function.name.to_string().replace('"', "").to_lowercase();
            let listed = match &function.args {
                FunctionArguments::List(list) => {
                    list.duplicate_treatment.is_some() || !list.clauses.is_empty()
                }
                FunctionArguments::None | FunctionArguments::Subquery(_) => false,
            };
            self.functions.push(FunctionUse {
                name,
                location: place(function.name.span().start),
                over: function.over.is_some(),
                aggregates: listed
                    || function.filter.is_some()
                    || !function.within_group.is_empty(),
            });
        }
        ControlFlow::Continue(())
    }
}

/// Catalog, schema and table of a name, with what the session adds.
pub fn full_name(
    parts: &[String],
    context: &ClientContext,
) -> Result<(String, String, String), (ErrorCode, &'static str)> {
    let catalog = || {
        let text = "Catalog must be specified when session catalog is not set";
        context.catalog.clone().ok_or((ErrorCode::MISSING_CATALOG_NAME, text))
    };
    let schema = || {
        let text = "Schema must be specified when session schema is not set";
        context.schema.clone().ok_or((ErrorCode::MISSING_SCHEMA_NAME, text))
    };
    match parts {
        [table] => Ok((catalog()?, schema()?, table.clone())),
        [schema, table] => Ok((catalog()?, schema.clone(), table.clone())),
        [catalog, schema, table] => Ok((catalog.clone(), schema.clone(), table.clone())),
        _ => Err((ErrorCode::SYNTAX_ERROR, "Too many dots in table name")),
    }
}

/// Refuses what Trino does not have, whatever DataFusion calls by that name, and a function that
/// is called as another kind of function.
fn check_function(used: &FunctionUse) -> Result<(), Failure> {
    let name = &used.name;
    let failure = |code, message: String| Err(failure_at(used.location, code, message));
    match availability(name) {
        Availability::Unknown => {
            failure(ErrorCode::FUNCTION_NOT_FOUND, format!("Function '{name}' not registered"))
        }
        Availability::NotSupported => {
            failure(ErrorCode::NOT_SUPPORTED, format!("Function '{name}' is not supported"))
        }
        Availability::Supported(FunctionKind::Window) if !used.over => failure(
            ErrorCode::MISSING_OVER,
            format!("Window function {name} requires an OVER clause"),
        ),
        Availability::Supported(FunctionKind::Scalar) if used.over => {
            failure(ErrorCode::FUNCTION_NOT_WINDOW, format!("Not a window function: {name}"))
        }
        Availability::Supported(FunctionKind::Scalar) if used.aggregates => failure(
            ErrorCode::FUNCTION_NOT_AGGREGATE,
            format!("{name} is not an aggregation function"),
        ),
        Availability::Supported(_) => Ok(()),
    }
}

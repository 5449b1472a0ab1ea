//! Trino's client protocol over HTTP.
//!
//! Layout: `headers` and `uri` read requests, `statement` is one statement as a resource,
//! `producer` runs it and cuts pages, `encode`, `types` and `text` write rows and types as JSON,
//! `query_info` shows queries.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Request, State};
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use tokio::runtime::Handle;
use tracing::info;
use waterbear_ids::QueryId;
use waterbear_protocol::{ErrorCode, Failure};

use crate::query::StatementRunner;
use crate::query::handle::QueryRegistry;
use crate::query::limits::{Admission, QueryLimits};
use crate::scheduler::Endings;

mod changes;
mod encode;
mod headers;
mod prepared;
mod producer;
mod query_info;
mod statement;
#[cfg(test)]
pub(crate) mod tests;
mod text;
mod uri;

use headers::{Refusal, RequestHeaders};
use statement::{Missing, Start, Statement};

pub use encode::json_rows;
pub use uri::Forwarded;
use uri::Phase;

/// How the client API behaves.
#[derive(Debug, Clone)]
pub struct ClientApiOptions {
    /// A query whose client has not asked for it so long is abandoned (`query.client.timeout`).
    pub client_timeout: Duration,
    /// `http-server.process-forwarded`.
    pub process_forwarded: Forwarded,
    /// What clients may write instead of `Trino` in the names of headers
    /// (`protocol.v1.alternate-header-name`).
    pub alternate_header: Option<String>,
    /// How many queries run, how long, and with how much memory.
    pub limits: QueryLimits,
    /// Whether statements can be taken; until then clients are told to come again.
    pub ready: Ready,
    /// Clients reach this listener over TLS.
    pub https: bool,
    /// Where statements are run and rows encoded: not where requests are answered.
    pub runtime: Handle,
    /// What runs for queries, for a coordinator that ends.
    pub endings: Endings,
}

/// Says whether the coordinator knows its cluster.
#[derive(Clone)]
pub struct Ready(Arc<dyn Fn() -> bool + Send + Sync>);

impl Ready {
    /// Ready as soon as `ready` says so.
    pub fn when(ready: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(ready))
    }
}

impl std::fmt::Debug for Ready {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Ready").field(&(self.0)()).finish()
    }
}

struct Api {
    registry: Arc<QueryRegistry>,
    runner: Arc<dyn StatementRunner>,
    options: ClientApiOptions,
    admission: Arc<Admission>,
    statements: Mutex<HashMap<QueryId, Arc<Statement>>>,
}

/// The routes of `/v1/statement` and `/v1/query`. Must be called within a tokio runtime: it looks
/// after abandoned queries there until the routes are dropped.
pub fn routes(
    registry: Arc<QueryRegistry>,
    runner: Arc<dyn StatementRunner>,
    options: ClientApiOptions,
) -> Router {
    let admission = Arc::new(Admission::new(&options.limits));
    let statements = Mutex::default();
    let api = Arc::new(Api { registry, runner, options, admission, statements });
    tokio::spawn(look_after(Arc::downgrade(&api)));
    let forwarded = middleware::from_fn_with_state(Arc::clone(&api), check_forwarded);
    Router::new()
        .route("/v1/statement", post(submit).head(validate))
        .route(
            "/v1/statement/queued/{query}/{slug}/{token}",
            get(queued).head(heartbeat_queued).delete(cancel_queued),
        )
        .route(
            "/v1/statement/executing/{query}/{slug}/{token}",
            get(executing).head(heartbeat_executing).delete(cancel_executing),
        )
        .route(
            "/v1/statement/executing/partialCancel/{query}/{stage}/{slug}/{token}",
            delete(partial_cancel),
        )
        .route("/", get(to_ui))
        .route("/ui", get(to_ui))
        .route("/ui/", get(ui))
        .route("/v1/query", get(list_queries))
        .route("/v1/query/{query}", get(show_query).delete(cancel_query))
        .route("/v1/query/{query}/killed", put(kill_query))
        .route("/v1/query/{query}/preempted", put(preempt_query))
        .layer(forwarded)
        .with_state(api)
}

/// Refuses what a proxy has sent on, unless that is allowed: nobody knows who may say so.
async fn check_forwarded(State(api): ApiState, request: Request, next: Next) -> Response {
    match uri::forwarded_header(request.headers()) {
        Some(name) if api.options.process_forwarded == Forwarded::Reject => {
            let text = format!(
                "Server configuration does not allow processing of the {name} header: set \
                 http-server.process-forwarded"
            );
            (StatusCode::NOT_ACCEPTABLE, text).into_response()
        }
        _ => next.run(request).await,
    }
}

type ApiState = State<Arc<Api>>;
/// Query, slug and token of a page.
type PagePath = Path<(String, String, String)>;

impl Api {
    fn statements(&self) -> MutexGuard<'_, HashMap<QueryId, Arc<Statement>>> {
        self.statements.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who asks.
    fn user(&self, headers: &HeaderMap) -> Result<String, Refusal> {
        headers::user(&self.request(headers)?)
    }

    fn request<'a>(&self, headers: &'a HeaderMap) -> Result<RequestHeaders<'a>, Refusal> {
        RequestHeaders::new(headers, self.options.alternate_header.as_deref())
    }

    fn base(&self, headers: &HeaderMap, uri: &Uri) -> Result<String, Refusal> {
        let scheme = if self.options.https { "https" } else { "http" };
        uri::base(headers, uri, scheme, self.options.process_forwarded)
    }

    /// The statement that a URI opens, and the token.
    fn open(&self, phase: Phase, path: &PagePath) -> Result<(Arc<Statement>, u64), Missing> {
        let Path((query, slug, token)) = path;
        let token: u64 = token.parse().map_err(|_| Missing::Unknown)?;
        let query: QueryId = query.parse().map_err(|_| Missing::Unknown)?;
        let statement = self.statements().get(&query).cloned();
        let statement = statement.ok_or_else(|| self.missing(&query))?;
        if !statement.opens(phase, token, slug) {
            return Err(Missing::Unknown);
        }
        statement.touch();
        Ok((statement, token))
    }

    /// Why a query is not here. Its id ends with the start of the coordinator that made it.
    fn missing(&self, query: &QueryId) -> Missing {
        match query.as_str().splitn(4, '_').nth(3) {
            Some(start) if start != self.registry.start_id() => Missing::OfAnotherStart,
            _ => Missing::Unknown,
        }
    }

    /// Ends what clients have abandoned, and forgets what is long over.
    fn sweep(&self) {
        let timeout = self.options.client_timeout;
        let statements: Vec<Arc<Statement>> = self.statements().values().cloned().collect();
        for statement in statements {
            let query = statement.query();
            if query.state().is_done() || statement.idle() < timeout {
                continue;
            }
            if !statement.started() {
                self.registry.remove(query.id());
                continue;
            }
            let message = format!(
                "Query {} was abandoned by the client, as it may have exited or stopped checking \
                 for query results: not accessed for {} s",
                query.id(),
                statement.idle().as_secs(),
            );
            query.fail(Failure::new(ErrorCode::ABANDONED_QUERY, message));
        }
        self.registry.expire();
        self.statements().retain(|id, _| self.registry.get(id).is_some());
    }
}

async fn look_after(api: Weak<Api>) {
    loop {
        let Some(pause) = api.upgrade().map(|api| api.options.client_timeout / 4) else { return };
        tokio::time::sleep(pause.clamp(Duration::from_millis(10), Duration::from_secs(1))).await;
        let Some(api) = api.upgrade() else { return };
        api.sweep();
    }
}

/// JDBC asks this whether the server is there and knows the user.
async fn validate(State(api): ApiState, headers: HeaderMap) -> Response {
    match api.user(&headers) {
        Ok(_) => StatusCode::OK.into_response(),
        Err(refusal) => refusal.into_response(),
    }
}

async fn submit(
    State(api): ApiState,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    if !(api.options.ready.0)() {
        return Err(Refusal::Starting);
    }
    if api.registry.is_closed() {
        return Err(Refusal::Stopping);
    }
    let request = api.request(&headers)?;
    let context = headers::session(&request)?;
    let base = api.base(&headers, &uri)?;
    let sql = std::str::from_utf8(&body)
        .map_err(|_| Refusal::BadRequest("SQL statement is not UTF-8 text".to_owned()))?;
    if sql.trim().is_empty() {
        return Err(Refusal::BadRequest("SQL statement is empty".to_owned()));
    }
    let (mut sql, mut failure) = (sql.to_owned(), None);
    let length = sql.chars().count();
    let limit = api.options.limits.length;
    if length > limit {
        let message = format!("Query text length ({length}) exceeds the maximum length ({limit})");
        failure = Some(Failure::new(ErrorCode::QUERY_TEXT_TOO_LARGE, message));
        sql = sql.chars().take(1_000).collect();
    }
    let query = api.registry.submit(sql, context);
    info!(query = %query.id(), user = %query.context().user, "query submitted");
    let statement = Arc::new(Statement::new(Arc::clone(&query), request.prefix().clone(), failure));
    let answer = statement.accepted(&base);
    api.statements().insert(query.id().clone(), statement);
    Ok(answer.into_response())
}

/// Trino's clients show people the way to `/ui/`.
async fn to_ui(State(api): ApiState, uri: Uri, headers: HeaderMap) -> Result<Response, Refusal> {
    let location = format!("{}/ui/", api.base(&headers, &uri)?);
    Ok((StatusCode::SEE_OTHER, [(LOCATION, location)]).into_response())
}

async fn ui() -> &'static str {
    "There is no web page yet. Queries: /v1/query, nodes: system.runtime.nodes, metrics: /metrics.\n"
}

async fn queued(
    State(api): ApiState,
    uri: Uri,
    path: PagePath,
    headers: HeaderMap,
) -> Result<Response, Response> {
    let base = api.base(&headers, &uri).map_err(IntoResponse::into_response)?;
    let (statement, token) = api.open(Phase::Queued, &path).map_err(IntoResponse::into_response)?;
    let start = || Start {
        runner: Arc::clone(&api.runner),
        admission: Arc::clone(&api.admission),
        limits: api.options.limits,
        runtime: api.options.runtime.clone(),
        endings: api.options.endings.clone(),
    };
    let answer = statement.queued(token, &base, start).await;
    Ok(answer.into_response())
}

async fn executing(
    State(api): ApiState,
    uri: Uri,
    path: PagePath,
    headers: HeaderMap,
) -> Result<Response, Response> {
    let base = api.base(&headers, &uri).map_err(IntoResponse::into_response)?;
    let (statement, token) =
        api.open(Phase::Executing, &path).map_err(IntoResponse::into_response)?;
    let answer = statement.executing(token, &base).await;
    statement.touch();
    Ok(answer.into_response())
}

async fn heartbeat_queued(State(api): ApiState, path: PagePath) -> Result<StatusCode, Missing> {
    api.open(Phase::Queued, &path).map(|_| StatusCode::OK)
}

async fn heartbeat_executing(State(api): ApiState, path: PagePath) -> Result<StatusCode, Missing> {
    api.open(Phase::Executing, &path).map(|_| StatusCode::OK)
}

async fn cancel_queued(State(api): ApiState, path: PagePath) -> Result<StatusCode, Missing> {
    let (statement, _) = api.open(Phase::Queued, &path)?;
    statement.cancel();
    Ok(StatusCode::NO_CONTENT)
}

async fn cancel_executing(State(api): ApiState, path: PagePath) -> Result<StatusCode, Missing> {
    let (statement, _) = api.open(Phase::Executing, &path)?;
    statement.cancel();
    Ok(StatusCode::NO_CONTENT)
}

/// Ending one stage early would give fewer rows without an error: the whole query is cancelled.
async fn partial_cancel(
    State(api): ApiState,
    Path((query, _stage, slug, token)): Path<(String, String, String, String)>,
) -> Result<StatusCode, Missing> {
    let (statement, _) = api.open(Phase::Executing, &Path((query, slug, token)))?;
    statement.cancel();
    Ok(StatusCode::NO_CONTENT)
}

async fn list_queries(
    State(api): ApiState,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    api.user(&headers)?;
    let base = api.base(&headers, &uri)?;
    let wanted: Vec<String> = uri
        .query()
        .into_iter()
        .flat_map(|query| query.split('&'))
        .filter_map(|pair| pair.strip_prefix("state="))
        .map(str::to_uppercase)
        .collect();
    let queries = api.registry.all();
    let shown = queries.iter().filter(|query| {
        wanted.is_empty() || wanted.iter().any(|state| state == query.state().name())
    });
    let list: Vec<_> = shown.map(|query| query_info::basic(query, &base)).collect();
    Ok(axum::Json(list).into_response())
}

async fn show_query(
    State(api): ApiState,
    uri: Uri,
    Path(query): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    api.user(&headers)?;
    let base = api.base(&headers, &uri)?;
    let query = query.parse().ok().and_then(|id| api.registry.get(&id));
    Ok(match query {
        Some(query) => axum::Json(query_info::full(&query, &base)).into_response(),
        None => StatusCode::GONE.into_response(),
    })
}

async fn cancel_query(
    State(api): ApiState,
    Path(query): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Refusal> {
    api.user(&headers)?;
    if let Some(query) = query.parse().ok().and_then(|id| api.registry.get(&id)) {
        query.fail(Failure::new(ErrorCode::USER_CANCELED, "Query was canceled"));
    }
    Ok(StatusCode::NO_CONTENT)
}

async fn kill_query(
    State(api): ApiState,
    Path(query): Path<String>,
    headers: HeaderMap,
    message: String,
) -> Result<StatusCode, Refusal> {
    end_query(&api, &query, &headers, ErrorCode::ADMINISTRATIVELY_KILLED, "killed", &message)
}

async fn preempt_query(
    State(api): ApiState,
    Path(query): Path<String>,
    headers: HeaderMap,
    message: String,
) -> Result<StatusCode, Refusal> {
    let code = ErrorCode::ADMINISTRATIVELY_PREEMPTED;
    end_query(&api, &query, &headers, code, "preempted", &message)
}

fn end_query(
    api: &Api,
    query: &str,
    headers: &HeaderMap,
    code: ErrorCode,
    verb: &str,
    message: &str,
) -> Result<StatusCode, Refusal> {
    api.user(headers)?;
    let Some(query) = query.parse().ok().and_then(|id| api.registry.get(&id)) else {
        return Ok(StatusCode::GONE);
    };
    let text = match message.trim() {
        "" => format!("Query {verb}. No message provided."),
        message => format!("Query {verb}. Message: {message}"),
    };
    let ended = query.fail(Failure::new(code, text));
    Ok(if ended { StatusCode::ACCEPTED } else { StatusCode::CONFLICT })
}

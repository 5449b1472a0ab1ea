//! CALL: the procedures that there are.

use waterbear_dialect::{Call, CallArgument, CallValue, failure_at, full_name};
use waterbear_ids::QueryId;
use waterbear_protocol::{ErrorCode, ErrorLocation, Failure};

use super::show::connector;
use crate::catalogs::Catalogs;
use crate::query::handle::QueryRegistry;
use crate::query::{ClientContext, Output};

/// A parameter of a procedure: its name, and whether it must be given.
type Parameter = (&'static str, bool);

const KILL_QUERY: [Parameter; 2] = [("query_id", true), ("message", false)];

/// Calls a procedure.
///
/// # Errors
/// PROCEDURE_NOT_FOUND, INVALID_ARGUMENTS for arguments that do not fit it, and what the
/// procedure itself refuses.
pub fn run_call(
    call: &Call,
    catalogs: &Catalogs,
    context: &ClientContext,
) -> Result<Output, Failure> {
    let at = call.procedure.location;
    let (catalog, schema, name) = full_name(&call.procedure.parts, context)
        .map_err(|(code, text)| failure_at(at, code, text))?;
    connector(catalogs, &catalog, at)?;
    match (catalog.as_str(), schema.as_str(), name.as_str()) {
        ("system", "runtime", "kill_query") => {
            let arguments = bind(call, &KILL_QUERY)?;
            let [id, message] = arguments.as_slice() else { return Err(unbound()) };
            kill_query(id.as_deref(), message.as_deref(), catalogs.queries())?;
        }
        _ => {
            let message = format!("Procedure not registered: {schema}.{name}");
            return Err(Failure::new(ErrorCode::PROCEDURE_NOT_FOUND, message));
        }
    }
    Ok(Output::done("CALL"))
}

fn unbound() -> Failure {
    Failure::new(ErrorCode::GENERIC_INTERNAL_ERROR, "a procedure without its arguments")
}

/// The value of each parameter; nothing for NULL and for what is not given.
fn bind(call: &Call, parameters: &[Parameter]) -> Result<Vec<Option<String>>, Failure> {
    let invalid = |at: Option<ErrorLocation>, text: String| {
        failure_at(at, ErrorCode::INVALID_ARGUMENTS, text)
    };
    let named = call.arguments.iter().filter(|argument| argument.name.is_some()).count();
    if named > 0 && named < call.arguments.len() {
        let message = "Named and positional arguments cannot be mixed";
        return Err(invalid(call.location, message.to_owned()));
    }
    let mut bound: Vec<Option<Option<String>>> = vec![None; parameters.len()];
    for (position, argument) in call.arguments.iter().enumerate() {
        let slot = match &argument.name {
            None => Some(position),
            Some(name) => parameters.iter().position(|(parameter, _)| parameter == name),
        };
        let Some(place) = slot.and_then(|slot| bound.get_mut(slot)) else {
            return Err(match &argument.name {
                Some(name) => invalid(argument.location, format!("Unknown argument name: {name}")),
                None => invalid(call.location, "Too many arguments for procedure".to_owned()),
            });
        };
        if place.is_some() {
            let name = argument.name.as_deref().unwrap_or_default();
            let message = format!("Duplicate procedure argument: {name}");
            return Err(invalid(argument.location, message));
        }
        *place = Some(varchar(argument)?);
    }
    for ((name, required), given) in parameters.iter().zip(&bound) {
        if *required && given.is_none() {
            let message = format!("Required procedure argument '{name}' is missing");
            return Err(invalid(call.location, message));
        }
    }
    Ok(bound.into_iter().map(Option::flatten).collect())
}

fn varchar(argument: &CallArgument) -> Result<Option<String>, Failure> {
    match &argument.value {
        CallValue::Null => Ok(None),
        CallValue::Text(text) => Ok(Some(text.clone())),
        CallValue::Number(text) => {
            let kind = if text.contains(['e', 'E']) {
                "double"
            } else if text.contains('.') {
                "decimal"
            } else {
                "integer"
            };
            let message = format!("Cannot cast type {kind} to varchar");
            Err(failure_at(argument.location, ErrorCode::TYPE_MISMATCH, message))
        }
        CallValue::Expression => {
            let message = "An argument of a procedure that is not a literal is not supported";
            Err(failure_at(argument.location, ErrorCode::NOT_SUPPORTED, message))
        }
    }
}

fn kill_query(
    id: Option<&str>,
    message: Option<&str>,
    queries: &QueryRegistry,
) -> Result<(), Failure> {
    let invalid = |text: String| Failure::new(ErrorCode::INVALID_PROCEDURE_ARGUMENT, text);
    let id = id.ok_or_else(|| invalid("query_id cannot be null".to_owned()))?;
    let parsed: QueryId = id.parse().map_err(|_| invalid(format!("Invalid query ID: {id}")))?;
    let Some(query) = queries.get(&parsed) else {
        let message = format!("Target query not found: {id}");
        return Err(Failure::new(ErrorCode::NOT_FOUND, message));
    };
    let reason = match message {
        None | Some("") => "Query killed. No message provided.".to_owned(),
        Some(text) => format!("Query killed. Message: {text}"),
    };
    if query.fail(Failure::new(ErrorCode::ADMINISTRATIVELY_KILLED, reason)) {
        return Ok(());
    }
    let message = format!("Target query is not running: {id}");
    Err(Failure::new(ErrorCode::NOT_SUPPORTED, message))
}

//! Answers statements about the client's session. What they change travels to the client in
//! headers; of all this the coordinator itself keeps nothing but open transactions.

use std::sync::Arc;

use datafusion::execution::SessionState;
use waterbear_dialect::{
    ClientContext, QualifiedName, Role, SessionStatement, check_session_property, failure_at,
    session_property,
};
use waterbear_protocol::{ErrorCode, ErrorLocation, Failure};

use crate::catalogs::Catalogs;
use crate::query::{Output, SessionChanges};
use crate::transactions::Transactions;

mod constant;
mod describe;
mod list;
#[cfg(test)]
mod tests;
mod zone;

/// Where statements without a name of their own are to blame.
const START: ErrorLocation = ErrorLocation { line_number: 1, column_number: 1 };

/// What statements about sessions need.
#[derive(Clone, Copy)]
pub struct SessionScope<'a> {
    /// What can be queried.
    pub catalogs: &'a Catalogs,
    /// Plans constants, and what DESCRIBE describes.
    pub state: &'a SessionState,
    /// All that are open.
    pub transactions: &'a Arc<Transactions>,
    /// The session.
    pub context: &'a ClientContext,
}

/// Answers a statement about the session.
///
/// # Errors
/// Trino's codes for properties, values, zones, roles and transactions that are not there or not
/// allowed.
pub async fn run_session(
    statement: &SessionStatement,
    scope: SessionScope<'_>,
) -> Result<Output, Failure> {
    let changed = |update_type: &str, changes: SessionChanges| {
        Ok(Output::done(update_type).with_changes(changes))
    };
    let none = SessionChanges::default;
    match statement {
        SessionStatement::Prepare { name, sql } => {
            let added_prepared = vec![(name.clone(), sql.clone())];
            changed("PREPARE", SessionChanges { added_prepared, ..none() })
        }
        SessionStatement::Deallocate { name } => {
            let deallocated_prepared = vec![name.clone()];
            changed("DEALLOCATE", SessionChanges { deallocated_prepared, ..none() })
        }
        SessionStatement::DescribeInput { parameters, statement, with_nulls } => {
            describe::input(*parameters, statement, with_nulls, scope).await
        }
        SessionStatement::DescribeOutput { statement } => describe::output(statement, scope).await,
        SessionStatement::StartTransaction { isolation, read_only } => {
            let id = scope.transactions.start(scope.context, *isolation, *read_only)?;
            let changes = SessionChanges { started_transaction: Some(id), ..none() };
            changed("START TRANSACTION", changes)
        }
        SessionStatement::Commit => {
            scope.transactions.commit(scope.context)?;
            changed("COMMIT", SessionChanges { clear_transaction: true, ..none() })
        }
        SessionStatement::Rollback => {
            scope.transactions.rollback(scope.context)?;
            changed("ROLLBACK", SessionChanges { clear_transaction: true, ..none() })
        }
        SessionStatement::SetSession { name, value } => {
            let property = property_name(name, scope.catalogs)?;
            let value = constant::evaluate(value, scope).await?.property_value(&property)?;
            check_session_property(&property, &value)
                .map_err(|failure| failure_at(name.location, failure.code, failure.message))?;
            let set_session = vec![(property, value)];
            changed("SET SESSION", SessionChanges { set_session, ..none() })
        }
        SessionStatement::ResetSession { name } => {
            let clear_session = vec![property_name(name, scope.catalogs)?];
            changed("RESET SESSION", SessionChanges { clear_session, ..none() })
        }
        SessionStatement::ShowSession { like } => list::show(like.as_ref(), scope.context),
        SessionStatement::SetTimeZone { value } => {
            let id = match value {
                None => zone::local(scope.context),
                Some(value) => zone::id(&constant::evaluate(value, scope).await?)?,
            };
            let set_session = vec![("time_zone_id".to_owned(), id)];
            changed("SET TIME ZONE", SessionChanges { set_session, ..none() })
        }
        SessionStatement::SetPath { path, catalogs } => {
            needs("PATH", "SET PATH", scope.context)?;
            for (catalog, at) in catalogs {
                known_catalog(catalog, *at, scope.catalogs)?;
            }
            changed("SET PATH", SessionChanges { set_path: Some(path.clone()), ..none() })
        }
        SessionStatement::SetRole { role, catalog } => {
            let set_roles = vec![set_role(role, catalog.as_ref(), scope.catalogs)?];
            changed("SET ROLE", SessionChanges { set_roles, ..none() })
        }
        SessionStatement::SetAuthorization { user } => {
            authorization(scope)?;
            let changes = SessionChanges { set_authorization_user: Some(user.clone()), ..none() };
            changed("SET SESSION AUTHORIZATION", changes)
        }
        SessionStatement::ResetAuthorization => {
            authorization(scope)?;
            let changes = SessionChanges { reset_authorization_user: true, ..none() };
            changed("RESET SESSION AUTHORIZATION", changes)
        }
    }
}

fn needs(capability: &str, statement: &str, context: &ClientContext) -> Result<(), Failure> {
    if context.is_capable_of(capability) {
        return Ok(());
    }
    let message = format!("{statement} not supported by client");
    Err(Failure::new(ErrorCode::INCOMPATIBLE_CLIENT, message))
}

/// Another user: allowed to all, since nobody is authenticated.
fn authorization(scope: SessionScope<'_>) -> Result<(), Failure> {
    needs("SESSION_AUTHORIZATION", "SET SESSION AUTHORIZATION", scope.context)?;
    if matches!(scope.context.transaction, waterbear_dialect::ClientTransaction::Open(_)) {
        let message = "Can't set authorization user in the middle of a transaction";
        return Err(Failure::new(ErrorCode::GENERIC_USER_ERROR, message));
    }
    Ok(())
}

fn known_catalog(
    name: &str,
    at: Option<ErrorLocation>,
    catalogs: &Catalogs,
) -> Result<(), Failure> {
    if catalogs.connector(name).is_some() {
        return Ok(());
    }
    let message = format!("Catalog '{name}' not found");
    Err(failure_at(at, ErrorCode::CATALOG_NOT_FOUND, message))
}

/// The name of a property that exists.
fn property_name(name: &QualifiedName, catalogs: &Catalogs) -> Result<String, Failure> {
    let full = name.parts.join(".");
    if let [catalog, _] = name.parts.as_slice() {
        known_catalog(catalog, Some(START), catalogs)?;
    } else if session_property(&full).is_some() {
        return Ok(full);
    }
    let message = format!("Session property '{full}' does not exist");
    Err(failure_at(Some(START), ErrorCode::INVALID_SESSION_PROPERTY, message))
}

/// No catalog has roles, and the system has none but those that everybody has.
fn set_role(
    role: &Role,
    catalog: Option<&QualifiedName>,
    catalogs: &Catalogs,
) -> Result<(String, String), Failure> {
    let catalog = match catalog {
        None => "system".to_owned(),
        Some(name) => {
            let catalog = name.parts.join(".");
            known_catalog(&catalog, name.location, catalogs)?;
            catalog
        }
    };
    match role {
        Role::None => Ok((catalog, "NONE".to_owned())),
        Role::All => Ok((catalog, "ALL".to_owned())),
        Role::Named { name, location } => {
            let message = format!("Role '{name}' does not exist");
            Err(failure_at(*location, ErrorCode::ROLE_NOT_FOUND, message))
        }
    }
}

//! Transactions as clients see them: ids, and what may be done under them. No catalog can write in
//! one yet, so there is nothing to roll back: a transaction that reads needs its id only.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use waterbear_dialect::{ClientContext, ClientTransaction, IsolationLevel};
use waterbear_protocol::{ErrorCode, Failure};

/// How long a transaction may do nothing (Trino's `transaction.idle-timeout`).
const IDLE_TIMEOUT: Duration = Duration::from_secs(300);

/// All open transactions.
#[derive(Debug, Default)]
pub struct Transactions {
    open: Mutex<HashMap<String, Transaction>>,
}

/// An open transaction.
#[derive(Debug)]
struct Transaction {
    read_only: bool,
    isolation: IsolationLevel,
    failed: bool,
    /// The catalog that it has written to.
    written: Option<String>,
    /// Statements that run in it.
    running: usize,
    last_used: Instant,
}

/// A statement that runs in a transaction: the transaction is not idle while this lives.
#[derive(Debug)]
pub struct InTransaction {
    transactions: Arc<Transactions>,
    id: String,
}

impl InTransaction {
    /// The statement has failed, so the transaction can only be rolled back.
    pub fn fail(&self) {
        if let Some(transaction) = self.transactions.open().get_mut(&self.id) {
            transaction.failed = true;
        }
    }
}

impl Drop for InTransaction {
    fn drop(&mut self) {
        if let Some(transaction) = self.transactions.open().get_mut(&self.id) {
            transaction.running = transaction.running.saturating_sub(1);
            transaction.last_used = Instant::now();
        }
    }
}

fn unknown(id: &str) -> Failure {
    let message = format!(
        "Unknown transaction ID: {id}. Possibly expired? Commands ignored until end of transaction block"
    );
    Failure::new(ErrorCode::UNKNOWN_TRANSACTION, message)
}

fn aborted() -> Failure {
    let message = "Current transaction is aborted, commands ignored until end of transaction block";
    Failure::new(ErrorCode::TRANSACTION_ALREADY_ABORTED, message)
}

impl Transactions {
    /// The open transactions, without those that were idle for too long.
    fn open(&self) -> MutexGuard<'_, HashMap<String, Transaction>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, transaction| {
            transaction.running > 0 || transaction.last_used.elapsed() < IDLE_TIMEOUT
        });
        open
    }

    /// A statement begins: in the client's transaction, if it has one.
    ///
    /// # Errors
    /// UNKNOWN_TRANSACTION, TRANSACTION_ALREADY_ABORTED.
    pub fn enter(
        self: &Arc<Self>,
        context: &ClientContext,
    ) -> Result<Option<InTransaction>, Failure> {
        let ClientTransaction::Open(id) = &context.transaction else { return Ok(None) };
        let mut open = self.open();
        let transaction = open.get_mut(id).ok_or_else(|| unknown(id))?;
        if transaction.failed {
            return Err(aborted());
        }
        transaction.running += 1;
        Ok(Some(InTransaction { transactions: Arc::clone(self), id: id.clone() }))
    }

    /// START TRANSACTION: its id.
    ///
    /// # Errors
    /// INCOMPATIBLE_CLIENT for a client without transactions, NOT_SUPPORTED inside of another.
    pub fn start(
        &self,
        context: &ClientContext,
        isolation: IsolationLevel,
        read_only: bool,
    ) -> Result<String, Failure> {
        match context.transaction {
            ClientTransaction::Unsupported => {
                let message = "Client does not support transactions";
                return Err(Failure::new(ErrorCode::INCOMPATIBLE_CLIENT, message));
            }
            ClientTransaction::Open(_) => {
                let message = "Nested transactions not supported";
                return Err(Failure::new(ErrorCode::NOT_SUPPORTED, message));
            }
            ClientTransaction::None => {}
        }
        let id = new_id();
        let transaction = Transaction {
            read_only,
            isolation,
            failed: false,
            written: None,
            running: 0,
            last_used: Instant::now(),
        };
        tracing::debug!(%id, isolation = transaction.isolation.name(), read_only, "transaction starts");
        self.open().insert(id.clone(), transaction);
        Ok(id)
    }

    /// COMMIT.
    ///
    /// # Errors
    /// NOT_IN_TRANSACTION, UNKNOWN_TRANSACTION; TRANSACTION_ALREADY_ABORTED when a statement of it
    /// has failed: then it is over all the same.
    pub fn commit(&self, context: &ClientContext) -> Result<(), Failure> {
        let id = current(context)?;
        match self.open().remove(id) {
            None => Err(unknown(id)),
            Some(transaction) if transaction.failed => Err(aborted()),
            Some(_) => Ok(()),
        }
    }

    /// ROLLBACK. A transaction that nobody knows (any more) has nothing to roll back.
    ///
    /// # Errors
    /// NOT_IN_TRANSACTION.
    pub fn rollback(&self, context: &ClientContext) -> Result<(), Failure> {
        self.open().remove(current(context)?);
        Ok(())
    }

    /// Must be asked before a statement writes to a catalog.
    ///
    /// # Errors
    /// READ_ONLY_VIOLATION, MULTI_CATALOG_WRITE_CONFLICT; AUTOCOMMIT_WRITE_CONFLICT when the
    /// catalog can only write with each statement on its own; UNKNOWN_TRANSACTION.
    pub fn check_write(
        &self,
        context: &ClientContext,
        catalog: &str,
        autocommit_only: bool,
    ) -> Result<(), Failure> {
        let ClientTransaction::Open(id) = &context.transaction else { return Ok(()) };
        let mut open = self.open();
        let transaction = open.get_mut(id).ok_or_else(|| unknown(id))?;
        if transaction.read_only {
            let message = "Cannot execute write in a read-only transaction";
            return Err(Failure::new(ErrorCode::READ_ONLY_VIOLATION, message));
        }
        if autocommit_only {
            let message = format!("Catalog only supports writes using autocommit: {catalog}");
            return Err(Failure::new(ErrorCode::AUTOCOMMIT_WRITE_CONFLICT, message));
        }
        let written = transaction.written.get_or_insert_with(|| catalog.to_owned());
        if written == catalog {
            return Ok(());
        }
        let message = format!(
            "Multi-catalog writes not supported in a single transaction. Already wrote to catalog {written}"
        );
        Err(Failure::new(ErrorCode::MULTI_CATALOG_WRITE_CONFLICT, message))
    }
}

fn current(context: &ClientContext) -> Result<&str, Failure> {
    match &context.transaction {
        ClientTransaction::Open(id) => Ok(id),
        _ => Err(Failure::new(ErrorCode::NOT_IN_TRANSACTION, "No transaction in progress")),
    }
}

/// A random UUID (RFC 9562, version 4).
fn new_id() -> String {
    let bits = rand::random::<u128>() & !(0xf << 76) & !(0x3 << 62) | 0x4 << 76 | 0x2 << 62;
    let hex = format!("{bits:032x}");
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn context(transaction: ClientTransaction) -> ClientContext {
        ClientContext { transaction, ..ClientContext::default() }
    }

    fn started(transactions: &Transactions, read_only: bool) -> ClientContext {
        let none = context(ClientTransaction::None);
        let id = transactions.start(&none, IsolationLevel::Serializable, read_only).unwrap();
        context(ClientTransaction::Open(id))
    }

    #[test]
    fn ids_are_uuids() {
        let id = new_id();
        assert!(id.split('-').map(str::len).eq([8, 4, 4, 4, 12]), "{id}");
        assert_eq!(&id[14..15], "4");
        assert!("89ab".contains(&id[19..20]), "{id}");
        assert_ne!(new_id(), id);
    }

    #[test]
    fn a_transaction_lives_from_start_to_commit() {
        let transactions = Arc::new(Transactions::default());
        let within = started(&transactions, false);
        assert!(transactions.enter(&within).unwrap().is_some());
        let nested = transactions.start(&within, IsolationLevel::Serializable, true);
        assert_eq!(nested.unwrap_err().code, ErrorCode::NOT_SUPPORTED);
        assert_eq!(transactions.commit(&within), Ok(()));
        assert_eq!(transactions.enter(&within).unwrap_err().code, ErrorCode::UNKNOWN_TRANSACTION);
        assert_eq!(transactions.commit(&within).unwrap_err().code, ErrorCode::UNKNOWN_TRANSACTION);
        let none = context(ClientTransaction::None);
        assert!(transactions.enter(&none).unwrap().is_none());
        assert_eq!(transactions.commit(&none).unwrap_err().code, ErrorCode::NOT_IN_TRANSACTION);
        assert_eq!(transactions.rollback(&none).unwrap_err().code, ErrorCode::NOT_IN_TRANSACTION);
        let old = context(ClientTransaction::Unsupported);
        let refused = transactions.start(&old, IsolationLevel::Serializable, true);
        assert_eq!(refused.unwrap_err().code, ErrorCode::INCOMPATIBLE_CLIENT);
    }

    #[test]
    fn after_a_failure_there_is_only_rollback() {
        let transactions = Arc::new(Transactions::default());
        let within = started(&transactions, false);
        transactions.enter(&within).unwrap().unwrap().fail();
        let code = ErrorCode::TRANSACTION_ALREADY_ABORTED;
        assert_eq!(transactions.enter(&within).unwrap_err().code, code);
        assert_eq!(transactions.rollback(&within), Ok(()));
        assert!(transactions.open().is_empty());
        let within = started(&transactions, false);
        transactions.enter(&within).unwrap().unwrap().fail();
        assert_eq!(transactions.commit(&within).unwrap_err().code, code);
        assert!(transactions.open().is_empty());
    }

    #[test]
    fn writes_are_checked() {
        let transactions = Transactions::default();
        let code = |context: &ClientContext, catalog: &str, autocommit| {
            transactions.check_write(context, catalog, autocommit).err().map(|failure| failure.code)
        };
        let read_only = started(&transactions, true);
        assert_eq!(code(&read_only, "a", false), Some(ErrorCode::READ_ONLY_VIOLATION));
        let writing = started(&transactions, false);
        assert_eq!(code(&writing, "a", true), Some(ErrorCode::AUTOCOMMIT_WRITE_CONFLICT));
        assert_eq!(code(&writing, "a", false), None);
        assert_eq!(code(&writing, "a", false), None);
        assert_eq!(code(&writing, "b", false), Some(ErrorCode::MULTI_CATALOG_WRITE_CONFLICT));
        assert_eq!(code(&ClientContext::default(), "a", true), None);
    }

    #[test]
    fn idle_transactions_expire() {
        let transactions = Arc::new(Transactions::default());
        let (busy, idle) = (started(&transactions, true), started(&transactions, true));
        let running = transactions.enter(&busy).unwrap();
        for transaction in transactions.open.lock().unwrap().values_mut() {
            let Some(past) = Instant::now().checked_sub(IDLE_TIMEOUT) else { return };
            transaction.last_used = past;
        }
        assert_eq!(transactions.enter(&idle).unwrap_err().code, ErrorCode::UNKNOWN_TRANSACTION);
        assert!(transactions.enter(&busy).is_ok());
        drop(running);
        assert!(transactions.enter(&busy).is_ok());
    }
}

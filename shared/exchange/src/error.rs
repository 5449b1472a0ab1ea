//! Why an exchange source cannot read a producer, with the producer's name.

use waterbear_ids::AttemptId;
use waterbear_protocol::membership::NodeInfo;
use waterbear_protocol::{ErrorCode, Failure};

use crate::fetch::FetchError;

/// A producer whose output cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "cannot read the output of task {attempt} from {} {} at {}:{}: {cause}",
    node.role, node.node_id, node.host, node.internal_port
)]
pub struct ExchangeError {
    /// The attempt that produces the output.
    pub attempt: AttemptId,
    /// The node that runs it.
    pub node: Box<NodeInfo>,
    /// What went wrong.
    pub cause: FetchError,
}

impl From<ExchangeError> for Failure {
    fn from(error: ExchangeError) -> Self {
        let code = match &error.cause {
            // What failed the producer is what failed the query: its own words, its own node.
            FetchError::Failed(failure) => {
                let mut failure = failure.as_ref().clone();
                failure.node.get_or_insert(error.node.node_id);
                return failure;
            }
            FetchError::Gone(_) => ErrorCode::REMOTE_HOST_GONE,
            FetchError::TimedOut(_) => ErrorCode::PAGE_TRANSPORT_TIMEOUT,
            FetchError::Malformed(_) => ErrorCode::CORRUPT_PAGE,
            FetchError::Lost(_) => {
                let failure = Failure::new(ErrorCode::PAGE_TRANSPORT_ERROR, error.to_string());
                return failure.on(error.node.node_id).without_input(error.attempt);
            }
            FetchError::Dropped(_)
            | FetchError::Broken(_)
            | FetchError::Storage(_)
            | FetchError::Overloaded
            | FetchError::Refused(_) => ErrorCode::PAGE_TRANSPORT_ERROR,
        };
        Failure::new(code, error.to_string()).on(error.node.node_id)
    }
}

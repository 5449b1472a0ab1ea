//! How a call to a peer fails, told apart by what the caller can do about it.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::{Extensions, StatusCode};
use hyper_util::client::legacy;
use internal_tls::HandshakeError;
use tower::BoxError;

use crate::connect::Facts;
use crate::stack::HeadTimedOut;

/// Why a call failed. Each names the peer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum OutboundError {
    /// The machine is there, but nothing listens at the port: the process is gone.
    #[error("{peer} refused the connection: nothing listens there")]
    Refused {
        /// The peer.
        peer: String,
    },
    /// No connection: no such host, no route, or no answer to the attempt.
    #[error("{peer} cannot be reached: {reason}")]
    Unreachable {
        /// The peer.
        peer: String,
        /// Why.
        reason: String,
    },
    /// One side refused the other's certificate, or the peer is someone else.
    #[error("{peer}: {cause}")]
    Tls {
        /// The peer.
        peer: String,
        /// Which side refused which, and the cure.
        cause: Arc<HandshakeError>,
    },
    /// The head of the response did not come in time (for [`crate::InternalClient::json`]: or
    /// the body).
    #[error("{peer} did not answer within {after:?}")]
    Timeout {
        /// The peer.
        peer: String,
        /// How long it had.
        after: Duration,
    },
    /// The connection broke after it was made. The peer may have got the request.
    #[error("the connection to {peer} broke: {reason}")]
    Reset {
        /// The peer.
        peer: String,
        /// What is known of it.
        reason: String,
    },
    /// The peer answered with a status that is not a success.
    #[error("{peer} answered {status}: {body}")]
    Status {
        /// The peer.
        peer: String,
        /// The status.
        status: StatusCode,
        /// The begin of the body.
        body: String,
    },
    /// The peer's answer is not what it should be, or the request could not be made.
    #[error("{peer}: {reason}")]
    Decode {
        /// The peer.
        peer: String,
        /// What is wrong.
        reason: String,
    },
    /// The peer's URI is `http`, which this node's configuration forbids.
    #[error(
        "{peer} has an http URI in discovery.uri, but internal-communication.https.required is true: nothing was sent"
    )]
    Insecure {
        /// The peer.
        peer: String,
    },
}

impl OutboundError {
    /// True when the peer's process is certainly gone.
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Refused { .. })
    }

    /// True when the peer could not be told from a stranger, or took us for one: it stays so until
    /// someone changes a configuration or a clock.
    pub fn is_refused_identity(&self) -> bool {
        match self {
            Self::Tls { .. } | Self::Insecure { .. } => true,
            Self::Status { status, .. } => *status == StatusCode::UNAUTHORIZED,
            _ => false,
        }
    }

    /// What went wrong in the stack or below.
    pub(crate) fn of(peer: &str, error: &BoxError) -> Self {
        let peer = peer.to_owned();
        if let Some(HeadTimedOut(after)) = error.downcast_ref() {
            return Self::Timeout { peer, after: *after };
        }
        let Some(http) = error.downcast_ref::<legacy::Error>() else {
            return Self::Decode { peer, reason: chain(error.as_ref()) };
        };
        if let Some(cause) = refusal_on_connection(http) {
            return Self::Tls { peer, cause };
        }
        for cause in causes(error.as_ref()) {
            if let Some(handshake) = cause.downcast_ref::<HandshakeError>() {
                return Self::of_handshake(peer, handshake);
            }
            if let Some(io) = cause.downcast_ref::<io::Error>() {
                if let Some(refusal) = HandshakeError::from_stream_error(io) {
                    return Self::Tls { peer, cause: Arc::new(refusal) };
                }
                if http.is_connect() {
                    return Self::of_connect(peer, io);
                }
            }
        }
        let reason = chain(error.as_ref());
        if http.is_connect() {
            Self::Unreachable { peer, reason }
        } else {
            Self::Reset { peer, reason }
        }
    }

    fn of_connect(peer: String, error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::Refused { peer },
            // A connection was there: a listener that closed, or one whose queue is full.
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
                Self::Reset { peer, reason: error.to_string() }
            }
            _ => Self::Unreachable { peer, reason: error.to_string() },
        }
    }

    fn of_handshake(peer: String, error: &HandshakeError) -> Self {
        match error {
            HandshakeError::Timeout(after) => Self::Timeout { peer, after: *after },
            HandshakeError::Io(_) => Self::Reset { peer, reason: error.to_string() },
            _ => Self::Tls { peer, cause: Arc::new(error.clone()) },
        }
    }
}

/// The refusal that the connection saw, if it did.
fn refusal_on_connection(error: &legacy::Error) -> Option<Arc<HandshakeError>> {
    let mut extensions = Extensions::new();
    error.connect_info()?.get_extras(&mut extensions);
    extensions.get::<Facts>()?.refusal()
}

/// The error and what caused it, outermost first.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| {
        let error: &'a (dyn Error + 'static) = *error;
        // An io::Error hides the error that it was made of from source().
        match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner as &(dyn Error + 'static)),
            None => error.source(),
        }
    })
}

/// All causes in one line, each text once.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = String::new();
    for cause in causes(error) {
        let next = cause.to_string();
        if !text.contains(&next) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&next);
        }
    }
    text
}

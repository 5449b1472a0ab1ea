//! Why a request was refused: the text of the 401.

/// Why a request has no valid token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The header is absent.
    #[error(
        "the header X-Trino-Internal-Bearer is missing: only nodes of the cluster may call this"
    )]
    Missing,
    /// The header is there more than once.
    #[error("more than one X-Trino-Internal-Bearer header")]
    Repeated,
    /// The token is longer than any that a node makes.
    #[error("the token is longer than {limit} bytes")]
    TooLong {
        /// The longest that is read.
        limit: usize,
    },
    /// Not three parts of base64url, or a part is not the JSON object that it must be.
    #[error("the token's {0} is malformed")]
    Malformed(&'static str),
    /// Another algorithm than HS256.
    #[error("the token's algorithm is not HS256")]
    Algorithm,
    /// Signed with a key that this node does not have.
    #[error(
        "the token is signed with another key: internal-communication.shared-secret must be the same on all nodes"
    )]
    UnknownKey,
    /// The signature is not the key's.
    #[error("the token's signature is wrong")]
    Signature,
    /// A claim is absent.
    #[error("the token has no claim '{0}'")]
    MissingClaim(&'static str),
    /// Past its end.
    #[error("the token expired {seconds} s ago: compare the clocks of both machines")]
    Expired {
        /// Seconds since its end, by this node's clock.
        seconds: u64,
    },
    /// Before its start.
    #[error("the token begins in {seconds} s: compare the clocks of both machines")]
    NotYetValid {
        /// Seconds until its start, by this node's clock.
        seconds: u64,
    },
    /// Valid for longer than allowed, or ends before it begins.
    #[error("the token's life is not between 1 and {limit} s")]
    Life {
        /// The longest allowed.
        limit: u64,
    },
    /// Meant for another node.
    #[error("the token is meant for '{theirs}', this is '{ours}'")]
    Audience {
        /// Whom the token is meant for.
        theirs: String,
        /// What this node is.
        ours: String,
    },
    /// Of a node of another environment.
    #[error("the caller belongs to environment '{theirs}', this node to '{ours}'")]
    Environment {
        /// The caller's environment.
        theirs: String,
        /// This node's.
        ours: String,
    },
    /// Of a node of a role that may not call this.
    #[error("a {role} may not call this")]
    Role {
        /// The caller's role.
        role: String,
    },
    /// The connection has no client certificate to which the token could be bound.
    #[error("this connection has no client certificate")]
    NoCertificate,
    /// Bound to another certificate than the one of this connection.
    #[error("the token is bound to another certificate than this connection's")]
    OtherCertificate,
}

//! The client's layer: signs each request for the node that it goes to.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{SystemTime, UNIX_EPOCH};

use http::{HeaderValue, Request};
use tower::{BoxError, Layer, Service};

use crate::{Caller, HEADER, TokenKey};

/// Request extension: whom the request goes to. [`SignInternalJwt`] requires it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audience {
    /// The called node's environment.
    pub environment: String,
    /// The called node's role.
    pub role: String,
}

/// Why a request could not be signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// The request has no extension [`Audience`].
    #[error("the request has no audience to sign for")]
    NoAudience,
    /// The token could not be made.
    #[error("the token could not be made")]
    Token(#[from] jsonwebtoken::errors::Error),
}

/// Signs in the name of one node, bound to one certificate.
#[derive(Debug, Clone)]
pub struct Signer(Arc<SignerState>);

#[derive(Debug)]
struct SignerState {
    key: TokenKey,
    caller: Caller,
    thumbprint: Option<[u8; 32]>,
}

impl Signer {
    /// A signer for `caller`. With a thumbprint, its tokens are good only on connections that
    /// present that certificate.
    pub fn new(key: TokenKey, caller: Caller, thumbprint: Option<[u8; 32]>) -> Self {
        Self(Arc::new(SignerState { key, caller, thumbprint }))
    }

    /// A token for the audience, valid from now for a minute.
    pub fn token(&self, audience: &Audience) -> Result<String, SignError> {
        let SignerState { key, caller, thumbprint } = &*self.0;
        let audience = format!("{}/{}", audience.environment, audience.role);
        Ok(key.sign(caller, &audience, *thumbprint, unix_seconds())?)
    }
}

/// Seconds since the Unix epoch.
pub(crate) fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

/// Applies [`SignInternalJwt`].
#[derive(Debug, Clone)]
pub struct SignInternalJwtLayer {
    signer: Signer,
}

impl SignInternalJwtLayer {
    /// A layer that signs with the signer.
    pub fn new(signer: Signer) -> Self {
        Self { signer }
    }
}

// === impl SignInternalJwtLayer ===

impl<S> Layer<S> for SignInternalJwtLayer {
    type Service = SignInternalJwt<S>;

    fn layer(&self, inner: S) -> Self::Service {
        SignInternalJwt { inner, signer: self.signer.clone() }
    }
}

/// Gives each request a fresh token for the [`Audience`] in its extensions. Belongs inside of any
/// retry: a late attempt must not carry a stale token. Nothing is cached; a token takes a few
/// microseconds.
#[derive(Debug, Clone)]
pub struct SignInternalJwt<S> {
    inner: S,
    signer: Signer,
}

// === impl SignInternalJwt ===

impl<S> SignInternalJwt<S> {
    fn sign<B>(&self, request: &mut Request<B>) -> Result<(), SignError> {
        let audience = request.extensions().get().ok_or(SignError::NoAudience)?;
        let token = self.signer.token(audience)?;
        // A token is ASCII: base64url and dots.
        let mut value = HeaderValue::try_from(token).map_err(|_| SignError::NoAudience)?;
        // Kept out of logs and of HPACK's dynamic table.
        value.set_sensitive(true);
        request.headers_mut().insert(HEADER, value);
        Ok(())
    }
}

impl<S, B> Service<Request<B>> for SignInternalJwt<S>
where
    S: Service<Request<B>>,
    S::Error: Into<BoxError>,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = future::Signed<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        match self.sign(&mut request) {
            Ok(()) => future::Signed::sent(self.inner.call(request)),
            Err(error) => future::Signed::failed(error),
        }
    }
}

/// The layer's future.
pub mod future {
    use std::future::Future;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use pin_project_lite::pin_project;
    use tower::BoxError;

    use super::SignError;

    pin_project! {
        /// The response to a signed request.
        pub struct Signed<F> {
            #[pin]
            kind: Kind<F>,
        }
    }

    pin_project! {
        #[project = KindProjection]
        enum Kind<F> {
            Sent { #[pin] response: F },
            Failed { error: Option<SignError> },
        }
    }

    impl<F> Signed<F> {
        pub(super) fn sent(response: F) -> Self {
            Self { kind: Kind::Sent { response } }
        }

        pub(super) fn failed(error: SignError) -> Self {
            Self { kind: Kind::Failed { error: Some(error) } }
        }
    }

    impl<F, T, E> Future for Signed<F>
    where
        F: Future<Output = Result<T, E>>,
        E: Into<BoxError>,
    {
        type Output = Result<T, BoxError>;

        fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
            match self.project().kind.project() {
                KindProjection::Sent { response } => response.poll(cx).map_err(Into::into),
                KindProjection::Failed { error } => match error.take() {
                    Some(error) => Poll::Ready(Err(error.into())),
                    // Polled after it was ready, which no caller may do.
                    None => Poll::Pending,
                },
            }
        }
    }
}

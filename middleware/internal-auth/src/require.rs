//! The server's layer: lets only requests with a valid token pass.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{SystemTime, UNIX_EPOCH};

use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use tower::{Layer, Service};

use crate::sign::unix_seconds;
use crate::token::{Binding, Expected, check};
use crate::{Caller, CertificateThumbprint, HEADER, Refusal, TIME_HEADER, TokenKey};

/// What tokens must say.
#[derive(Debug, Clone)]
pub struct Requirements {
    /// This node's environment: callers' and tokens' must be the same.
    pub environment: String,
    /// This node's role: tokens must be meant for it.
    pub role: String,
    /// The roles that may call.
    pub allowed_roles: Vec<String>,
    /// Whether connections are mutual TLS: then a token must be bound to the connection's
    /// certificate ([`CertificateThumbprint`]).
    pub certificate_bound: bool,
}

/// Applies [`RequireInternalJwt`].
#[derive(Debug, Clone)]
pub struct RequireInternalJwtLayer {
    checker: Arc<Checker>,
}

#[derive(Debug)]
struct Checker {
    key: TokenKey,
    requirements: Requirements,
}

impl RequireInternalJwtLayer {
    /// A layer that requires tokens of the key.
    pub fn new(key: TokenKey, requirements: Requirements) -> Self {
        Self { checker: Arc::new(Checker { key, requirements }) }
    }
}

// === impl RequireInternalJwtLayer ===

impl<S> Layer<S> for RequireInternalJwtLayer {
    type Service = RequireInternalJwt<S>;

    fn layer(&self, inner: S) -> Self::Service {
        RequireInternalJwt { inner, checker: self.checker.clone() }
    }
}

// === impl Checker ===

impl Checker {
    fn check<B>(&self, request: &Request<B>) -> Result<Caller, Refusal> {
        let token = only_token(request.headers())?;
        let Requirements { environment, role, allowed_roles, certificate_bound } =
            &self.requirements;
        let binding = if *certificate_bound {
            let thumbprint = request.extensions().get::<CertificateThumbprint>();
            Binding::Certificate(thumbprint.ok_or(Refusal::NoCertificate)?.0)
        } else {
            Binding::None
        };
        let expected = Expected { environment, role, allowed_roles, binding };
        check(&self.key, token, &expected, unix_seconds())
    }
}

fn only_token(headers: &HeaderMap) -> Result<&str, Refusal> {
    let mut tokens = headers.get_all(HEADER).iter();
    let token = tokens.next().ok_or(Refusal::Missing)?;
    if tokens.next().is_some() {
        return Err(Refusal::Repeated);
    }
    token.to_str().map_err(|_| Refusal::Malformed("form"))
}

/// Answers requests without a valid token with 401, a line that says why, and this node's time
/// ([`TIME_HEADER`]), before a byte of the body is read. Others get the extension [`Caller`]. The
/// response to a refused request carries the [`Refusal`] as an extension, for layers outside that
/// count or log.
#[derive(Debug, Clone)]
pub struct RequireInternalJwt<S> {
    inner: S,
    checker: Arc<Checker>,
}

// === impl RequireInternalJwt ===

impl<S, B, R> Service<Request<B>> for RequireInternalJwt<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: From<String>,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = future::Checked<S::Future, R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        match self.checker.check(&request) {
            Ok(caller) => {
                request.extensions_mut().insert(caller);
                future::Checked::passed(self.inner.call(request))
            }
            Err(refusal) => future::Checked::refused(unauthorized(refusal)),
        }
    }
}

fn unauthorized<R: From<String>>(refusal: Refusal) -> Response<R> {
    let body = R::from(format!("internal request refused: {refusal}\n"));
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::UNAUTHORIZED;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let milliseconds = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
    let headers = response.headers_mut();
    headers.insert(TIME_HEADER, HeaderValue::from(milliseconds));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response.extensions_mut().insert(refusal);
    response
}

/// The layer's future.
pub mod future {
    use std::future::Future;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use http::Response;
    use pin_project_lite::pin_project;

    pin_project! {
        /// The response to a checked request.
        pub struct Checked<F, R> {
            #[pin]
            kind: Kind<F, R>,
        }
    }

    pin_project! {
        #[project = KindProjection]
        enum Kind<F, R> {
            Passed { #[pin] response: F },
            Refused { response: Option<Response<R>> },
        }
    }

    impl<F, R> Checked<F, R> {
        pub(super) fn passed(response: F) -> Self {
            Self { kind: Kind::Passed { response } }
        }

        pub(super) fn refused(response: Response<R>) -> Self {
            Self { kind: Kind::Refused { response: Some(response) } }
        }
    }

    impl<F, R, E> Future for Checked<F, R>
    where
        F: Future<Output = Result<Response<R>, E>>,
    {
        type Output = F::Output;

        fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
            match self.project().kind.project() {
                KindProjection::Passed { response } => response.poll(cx),
                KindProjection::Refused { response } => match response.take() {
                    Some(response) => Poll::Ready(Ok(response)),
                    // Polled after it was ready, which no caller may do.
                    None => Poll::Pending,
                },
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::convert::Infallible;

    use tower::{ServiceBuilder, ServiceExt, service_fn};

    use super::*;
    use crate::{Audience, SignInternalJwtLayer, Signer};

    const THUMBPRINT: [u8; 32] = [9; 32];

    fn key() -> TokenKey {
        TokenKey::new(&[1; 32], "k1")
    }

    fn layer() -> RequireInternalJwtLayer {
        let requirements = Requirements {
            environment: "test".into(),
            role: "worker".into(),
            allowed_roles: vec!["coordinator".into()],
            certificate_bound: true,
        };
        RequireInternalJwtLayer::new(key(), requirements)
    }

    fn token() -> String {
        let caller = Caller {
            environment: "test".into(),
            role: "coordinator".into(),
            node_id: "c-1".into(),
        };
        let audience = Audience { environment: "test".into(), role: "worker".into() };
        Signer::new(key(), caller, Some(THUMBPRINT)).token(&audience).unwrap()
    }

    /// The response of a service that answers with its caller's id.
    async fn answer(request: Request<()>) -> Response<String> {
        let inner = service_fn(|request: Request<()>| async move {
            let caller: &Caller = request.extensions().get().unwrap();
            Ok::<_, Infallible>(Response::new(caller.node_id.clone()))
        });
        layer().layer(inner).oneshot(request).await.unwrap()
    }

    fn request(tokens: &[&str], thumbprint: Option<[u8; 32]>) -> Request<()> {
        let mut request = Request::new(());
        for token in tokens {
            request.headers_mut().append(HEADER, token.parse().unwrap());
        }
        if let Some(thumbprint) = thumbprint {
            request.extensions_mut().insert(CertificateThumbprint(thumbprint));
        }
        request
    }

    #[tokio::test]
    async fn caller_reaches_the_service() {
        let response = answer(request(&[&token()], Some(THUMBPRINT))).await;
        assert_eq!((response.status(), response.body().as_str()), (StatusCode::OK, "c-1"));
    }

    #[tokio::test]
    async fn refusal_says_why_and_what_time_it_is_here() {
        let response = answer(request(&[], Some(THUMBPRINT))).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert!(response.body().contains("X-Trino-Internal-Bearer is missing"));
        assert_eq!(response.extensions().get(), Some(&Refusal::Missing));
        let time: u64 = response.headers()[TIME_HEADER].to_str().unwrap().parse().unwrap();
        assert!(time / 1000 >= unix_seconds() - 5);
    }

    #[tokio::test]
    async fn second_token_and_missing_certificate_are_refused() {
        let token = token();
        for (tokens, thumbprint, refusal) in [
            (vec![&*token, &*token], Some(THUMBPRINT), Refusal::Repeated),
            (vec![&*token], None, Refusal::NoCertificate),
            (vec![&*token], Some([8; 32]), Refusal::OtherCertificate),
            (vec![""], Some(THUMBPRINT), Refusal::Malformed("header")),
        ] {
            let response = answer(request(&tokens, thumbprint)).await;
            assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
            assert_eq!(response.extensions().get(), Some(&refusal));
        }
    }

    #[tokio::test]
    async fn client_layer_signs_for_the_audience_and_refuses_to_guess_it() {
        let caller = Caller {
            environment: "test".into(),
            role: "coordinator".into(),
            node_id: "c-1".into(),
        };
        let echo = service_fn(|request: Request<()>| async move {
            Ok::<_, Infallible>(request.headers()[HEADER].to_str().unwrap().to_owned())
        });
        let client = ServiceBuilder::new()
            .layer(SignInternalJwtLayer::new(Signer::new(key(), caller, Some(THUMBPRINT))))
            .service(echo);
        let mut signed = Request::new(());
        signed
            .extensions_mut()
            .insert(Audience { environment: "test".into(), role: "worker".into() });
        let token = client.clone().oneshot(signed).await.unwrap();
        let response = answer(request(&[&token], Some(THUMBPRINT))).await;
        assert_eq!(response.status(), StatusCode::OK);
        let error = client.oneshot(Request::new(())).await.unwrap_err();
        assert!(error.is::<crate::SignError>(), "{error}");
    }
}

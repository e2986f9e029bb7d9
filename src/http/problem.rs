//! The one error shape: `{"error":{"code","message"}}`.

use std::{borrow::Cow, error::Error, time::Duration};

use axum::{
    http::{
        HeaderValue, StatusCode,
        header::{RETRY_AFTER, WWW_AUTHENTICATE},
    },
    response::{IntoResponse, Response},
};
use serde::Serialize;
use tracing::{error, warn};

use super::Json;
use crate::base::{Unavailable, chain};

/// An answer that is not the one asked for. `code` is stable, and is the metric's label; `message` is safe to show.
/// Capabilities convert their own errors into it, in their `http.rs`.
#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    message: Cow<'static, str>,
    retry_after_seconds: Option<u64>,
}

/// Left in a response's extensions for the metrics.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct ProblemCode(pub(super) &'static str);

impl Problem {
    /// Any status and code. Prefer the named ones below where they fit.
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self { status, code, message: message.into(), retry_after_seconds: None }
    }

    /// 400 `invalid_request`: `message` says which field takes what.
    pub fn invalid_request(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", message)
    }

    /// 503 `service_unavailable`, worth another try in a second. Logs the cause, once.
    #[must_use]
    pub fn unavailable(unavailable: &Unavailable) -> Self {
        warn!(
            dependency = unavailable.dependency,
            cause = chain(&*unavailable.source),
            "service unavailable"
        );
        Self::busy()
    }

    /// 503 `service_unavailable` for a reason that is not an error of anybody's.
    #[must_use]
    pub fn busy() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "service_unavailable", "service is unavailable")
            .retry_after(1)
    }

    /// 500 `internal_error`: a fault of ours. Logs the cause, once.
    #[must_use]
    pub fn internal(cause: &(dyn Error + 'static)) -> Self {
        error!(cause = chain(cause), "internal error");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", "internal server error")
    }

    /// 500 `internal_error` for a panic, which the panic hook has logged already.
    pub(super) fn panicked() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", "internal server error")
    }

    /// 401 `unauthorized`: a bearer token is missing or wrong.
    pub(super) fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", "a valid bearer token is needed")
    }

    /// 404 `not_found`: no operation has this path.
    pub(super) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "there is nothing here")
    }

    /// 405 `method_not_allowed`. The router adds `Allow`.
    pub(super) fn method_not_allowed() -> Self {
        let message = "this path does not take this method";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message)
    }

    /// 408 `request_timeout`: the body did not arrive in time. The connection ends with it, as the rest may still come.
    pub(super) fn request_timeout() -> Self {
        let message = "the request body did not arrive in time";
        Self::new(StatusCode::REQUEST_TIMEOUT, "request_timeout", message)
    }

    /// 413 `request_too_large`.
    pub(super) fn request_too_large() -> Self {
        let message = "the request body is larger than 16 KiB";
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "request_too_large", message)
    }

    /// 429 `rate_limited`. The seconds are rounded up: whoever waits as long as he is told is not early.
    #[must_use]
    pub fn rate_limited(wait: Duration) -> Self {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", "too many requests; try again later")
            .retry_after(seconds)
    }

    /// The status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Which one it is.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        self.code
    }

    /// Adds `Retry-After`, in seconds.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after_seconds = Some(seconds);
        self
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        #[derive(Serialize)]
        struct Envelope<'a> {
            error: Body<'a>,
        }
        #[derive(Serialize)]
        struct Body<'a> {
            code: &'a str,
            message: &'a str,
        }
        let body = Envelope { error: Body { code: self.code, message: &self.message } };
        let mut response = (self.status, Json(body)).into_response();
        response.extensions_mut().insert(ProblemCode(self.code));
        if self.status == StatusCode::UNAUTHORIZED {
            // RFC 9110 section 15.5.2 demands it.
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = self.retry_after_seconds {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

//! The one error shape: `{"error":{"code","message"}}`.

use std::{borrow::Cow, error::Error};

use axum::{
    http::{HeaderValue, StatusCode, header::RETRY_AFTER},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use tracing::{error, warn};

use super::Json;
use crate::base::Unavailable;

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
pub struct ProblemCode(pub &'static str);

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
        if let Some(seconds) = self.retry_after_seconds {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// An error and its causes on one line.
fn chain(error: &(dyn Error + 'static)) -> String {
    std::iter::successors(Some(error), |error| (*error).source())
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

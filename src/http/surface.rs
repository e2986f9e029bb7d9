//! All that one listener serves.

use std::convert::Infallible;

use axum::{
    Router,
    body::{Body, Bytes, HttpBody},
    http::Request,
    response::{IntoResponse, Response},
};
use tower::Service;

use super::{Peer, Problem, Route, host, measure::Refusals, operation, request_id};
use crate::base::Generator;

/// The body of an answer.
pub type Answer = Body;

/// Every operation of one listener, with all that its requests meet.
pub struct Surface {
    router: Router,
    routes: Vec<Route>,
    refusals: Refusals,
    request_ids: Generator,
}

impl Surface {
    pub(super) fn new(router: Router, list: Vec<Route>, refusals: Refusals, request_ids: Generator) -> Self {
        Self { router, routes: list, refusals, request_ids }
    }

    /// Every operation.
    #[must_use]
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// The answer to `request`, which came from `peer`. Always one in our shape.
    pub fn answer<B>(
        &self,
        request: Request<B>,
        peer: Peer,
    ) -> impl Future<Output = Result<Response, Infallible>> + Send + use<B>
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(peer);
        self.router.clone().call(request)
    }

    /// The answer to `request` where no operation is to see it: it is one too many (not `welcome`), or no sound HTTP.
    pub fn refusal<B>(&self, request: &Request<B>, welcome: bool) -> Option<Response> {
        let problem = if welcome { host::fault(request)? } else { Problem::busy() };
        self.refusals.count(&problem);
        let mut response = problem.into_response();
        let request_id = request_id::choose(request.headers(), &self.request_ids);
        response.headers_mut().insert(request_id::HEADER, request_id);
        operation::protect(response.headers_mut());
        Some(response)
    }
}

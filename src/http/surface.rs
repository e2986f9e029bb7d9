//! All that one listener serves.

use std::convert::Infallible;

use axum::{
    Router,
    body::{Body, Bytes, HttpBody},
    http::{HeaderMap, Request},
    response::{IntoResponse, Response},
};
use tower::Service;

use super::{Peer, Problem, Route, operation, request_id};
use crate::base::Generator;

/// The body of an answer.
pub type Answer = Body;

/// Every operation of one listener, with all that its requests meet.
pub struct Surface {
    router: Router,
    routes: Vec<Route>,
    request_ids: Generator,
}

impl Surface {
    pub(super) fn new(router: Router, list: Vec<Route>, request_ids: Generator) -> Self {
        Self { router, routes: list, request_ids }
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

    /// 503 for a request with these headers, at once and without a look at it.
    pub fn busy(&self, headers: &HeaderMap) -> Response {
        let mut response = Problem::busy().into_response();
        response.headers_mut().insert(request_id::HEADER, request_id::choose(headers, &self.request_ids));
        operation::protect(response.headers_mut());
        response
    }
}

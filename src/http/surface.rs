//! All that one listener serves.

use std::{convert::Infallible, net::IpAddr};

use axum::{
    Router,
    body::{Body, Bytes, HttpBody},
    http::Request,
    response::Response,
};
use tower::Service;

use super::{Route, client_address::Peer};

/// Every operation of one listener, with all that its requests meet.
pub struct Surface {
    router: Router,
    routes: Vec<Route>,
}

impl Surface {
    pub(super) fn new(router: Router, list: Vec<Route>) -> Self {
        Self { router, routes: list }
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
        peer: IpAddr,
    ) -> impl Future<Output = Result<Response, Infallible>> + Send + use<B>
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(Peer(peer));
        self.router.clone().call(request)
    }
}

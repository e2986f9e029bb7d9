//! Routes by operation name. The name that stands here is the operationId of `api/*.yaml` (in snake case), the
//! handler, the use case's file, the span and the metric's label.

use axum::{
    Router,
    handler::Handler,
    routing::{MethodRouter, get, post},
};

/// One operation's place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Route {
    /// `GET` or `POST`.
    pub method: &'static str,
    /// The path, parameters in braces.
    pub path: &'static str,
    /// The operation's name.
    pub operation: &'static str,
}

/// Operations with their handlers, all over one state.
pub struct Routes<S = ()> {
    router: Router<S>,
    list: Vec<Route>,
}

impl<S: Clone + Send + Sync + 'static> Default for Routes<S> {
    fn default() -> Self {
        Self { router: Router::new(), list: Vec::new() }
    }
}

impl<S: Clone + Send + Sync + 'static> Routes<S> {
    /// Adds an operation that only reads.
    #[must_use]
    pub fn get<H, T>(self, path: &'static str, operation: &'static str, handler: H) -> Self
    where
        H: Handler<T, S>,
        T: 'static,
    {
        self.route(Route { method: "GET", path, operation }, get(handler))
    }

    /// Adds an operation that changes something.
    #[must_use]
    pub fn post<H, T>(self, path: &'static str, operation: &'static str, handler: H) -> Self
    where
        H: Handler<T, S>,
        T: 'static,
    {
        self.route(Route { method: "POST", path, operation }, post(handler))
    }

    /// Gives the handlers their state.
    #[must_use]
    pub fn with_state(self, state: S) -> Routes {
        Routes { router: self.router.with_state(state), list: self.list }
    }

    fn route(mut self, route: Route, handler: MethodRouter<S>) -> Self {
        self.list.push(route);
        self.router = self.router.route(route.path, handler);
        self
    }
}

impl Routes {
    /// These operations and `other`'s.
    #[must_use]
    pub fn merge(mut self, other: Self) -> Self {
        self.list.extend(other.list);
        self.router = self.router.merge(other.router);
        self
    }

    /// Every operation.
    #[must_use]
    pub fn list(&self) -> &[Route] {
        &self.list
    }

    /// The finished router.
    #[must_use]
    pub fn into_router(self) -> Router {
        self.router
    }
}

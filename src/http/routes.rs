//! Routes by operation name. The name that stands here is the operationId of `api/*.yaml` (in snake case), the
//! handler, the use case's file, the span and the metric's label.

use std::sync::Arc;

use axum::{
    handler::Handler,
    routing::{MethodRouter, get, post},
};

use super::operation::{Operation, Walk};

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

/// What an operation does, as far as the edge treats it differently.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// Only reads: given up when the client hangs up.
    Read,
    /// Changes something: goes on to its end whatever the client does.
    Change,
    /// Answers with a body that goes on until the service drains.
    Stream,
}

/// Operations with their handlers, all over one state.
pub struct Routes<S = ()> {
    entries: Vec<Entry<S>>,
}

pub(super) struct Entry<S = ()> {
    pub(super) route: Route,
    pub(super) kind: Kind,
    mount: Mount<S>,
}

/// Puts an operation's line around its handler, once the line is there.
type Mount<S> = Box<dyn FnOnce(Arc<Operation>) -> MethodRouter<S> + Send>;

impl Entry {
    /// The handler, at the end of the line that every request of `operation` walks.
    pub(super) fn mount(self, operation: Arc<Operation>) -> MethodRouter {
        (self.mount)(operation)
    }
}

impl<S> Default for Routes<S> {
    fn default() -> Self {
        Self { entries: Vec::new() }
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
        self.add(Route { method: "GET", path, operation }, Kind::Read, |operation| {
            get(Walk { operation, handler })
        })
    }

    /// Adds an operation that changes something. It goes on to its end even where the client hangs up, so that a
    /// change is never cut between its commit and its publication.
    #[must_use]
    pub fn post<H, T>(self, path: &'static str, operation: &'static str, handler: H) -> Self
    where
        H: Handler<T, S>,
        T: 'static,
    {
        self.add(Route { method: "POST", path, operation }, Kind::Change, |operation| {
            post(Walk { operation, handler })
        })
    }

    /// Adds an operation whose answer goes on and on. When the service drains, the body ends by itself.
    #[must_use]
    pub fn stream<H, T>(self, path: &'static str, operation: &'static str, handler: H) -> Self
    where
        H: Handler<T, S>,
        T: 'static,
    {
        self.add(Route { method: "GET", path, operation }, Kind::Stream, |operation| {
            get(Walk { operation, handler })
        })
    }

    /// Gives the handlers their state.
    #[must_use]
    pub fn with_state(self, state: S) -> Routes {
        let give = |Entry { route, kind, mount }: Entry<S>| {
            let state = state.clone();
            Entry { route, kind, mount: Box::new(move |operation| mount(operation).with_state(state)) }
        };
        Routes { entries: self.entries.into_iter().map(give).collect() }
    }

    fn add(
        mut self,
        route: Route,
        kind: Kind,
        mount: impl FnOnce(Arc<Operation>) -> MethodRouter<S> + Send + 'static,
    ) -> Self {
        self.entries.push(Entry { route, kind, mount: Box::new(mount) });
        self
    }
}

impl Routes {
    /// These operations and `other`'s.
    #[must_use]
    pub fn merge(mut self, other: Self) -> Self {
        self.entries.extend(other.entries);
        self
    }

    /// Every operation.
    #[must_use]
    pub fn list(&self) -> Vec<Route> {
        self.entries.iter().map(|entry| entry.route).collect()
    }

    pub(super) fn into_entries(self) -> Vec<Entry> {
        self.entries
    }
}

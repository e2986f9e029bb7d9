//! Passwordless e-mail-code login that ends in a *device session* bound to the device's own Ed25519 key.
//!
//! ```text
//! client ─► http ─► challenge/http ─► challenge/confirm_email_code ─► challenge/store ─► engine   one atomic step
//!                                         ├► users                     (who is it?)
//!                                         └► session::Sessions::open ─► session/store ─► engine   one atomic step,
//!                                               │                                        announcement included
//!                                               └► gateway: relay ─► cache record, then stream event
//! ```
//!
//! One folder a capability; inside each the same few files. Reading order: [`challenge`] (a login), [`session`] (what
//! it ends in), [`gateway`] (how gateways learn of it), [`engine`] (the store beneath), [`app`] (how it is put
//! together). `docs/architecture.md` has the whole picture.

pub mod app;
pub mod base;
pub mod challenge;
pub mod config;
pub mod engine;
pub mod gateway;
pub mod healthcheck;
pub mod http;
pub mod mail;
pub mod serve;
pub mod session;
pub mod telemetry;
pub mod users;

//! Passwordless e-mail-code login that ends in a device session.
#![cfg_attr(test, allow(missing_docs))]

pub mod base;
pub mod engine;
pub mod http;
pub mod mail;
pub mod telemetry;
pub mod users;

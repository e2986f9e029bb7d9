//! Passwordless e-mail-code login that ends in a device session.
#![cfg_attr(test, allow(missing_docs))]

pub mod base;
pub mod engine;
pub mod http;

pub mod challenge;
pub mod gateway;
pub mod mail;
pub mod session;
pub mod users;

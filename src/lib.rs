//! Passwordless e-mail-code login that ends in a device session.
#![cfg_attr(test, allow(missing_docs))]

pub mod app;
pub mod base;
pub mod config;
pub mod engine;
pub mod http;
pub mod mail;
pub mod serve;
pub mod users;

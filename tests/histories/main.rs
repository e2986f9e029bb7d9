//! Random histories: clients that race one another on two service processes, while stores and processes fail under
//! them. Afterwards what was acknowledged is held against what is there, and against what a gateway saw meanwhile.
//!
//! `plan` draws every choice from a seed, `clients` carry them out and note each call, `faults` break things on a
//! `stage`, `observer` and `follower` look on as gateways do, and `checker`, a pure function, names what is wrong.
//! `seeded` shows that it would: the same clients on a service made faulty from outside, by a `meddler` on its wire.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::disallowed_methods,
    unreachable_pub,
    missing_docs,
    reason = "a test fails by panicking"
)]

#[path = "../harness/mod.rs"]
mod harness;

mod checker;
mod checker_tests;
mod clients;
mod facts;
mod faults;
mod follower;
mod gateway;
mod history;
mod meddler;
mod observer;
mod plan;
mod probe;
mod report;
mod requests;
mod run;
mod seeded;
mod stage;
mod truth;

use run::history;
use stage::Topology;

/// One process on a file of its own, killed again and again; its feed is what gateways follow.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_the_embedded_store() {
    history(Topology::Embedded).await;
}

/// The same, with a gateway's Redis that dies, freezes and is cut off.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_the_embedded_store_with_a_gateway_redis() {
    history(Topology::EmbeddedAndGateway).await;
}

/// Two processes on one Redis that syncs every write.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_one_redis() {
    history(Topology::Standalone).await;
}

/// Two processes on a master with two replicas and three sentinels.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_sentinels() {
    history(Topology::Sentinel).await;
}

/// Two processes on three masters with a replica each.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_cluster() {
    history(Topology::Cluster).await;
}

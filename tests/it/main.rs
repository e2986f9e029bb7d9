//! The whole service as the people who use it meet it: over HTTP, with real stores, one file for each operation and a
//! few for what they share. A test is a sentence of the contract; `on_every_store!` makes it one test for each store.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::disallowed_methods,
    missing_docs,
    reason = "a test fails by panicking"
)]

#[path = "../harness/mod.rs"]
mod harness;

/// Makes each case, an `async fn(Store)`, one named test for each store. A case that is missing here is a warning.
macro_rules! on_every_store {
    ($($case:ident),+ $(,)?) => {
        mod embedded {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                super::$case($crate::harness::Store::Embedded).await;
            })+
        }

        mod redis {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                super::$case($crate::harness::Store::Redis).await;
            })+
        }

        mod cluster {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                super::$case($crate::harness::Store::Cluster).await;
            })+
        }
    };
}

mod block_user;
mod block_user_races;
mod cluster_faults;
mod code_secret;
mod confirm_email_code;
mod confirm_limits;
mod confirm_once;
mod crowds;
mod damaged_records;
mod described_requests;
mod device_key;
mod edge;
mod enumeration;
mod floods;
mod follow_session_events;
mod get_session;
mod guesses;
mod guesses_by_address;
mod health;
mod ids_of_others;
mod journeys;
mod killed_half_way;
mod lanes;
mod late_writes;
mod list_user_sessions;
mod long_lists;
mod lost_store;
mod mail_service;
mod nothing_told;
mod openapi;
mod outages;
mod process;
mod process_faults;
mod projection;
mod rate_limits;
mod refusals_logged;
mod replicas_away;
mod reproject;
mod resend;
mod retention;
mod revoke_all_user_sessions;
mod revoke_device_session;
mod send_email_code;
mod settings;
mod stolen_store;
mod storage;
mod takeover;
mod tls;
mod tokens;
mod topologies;
mod user_service;

//! What every engine must do, and what each must survive. A case in `cases/` is a plain function over a [`Fixture`];
//! the macro below makes one named test of it per engine. A case that is not listed is a dead-code warning.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test that fails should stop, and say where"
)]

mod cases;
#[path = "../harness/certificates.rs"]
mod certificates;
mod child;
mod cluster;
mod differential;
mod direct;
mod embedded;
mod event_log;
mod fixture;
#[path = "../harness/redis.rs"]
mod harness;
mod keys;
mod lanes;
mod load;
mod proxy;
mod redis_faults;
mod replicas;
mod sentinel;
mod tls;

use fixture::Fixture;

macro_rules! conformance {
    ($($module:ident: $($case:ident),+;)+) => {
        mod on_embedded {
            $($(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() { crate::cases::$module::$case(&crate::Fixture::embedded()).await; })+)+
        }
        mod on_redis {
            $($(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() { crate::cases::$module::$case(&crate::Fixture::redis()).await; })+)+
        }
        mod on_sentinel {
            $($(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() { crate::cases::$module::$case(&crate::Fixture::sentinel()).await; })+)+
        }
        mod on_cluster {
            $($(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() { crate::cases::$module::$case(&crate::Fixture::cluster()).await; })+)+
        }
    };
}

conformance! {
    commits: a_commit_applies_all_of_its_writes, a_refused_commit_changes_nothing,
        the_first_check_that_does_not_hold_is_named, an_absence_check_shows_what_is_there,
        an_equality_check_shows_what_is_there_instead, a_count_check_counts_one_collection,
        names_and_values_may_be_any_bytes, running_a_commit_again_meets_its_own_result,
        writes_are_applied_in_order, a_commit_of_nothing_is_done, many_collections_fit_in_one_commit;
    reading: values_come_in_the_order_asked_for, an_emptied_collection_is_gone,
        a_listing_shows_five_thousand_items_page_by_page, an_item_that_stays_is_seen_though_others_go,
        the_shards_that_have_a_collection_are_named, collections_with_similar_names_are_apart;
    walks: the_collections_of_a_kind_are_named_in_every_shard, a_walk_goes_on_after_each_page,
        a_collection_that_stays_is_named_though_others_go, a_walk_through_nothing_ends;
    expiry: an_expired_collection_goes_away, only_the_last_word_on_expiry_counts,
        a_collection_that_was_emptied_forgets_its_expiry;
    outbox: announcements_come_in_the_order_of_their_commits, trimming_forgets_up_to_and_including,
        positions_grow_across_trims, a_refused_commit_announces_nothing,
        the_outboxes_that_have_entries_are_named;
    races: one_of_64_parallel_commits_wins, parallel_increments_are_all_counted,
        a_bound_on_the_count_holds_under_races, every_parallel_announcement_is_kept;
}

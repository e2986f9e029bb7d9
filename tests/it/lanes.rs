//! Two lanes for each address: the networks from which it has logged in, and the rest. What strangers do in one
//! never reaches the owner in the other.

use std::time::Duration;

use crate::harness::{App, Device, Setup, Store, Visitor, actors::session_of};

const HOME: &str = "198.51.100.7";
const NEXT_DOOR: &str = "198.51.100.200";
const FAR_AWAY: &str = "203.0.113.9";

async fn behind_a_proxy(store: Store) -> App {
    Setup::on(store).behind_a_proxy().set("ADDRESS_MAX_FAILURES", "10").start().await
}

async fn run_into_the_cap(visitor: &Visitor<'_>) {
    for _ in 0..2 {
        let (challenge, code) = visitor.code().await;
        visitor.guess_wrong(&challenge, &code, 5).await;
    }
    let (challenge, code) = visitor.code().await;
    visitor.confirm(&challenge, &code, &Device::new()).await.refused(429, "rate_limited");
}

async fn strangers_guesses_do_not_lock_the_owner_out_where_he_usually_is(store: Store) {
    let app = behind_a_proxy(store).await;
    let pilot = app.visitor("pilot@example.com");
    pilot.from(HOME).log_in().await;
    run_into_the_cap(&pilot.from(FAR_AWAY)).await;
    pilot.from(HOME).log_in().await;
    pilot.from(NEXT_DOOR).log_in().await;
    // The owner's success does not open the strangers' lane again.
    let (challenge, code) = pilot.from(FAR_AWAY).code().await;
    pilot.from(FAR_AWAY).confirm(&challenge, &code, &Device::new()).await.refused(429, "rate_limited");
}

async fn a_strangers_send_does_not_use_up_the_owners_cooldown(store: Store) {
    let app = behind_a_proxy(store).await;
    let pilot = app.visitor("pilot@example.com");
    pilot.from(HOME).log_in().await;
    pilot.from(FAR_AWAY).send().await.ok();
    assert_eq!(pilot.codes().len(), 2);
    let (challenge, code) = pilot.from(HOME).code().await;
    assert_eq!(pilot.codes().len(), 3, "each lane mails its own code");
    session_of(&pilot.from(HOME).confirm(&challenge, &code, &Device::new()).await);
}

async fn an_ipv6_network_is_a_48(store: Store) {
    let app = behind_a_proxy(store).await;
    let pilot = app.visitor("pilot@example.com");
    pilot.from("2001:db8:1:2::3").log_in().await;
    run_into_the_cap(&pilot.from("2001:db8:2:2::3")).await;
    pilot.from("2001:db8:1:ffff::9").log_in().await;
}

async fn a_mapped_address_is_the_ipv4_address_it_maps(store: Store) {
    let app = behind_a_proxy(store).await;
    let pilot = app.visitor("pilot@example.com");
    pilot.from(HOME).log_in().await;
    run_into_the_cap(&pilot.from(FAR_AWAY)).await;
    pilot.from(&format!("::ffff:{HOME}")).log_in().await;
}

async fn a_network_is_forgotten_after_90_days(store: Store) {
    let app = behind_a_proxy(store).await;
    let pilot = app.visitor("pilot@example.com");
    pilot.from(HOME).log_in().await;
    app.clock.advance(Duration::from_hours(90 * 24) + Duration::from_secs(1));
    run_into_the_cap(&pilot.from(FAR_AWAY)).await;
    let (challenge, code) = pilot.from(HOME).code().await;
    pilot.from(HOME).confirm(&challenge, &code, &Device::new()).await.refused(429, "rate_limited");
}

async fn a_login_keeps_its_network_known_for_another_90_days(store: Store) {
    let app = behind_a_proxy(store).await;
    let pilot = app.visitor("pilot@example.com");
    for _ in 0..3 {
        pilot.from(HOME).log_in().await;
        app.clock.advance(Duration::from_hours(80 * 24));
    }
    run_into_the_cap(&pilot.from(FAR_AWAY)).await;
    pilot.from(HOME).log_in().await;
}

async fn only_the_address_that_logged_in_knows_its_networks(store: Store) {
    let app = behind_a_proxy(store).await;
    app.visitor("pilot@example.com").from(HOME).log_in().await;
    let other = app.visitor("other@example.com");
    run_into_the_cap(&other.from(FAR_AWAY)).await;
    let (challenge, code) = other.from(HOME).code().await;
    other.from(HOME).confirm(&challenge, &code, &Device::new()).await.refused(429, "rate_limited");
}

async fn the_header_is_not_believed_without_trusted_proxies(store: Store) {
    let app = Setup::on(store).set("ADDRESS_MAX_FAILURES", "10").start().await;
    let pilot = app.visitor("pilot@example.com");
    pilot.from(HOME).log_in().await;
    // All come from the peer's own address, so the guesses hit the lane in which the owner is.
    run_into_the_cap(&pilot.from(FAR_AWAY)).await;
    let (challenge, code) = pilot.from(HOME).code().await;
    pilot.from(HOME).confirm(&challenge, &code, &Device::new()).await.refused(429, "rate_limited");
}

async fn the_header_is_read_from_the_right(store: Store) {
    let app = behind_a_proxy(store).await;
    let pilot = app.visitor("pilot@example.com");
    pilot.from(HOME).log_in().await;
    // What the client itself wrote stands on the left and counts for nothing.
    run_into_the_cap(&pilot.from(&format!("{HOME}, {FAR_AWAY}"))).await;
    pilot.from(&format!("{FAR_AWAY}, {HOME}")).log_in().await;
    pilot.from(&format!("{FAR_AWAY}, {HOME}, 127.0.0.9")).log_in().await;
}

on_every_store! {
    strangers_guesses_do_not_lock_the_owner_out_where_he_usually_is,
    a_strangers_send_does_not_use_up_the_owners_cooldown,
    an_ipv6_network_is_a_48,
    a_mapped_address_is_the_ipv4_address_it_maps,
    a_network_is_forgotten_after_90_days,
    a_login_keeps_its_network_known_for_another_90_days,
    only_the_address_that_logged_in_knows_its_networks,
    the_header_is_not_believed_without_trusted_proxies,
    the_header_is_read_from_the_right,
}

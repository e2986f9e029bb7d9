//! Ids are opaque, but whoever has one can change it: what comes out is no other name for the same thing, and no way to
//! what belongs to somebody else.

use futures_util::future::join_all;

use crate::harness::{App, Device, Setup, Store, actors::session_of};

/// `id` with each letter replaced by another one, one at a time.
fn changed(id: &str) -> Vec<String> {
    let other = |letter: u8| if letter == b'0' { '1' } else { '0' };
    let replace = |at: usize| format!("{}{}{}", &id[..at], other(id.as_bytes()[at]), &id[at + 1..]);
    (0..id.len()).map(replace).collect()
}

/// Where the shard ends in an id, and where its place does: the address's, or the user's.
const SHARD: usize = 3;
const PLACE: usize = 19;

async fn a_challenge_has_one_name(store: Store) {
    let app = App::start(store).await;
    let pilot = app.visitor("pilot@example.com");
    let (challenge, code) = pilot.code().await;
    let device = Device::new();
    let others = changed(&challenge);
    let all_refused = || async {
        for answer in join_all(others.iter().map(|id| pilot.confirm(id, &code, &device))).await {
            answer.refused(404, "challenge_not_found");
        }
    };
    all_refused().await;
    let session = session_of(&pilot.confirm(&challenge, &code, &device).await);
    all_refused().await;
    let user = app.operator().user_of(&session).await;
    assert_eq!(app.operator().listed(&user).await, [session]);
}

async fn guesses_are_counted_against_the_address_whatever_id_they_name(store: Store) {
    let app = Setup::on(store).set("CODE_TTL", "10m").start().await;
    let (victim, stranger) = (app.visitor("pilot@example.com"), app.visitor("stranger@example.com"));
    let (theirs, code) = victim.code().await;
    let (own, own_code) = stranger.code().await;
    // Somebody's challenge under another's place, in both directions, with either code.
    let splice = |challenge: &str, place: &str, from: usize| {
        [&challenge[..from], &place[from..PLACE], &challenge[PLACE..]].concat()
    };
    let spliced = [SHARD, 0].map(|from| [splice(&theirs, &own, from), splice(&own, &theirs, from)]);
    for id in spliced.as_flattened() {
        for code in [&code, &own_code] {
            stranger.confirm(id, code, &Device::new()).await.refused(404, "challenge_not_found");
        }
    }
    // Nothing of it has touched either of them.
    session_of(&stranger.confirm(&own, &own_code, &Device::new()).await);
    victim.guess_wrong(&theirs, &code, 4).await;
    session_of(&victim.confirm(&theirs, &code, &Device::new()).await);
}

async fn a_session_has_one_name(store: Store) {
    let app = App::start(store).await;
    let session = app.visitor("pilot@example.com").log_in().await;
    app.visitor("other@example.com").log_in().await;
    let operator = app.operator();
    for id in changed(&session) {
        operator.get(&id).await.refused(404, "session_not_found");
        operator.revoke(&id).await.refused(404, "session_not_found");
    }
    assert_eq!(operator.status_of(&session).await, "active");
}

on_every_store! {
    a_challenge_has_one_name,
    guesses_are_counted_against_the_address_whatever_id_they_name,
    a_session_has_one_name,
}

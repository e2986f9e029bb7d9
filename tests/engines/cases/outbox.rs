//! Announcements.

use authsession::engine::{Commit, Outbox, Position, Shard};

use crate::fixture::{Fixture, collection, shard};

pub(crate) async fn announcements_come_in_the_order_of_their_commits(fixture: &Fixture) {
    let outbox = fixture.engine.outbox_of(shard(7));
    for first in [0, 2, 4] {
        let mut commit = Commit::on(shard(7));
        commit.announce(vec![first]);
        commit.announce(vec![first + 1]);
        fixture.done(commit).await;
    }
    assert_eq!(announcements(fixture, outbox, 10).await, [[0], [1], [2], [3], [4], [5]]);
    assert_eq!(announcements(fixture, outbox, 3).await, [[0], [1], [2]]);
    let positions: Vec<Position> =
        fixture.engine.pending(outbox, 10).await.unwrap().into_iter().map(|entry| entry.position).collect();
    assert!(positions.is_sorted_by(|a, b| a < b), "{positions:?}");
    assert!(positions[0] > Position::START);
}

pub(crate) async fn trimming_forgets_up_to_and_including(fixture: &Fixture) {
    let outbox = fixture.engine.outbox_of(shard(7));
    announce(fixture, shard(7), 5).await;
    let pending = fixture.engine.pending(outbox, 10).await.unwrap();
    fixture.engine.trim(outbox, pending[2].position).await.unwrap();
    assert_eq!(fixture.engine.pending(outbox, 10).await.unwrap(), pending[3..]);
    // Again, and from a relay that lags behind.
    fixture.engine.trim(outbox, pending[2].position).await.unwrap();
    fixture.engine.trim(outbox, pending[0].position).await.unwrap();
    assert_eq!(fixture.engine.pending(outbox, 10).await.unwrap(), pending[3..]);
}

pub(crate) async fn positions_grow_across_trims(fixture: &Fixture) {
    let outbox = fixture.engine.outbox_of(shard(7));
    let mut last = Position::START;
    for _ in 0..5 {
        announce(fixture, shard(7), 2).await;
        let pending = fixture.engine.pending(outbox, 10).await.unwrap();
        assert_eq!(pending.len(), 2);
        assert!(pending[0].position > last && pending[1].position > pending[0].position);
        last = pending[1].position;
        fixture.engine.trim(outbox, last).await.unwrap();
        assert_eq!(fixture.engine.backlog().await.unwrap(), []);
    }
}

pub(crate) async fn a_refused_commit_announces_nothing(fixture: &Fixture) {
    let a = collection("a:x");
    let mut commit = Commit::on(a.shard);
    commit.count_below(a, 0);
    commit.announce(b"never".into());
    fixture.engine.commit(commit).await.unwrap();
    assert_eq!(fixture.engine.backlog().await.unwrap(), []);
}

pub(crate) async fn the_outboxes_that_have_entries_are_named(fixture: &Fixture) {
    let shards = [shard(3), shard(1000)];
    for shard in shards {
        announce(fixture, shard, 1).await;
    }
    let mut expected = shards.map(|shard| fixture.engine.outbox_of(shard)).to_vec();
    expected.dedup();
    assert_eq!(fixture.engine.backlog().await.unwrap(), expected);
    for outbox in expected {
        let last = fixture.engine.pending(outbox, 10).await.unwrap().pop().unwrap();
        fixture.engine.trim(outbox, last.position).await.unwrap();
    }
    assert_eq!(fixture.engine.backlog().await.unwrap(), []);
}

async fn announce(fixture: &Fixture, shard: Shard, count: u8) {
    for number in 0..count {
        let mut commit = Commit::on(shard);
        commit.announce(vec![number]);
        fixture.done(commit).await;
    }
}

async fn announcements(fixture: &Fixture, outbox: Outbox, limit: usize) -> Vec<Vec<u8>> {
    let pending = fixture.engine.pending(outbox, limit).await.unwrap();
    pending.into_iter().map(|entry| entry.announcement).collect()
}

//! Where sessions lie, and the atomic steps that change them.
//!
//! | collection | item | value |
//! |---|---|---|
//! | `a:<user>` | 16 bytes of session suffix | [`Active`] |
//! | `r:<user>` | the same | [`Revoked`] |
//! | `b:<user>` | `b` | [`Blocked`] |
//! | `j` | `a` (revoke-all) or `b` (block), then the user's key | [`Job`] |
//!
//! All of a user's collections lie in one shard, so that opening, revoking and blocking are serialised against one
//! another. Every step that changes a session announces it in the same commit.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{
    job::job_item,
    model::{Revocation, Session, SessionId},
    record::{Active, Announcement, Blocked, Job, Revoked},
};
use crate::{
    base::{Timestamp, Unavailable},
    engine::{Collection, Commit, Engine, Item, Place, Untold, Verdict, record::Record},
};

/// The last of a revoked session is kept at least this long, however short the retention: while the challenge that
/// opened it can still be replayed, the store must know that it was revoked.
pub(super) const LEAST_KEPT: Duration = Duration::from_hours(1);

/// The store's own clock may be off by this much before its housekeeping could be early.
const DRIFT: Duration = Duration::from_mins(1);

pub(super) struct Store {
    pub(super) engine: Arc<dyn Engine>,
    /// How long a revoked session can still be read.
    pub(super) retention: Duration,
}

/// How opening ended.
pub(super) enum Opened {
    Fresh(Untold),
    /// An earlier run of the same request opened it.
    Already,
    /// An earlier run opened it, and it has been revoked since.
    Ended,
    /// The user is blocked; this is the flag that says so.
    Blocked(Flag),
    /// The user has as many sessions as he may have.
    Full,
}

/// A block as it was found, so that lifting it can make sure that it lifts this one and no later one.
pub struct Flag(Vec<u8>);

/// An active session, and its record as it was read: whoever changes it insists on just that.
#[derive(Clone)]
pub(super) struct Kept {
    pub(super) session: Session,
    bytes: Vec<u8>,
}

/// How an item is read.
#[derive(Clone, Copy)]
enum Reading {
    Quick,
    /// What it shows lasts.
    Lasting,
}

/// What lies under a session's id.
pub(super) enum Found {
    Active(Kept),
    Revoked(Session),
    Nothing,
}

impl Store {
    /// The session, as long as it may be read. That there is none lasts: a server that others have replaced knows nothing
    /// of what was opened since.
    pub(super) async fn find(&self, id: &SessionId, now: Timestamp) -> Result<Found, Unavailable> {
        match self.look(id, now, Reading::Quick).await? {
            Found::Nothing => self.look(id, now, Reading::Lasting).await,
            found @ (Found::Active(_) | Found::Revoked(_)) => Ok(found),
        }
    }

    async fn look(&self, id: &SessionId, now: Timestamp, reading: Reading) -> Result<Found, Unavailable> {
        // Active first: a session only ever moves from active to revoked, so it cannot slip past between the reads.
        let item = active(&id.place).item(id.suffix);
        if let Some(bytes) = self.read(&item, reading).await? {
            return Ok(Found::Active(kept(&item, id.clone(), bytes)?));
        }
        let item = revoked(&id.place).item(id.suffix);
        let Some(bytes) = self.read(&item, reading).await? else { return Ok(Found::Nothing) };
        let record = Revoked::decode(&item, &bytes)?;
        let readable = now < record.expires_at;
        Ok(if readable { Found::Revoked(record.into_session(id.clone())) } else { Found::Nothing })
    }

    async fn read(&self, item: &Item, reading: Reading) -> Result<Option<Vec<u8>>, Unavailable> {
        match reading {
            Reading::Quick => self.engine.get_one(item).await,
            Reading::Lasting => self.engine.get_lasting(item).await,
        }
    }

    /// Those of a user's sessions that may be read, in the order of `suffixes`.
    pub(super) async fn find_all(
        &self,
        place: &Place,
        suffixes: &[[u8; 16]],
        now: Timestamp,
    ) -> Result<Vec<Session>, Unavailable> {
        // Active first, as above.
        let actives = self.active_among(place, suffixes).await?;
        let mut found: BTreeMap<[u8; 16], Session> =
            actives.into_iter().map(|kept| (kept.session.id.suffix, kept.session)).collect();
        let rest = suffixes.iter().filter(|suffix| !found.contains_key(*suffix));
        let ended: Vec<Item> = rest.map(|suffix| revoked(place).item(*suffix)).collect();
        for (item, bytes) in ended.iter().zip(self.engine.get(&ended).await?) {
            let Some(bytes) = bytes else { continue };
            let record = Revoked::decode(item, &bytes)?;
            if now < record.expires_at {
                let session = record.into_session(id_of(place, item)?);
                found.insert(session.id.suffix, session);
            }
        }
        Ok(suffixes.iter().filter_map(|suffix| found.remove(suffix)).collect())
    }

    /// Those of a user's sessions that are active.
    pub(super) async fn active_among(
        &self,
        place: &Place,
        suffixes: &[[u8; 16]],
    ) -> Result<Vec<Kept>, Unavailable> {
        let items: Vec<Item> = suffixes.iter().map(|suffix| active(place).item(*suffix)).collect();
        let read = items.iter().zip(self.engine.get(&items).await?);
        let found = read.filter_map(|(item, bytes)| Some((item, bytes?)));
        found.map(|(item, bytes)| kept(item, id_of(place, item)?, bytes)).collect()
    }

    /// Opens `session` unless the user is blocked or has `limit` sessions already.
    pub(super) async fn open(&self, session: &Session, limit: Option<u64>) -> Result<Opened, Unavailable> {
        let place = &session.id.place;
        let item = active(place).item(session.id.suffix);
        let mut commit = Commit::on(place.shard);
        let not_ended = commit.absent(revoked(place).item(session.id.suffix));
        let not_blocked = commit.absent(flag(place));
        let not_open = commit.absent(item.clone());
        if let Some(limit) = limit {
            commit.count_below(active(place), limit);
        }
        commit.put(item, Active::of(session).encode());
        commit.announce(Announcement::of(session).encode());
        let (verdict, untold) = self.engine.commit_and_tell(commit).await?;
        Ok(match verdict {
            Verdict::Done => Opened::Fresh(untold),
            Verdict::Refused(refusal) if refusal.check == not_blocked => {
                Opened::Blocked(Flag(refusal.found.unwrap_or_default()))
            }
            Verdict::Refused(refusal) if refusal.check == not_ended => Opened::Ended,
            Verdict::Refused(refusal) if refusal.check == not_open => Opened::Already,
            Verdict::Refused(_) => Opened::Full,
        })
    }

    /// Revokes all of `sessions`, which are one user's, or none, and says what is left to tell of it; nothing
    /// where one of them has been revoked meanwhile.
    pub(super) async fn revoke(
        &self,
        sessions: &[Kept],
        revocation: &Revocation,
        job: Option<&Job>,
    ) -> Result<Option<Untold>, Unavailable> {
        let Some(Kept { session: first, .. }) = sessions.first() else { return Ok(Some(Untold::Unknown)) };
        let place = &first.id.place;
        let expires_at = revocation.at.after(self.retention);
        let mut commit = Commit::on(place.shard);
        for Kept { session, bytes } in sessions {
            let item = active(place).item(session.id.suffix);
            commit.unchanged(item.clone(), Some(bytes));
            commit.delete(item);
            let record = Revoked::of(session, revocation, expires_at);
            commit.put(revoked(place).item(session.id.suffix), record.encode());
            let ended = Session { revocation: Some(revocation.clone()), ..session.clone() };
            commit.announce(Announcement::of(&ended).encode());
        }
        commit.expire(revoked(place), self.retention.max(LEAST_KEPT) + DRIFT);
        if let Some(job) = job {
            commit.put(job_item(place, job), job.encode());
        }
        let (verdict, untold) = self.engine.commit_and_tell(commit).await?;
        Ok((verdict == Verdict::Done).then_some(untold))
    }

    /// Throws revoked sessions away whose time is over. Nothing can bring them back, so nothing need be checked.
    pub(super) async fn forget(&self, place: &Place, over: Vec<Item>) -> Result<(), Unavailable> {
        let mut commit = Commit::on(place.shard);
        for item in over {
            commit.delete(item);
        }
        self.engine.commit(commit).await.map(drop)
    }

    /// Whether the session, found revoked, stays so: a read alone may show what a failover undoes.
    pub(super) async fn stays_revoked(&self, id: &SessionId) -> Result<bool, Unavailable> {
        let mut commit = Commit::on(id.place.shard);
        commit.absent(active(&id.place).item(id.suffix));
        Ok(self.engine.commit(commit).await? == Verdict::Done)
    }

    /// Whether a user has no active session, for good: no failover brings one back that was open before.
    pub(super) async fn none_is_active(&self, place: &Place) -> Result<bool, Unavailable> {
        Ok(self.engine.count_lasting(&active(place)).await? == 0)
    }

    /// How many active sessions a user has.
    pub(super) async fn count_active(&self, place: &Place) -> Result<u64, Unavailable> {
        self.engine.count(&active(place)).await
    }

    /// From now on nothing is opened for the user, and somebody will see to it that nothing stays open.
    pub(super) async fn block(&self, place: &Place, blocked: &Blocked, job: &Job) -> Result<(), Unavailable> {
        let mut commit = Commit::on(place.shard);
        commit.put(flag(place), blocked.encode());
        commit.put(job_item(place, job), job.encode());
        self.engine.commit(commit).await.map(drop)
    }

    /// Takes this very block away; a later one stays.
    pub(super) async fn lift(&self, place: &Place, found: &Flag) -> Result<(), Unavailable> {
        let mut commit = Commit::on(place.shard);
        commit.unchanged(flag(place), Some(&found.0));
        commit.delete(flag(place));
        self.engine.commit(commit).await.map(drop)
    }
}

pub(super) fn active(place: &Place) -> Collection {
    place.collection("a")
}

pub(super) fn revoked(place: &Place) -> Collection {
    place.collection("r")
}

fn flag(place: &Place) -> Item {
    place.collection("b").item("b")
}

pub(super) fn kept(item: &Item, id: SessionId, bytes: Vec<u8>) -> Result<Kept, Unavailable> {
    Ok(Kept { session: Active::decode(item, &bytes)?.into_session(id), bytes })
}

/// Whose sessions `collection` has.
pub(super) fn place_in(collection: &Collection) -> Result<Place, Unavailable> {
    let prefix =
        format!("{}{}", collection.shard.tag(), collection.name.split_once(':').unwrap_or_default().1);
    match Place::split(&prefix) {
        Some((place, "")) => Ok(place),
        Some(_) | None => Err(Unavailable::new("store", format!("a strange collection {}", collection.name))),
    }
}

/// The session at `item`, one of the sessions at `place`.
pub(super) fn id_of(place: &Place, item: &Item) -> Result<SessionId, Unavailable> {
    let suffix = item.name.as_slice().try_into();
    let suffix = suffix
        .map_err(|_| Unavailable::new("store", format!("a strange name in {}", item.collection.name)))?;
    Ok(SessionId { place: place.clone(), suffix })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        base::{Cause, DeviceKey, World, id},
        engine::{Shard, behind::Behind, embedded::Embedded},
    };

    #[tokio::test]
    async fn a_server_that_others_have_replaced_denies_no_session() {
        let (dir, now) = (tempfile::tempdir().unwrap(), World::system().now());
        let engine: Arc<dyn Engine> = Embedded::open(dir.path(), World::system()).unwrap();
        let retention = Duration::from_hours(1);
        let store = Store { engine: engine.clone(), retention };
        let behind = Store { engine: Arc::new(Behind(engine)), retention };
        let place = Place { shard: Shard::from_index(5).unwrap(), key: id::encode(&[9; 10]) };
        let key = DeviceKey::parse("11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=").unwrap();
        let id = SessionId { place, suffix: [7; 16] };
        let session =
            Session { id: id.clone(), user_id: "user".into(), key, created_at: now, revocation: None };
        assert!(matches!(behind.find(&id, now).await.unwrap(), Found::Nothing));
        store.open(&session, None).await.unwrap();
        let Found::Active(kept) = behind.find(&id, now).await.unwrap() else { panic!("it is active") };
        let revocation = Revocation { at: now, cause: Cause::system("test") };
        store.revoke(&[kept], &revocation, None).await.unwrap().unwrap();
        assert!(matches!(behind.find(&id, now).await.unwrap(), Found::Revoked(_)));
    }
}

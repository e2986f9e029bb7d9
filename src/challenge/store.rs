//! Where challenges lie, and the atomic steps that change them.
//!
//! | collection | item | value |
//! |---|---|---|
//! | `c:<address><challenge>` | `c` | [`ChallengeRecord`] |
//! | `l:<address>` | `l` | [`AddressRecord`] |
//! | `m:<mail>` | `m` | [`UsedMark`]: this mail's code has logged in |
//!
//! All that belongs to an address lies in one shard, and a challenge's id starts with the address's place, so that one
//! read brings challenge and address, and one commit can count a guess against both. The place is part of the challenge's
//! name, too: an id that joins a challenge with another's address names nothing.

use std::{fmt, sync::Arc, time::Duration};

use super::{
    model::{Address, Challenge, FAILURE_WINDOW, MailedCode, USUAL_FOR},
    record::{AddressRecord, ChallengeRecord, UsedMark},
    settings::LONGEST_CODE,
};
use crate::{
    base::{Timestamp, Unavailable, id},
    engine::{CheckId, Collection, Commit, Engine, Item, Place, Verdict, record::Record},
};

/// How long a challenge is remembered after its end, to say that it has expired rather than that it never was.
pub(super) const REMEMBERED: Duration = Duration::from_mins(10);

/// The store's own clock may be off by this much before its housekeeping could be early.
const DRIFT: Duration = Duration::from_mins(1);

/// Opaque and URL-safe, 45 characters: the place of its address (19), then 128 random bits.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct ChallengeId {
    pub(super) place: Place,
    random: String,
}

impl ChallengeId {
    pub(super) fn new(place: &Place, random: [u8; 16]) -> Self {
        Self { place: place.clone(), random: id::encode(&random) }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let (place, random) = Place::split(text)?;
        id::decode::<16>(random)?;
        Some(Self { place, random: random.to_owned() })
    }
}

impl fmt::Display for ChallengeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.place.shard.tag())?;
        f.write_str(&self.place.key)?;
        f.write_str(&self.random)
    }
}

pub(super) struct Store {
    pub(super) engine: Arc<dyn Engine>,
}

/// A value as it was read: a change of it can insist that nobody else has changed it meanwhile.
pub(super) struct Read<T> {
    pub(super) value: T,
    bytes: Option<Vec<u8>>,
}

/// How a change ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Changed {
    Done,
    /// The mail's code has logged somebody in meanwhile, or before.
    CodeUsed,
    /// Something it was based on has changed: look again.
    Raced,
}

/// A challenge and its address as one request found them.
pub(super) struct Found {
    pub(super) id: ChallengeId,
    pub(super) challenge: Read<Challenge>,
    pub(super) address: Read<Address>,
    pub(super) now: Timestamp,
}

impl Store {
    /// What is remembered of the address at `place`: nothing special, where nothing is.
    pub(super) async fn address(&self, place: &Place, now: Timestamp) -> Result<Read<Address>, Unavailable> {
        let item = address_item(place);
        let bytes = self.engine.get_one(&item).await?;
        read_address(&item, bytes, now)
    }

    /// A challenge and its address; nothing where the challenge is not, or no longer, known.
    pub(super) async fn find(&self, id: &ChallengeId, now: Timestamp) -> Result<Option<Found>, Unavailable> {
        let items = [challenge_item(id), address_item(&id.place)];
        let mut found = self.engine.get(&items).await?;
        let [item, address] = &items;
        // A server that others have replaced knows nothing of challenges made since.
        if matches!(found.first(), Some(None))
            && let Some(bytes) = self.engine.get_lasting(item).await?
        {
            found = vec![Some(bytes), self.engine.get_lasting(address).await?];
        }
        let mut found = found.into_iter();
        let (Some(Some(bytes)), address_bytes) = (found.next(), found.next().flatten()) else {
            return Ok(None);
        };
        let value = Challenge::from(ChallengeRecord::decode(item, &bytes)?);
        if value.expires_at.after(REMEMBERED) <= now {
            return Ok(None);
        }
        let challenge = Read { value, bytes: Some(bytes) };
        Ok(Some(Found {
            id: id.clone(),
            challenge,
            address: read_address(address, address_bytes, now)?,
            now,
        }))
    }

    /// Whether the mail's code has logged somebody in.
    pub(super) async fn is_used(&self, id: &ChallengeId, code: &MailedCode) -> Result<bool, Unavailable> {
        Ok(self.engine.get_one(&used_item(&id.place, code)).await?.is_some())
    }

    /// A new challenge, and its mail noted in the address: returns that as it is now; nothing where it has changed since
    /// it was read. Provisional: what became of the mail is noted before the answer.
    pub(super) async fn start(
        &self,
        id: &ChallengeId,
        challenge: &Challenge,
        (read, address): (&Read<Address>, Address),
        now: Timestamp,
    ) -> Result<Option<Read<Address>>, Unavailable> {
        let mut commit = Commit::on(id.place.shard);
        put_challenge(&mut commit, id, (None, challenge), now);
        let bytes = put_address(&mut commit, &id.place, (read, &address), now);
        commit.provisional();
        let changed = self.commit(commit, None).await?;
        Ok((changed == Changed::Done).then_some(Read { value: address, bytes: Some(bytes) }))
    }

    /// Another challenge for a mail, unless its code has been used.
    pub(super) async fn join(
        &self,
        id: &ChallengeId,
        challenge: &Challenge,
        now: Timestamp,
    ) -> Result<Changed, Unavailable> {
        let mut commit = Commit::on(id.place.shard);
        put_challenge(&mut commit, id, (None, challenge), now);
        let unused = commit.absent(used_item(&id.place, &challenge.code));
        self.commit(commit, Some(unused)).await
    }

    /// The address as it is to be from now on.
    pub(super) async fn settle(
        &self,
        place: &Place,
        address: (&Read<Address>, &Address),
        now: Timestamp,
    ) -> Result<Changed, Unavailable> {
        let mut commit = Commit::on(place.shard);
        put_address(&mut commit, place, address, now);
        self.commit(commit, None).await
    }

    /// A wrong code, counted against challenge and address, unless the code has been used.
    pub(super) async fn count_wrong_code(
        &self,
        found: &Found,
        challenge: &Challenge,
        address: &Address,
    ) -> Result<Changed, Unavailable> {
        let (commit, unused) = both(found, challenge, address);
        self.commit(commit, Some(unused)).await
    }

    /// The code, used by this challenge and by no other of its mail. Provisional: the session that it opens comes after.
    pub(super) async fn claim(
        &self,
        found: &Found,
        challenge: &Challenge,
        address: &Address,
    ) -> Result<Changed, Unavailable> {
        let (mut commit, unused) = both(found, challenge, address);
        let item = used_item(&found.id.place, &challenge.code);
        // As long as any challenge of this mail can be asked about: none outlives the mail's code.
        let mark = UsedMark { expires_at: found.now.after(LONGEST_CODE).after(REMEMBERED) };
        commit.expire(item.collection.clone(), LONGEST_CODE + REMEMBERED + DRIFT);
        commit.put(item, mark.encode());
        commit.provisional();
        self.commit(commit, Some(unused)).await
    }

    /// Whether the challenge is still what was read. If so, that lasts: a read alone may show what a failover undoes.
    pub(super) async fn lasts(&self, found: &Found) -> Result<bool, Unavailable> {
        let mut commit = Commit::on(found.id.place.shard);
        commit.unchanged(challenge_item(&found.id), found.challenge.bytes.as_deref());
        Ok(self.commit(commit, None).await? == Changed::Done)
    }

    /// What the store has been told so far lasts.
    pub(super) async fn keep(&self, place: &Place) -> Result<(), Unavailable> {
        self.commit(Commit::on(place.shard), None).await.map(drop)
    }

    async fn commit(&self, commit: Commit, unused: Option<CheckId>) -> Result<Changed, Unavailable> {
        Ok(match self.engine.commit(commit).await? {
            Verdict::Done => Changed::Done,
            Verdict::Refused(refusal) if Some(refusal.check) == unused => Changed::CodeUsed,
            Verdict::Refused(_) => Changed::Raced,
        })
    }
}

/// A change of both as they were found. That the code is unused is checked last: whoever finds his own challenge used
/// meanwhile has raced, and sees the use when he looks again.
fn both(found: &Found, challenge: &Challenge, address: &Address) -> (Commit, CheckId) {
    let mut commit = Commit::on(found.id.place.shard);
    put_challenge(&mut commit, &found.id, (Some(&found.challenge), challenge), found.now);
    put_address(&mut commit, &found.id.place, (&found.address, address), found.now);
    let unused = commit.absent(used_item(&found.id.place, &challenge.code));
    (commit, unused)
}

/// Puts a challenge, as long as it still is what was read: nothing, for a new one.
fn put_challenge(
    commit: &mut Commit,
    id: &ChallengeId,
    (read, value): (Option<&Read<Challenge>>, &Challenge),
    now: Timestamp,
) {
    let item = challenge_item(id);
    commit.unchanged(item.clone(), read.and_then(|read| read.bytes.as_deref()));
    commit.expire(item.collection.clone(), value.expires_at.after(REMEMBERED).since(now) + DRIFT);
    commit.put(item, ChallengeRecord::from(value).encode());
}

/// Puts an address, as long as it still is what was read, and returns it as it is stored.
fn put_address(
    commit: &mut Commit,
    place: &Place,
    (read, value): (&Read<Address>, &Address),
    now: Timestamp,
) -> Vec<u8> {
    let item = address_item(place);
    let matters_for = matters_for(value);
    commit.unchanged(item.clone(), read.bytes.as_deref());
    commit.expire(item.collection.clone(), matters_for + DRIFT);
    let bytes = AddressRecord::of(value, now.after(matters_for)).encode();
    commit.put(item, bytes.clone());
    bytes
}

/// Usual places are remembered for long. Without any, only wrong codes and a cooldown are left, which are over sooner.
fn matters_for(address: &Address) -> Duration {
    if address.networks.is_empty() { FAILURE_WINDOW } else { USUAL_FOR }
}

fn read_address(item: &Item, bytes: Option<Vec<u8>>, now: Timestamp) -> Result<Read<Address>, Unavailable> {
    let value = match &bytes {
        Some(bytes) => AddressRecord::decode(item, bytes)?.into_address(now),
        None => Address::default(),
    };
    Ok(Read { value, bytes })
}

fn challenge_item(id: &ChallengeId) -> Item {
    Collection::new(id.place.shard, format!("c:{}{}", id.place.key, id.random)).item("c")
}

fn address_item(place: &Place) -> Item {
    place.collection("l").item("l")
}

fn used_item(place: &Place, code: &MailedCode) -> Item {
    Collection::new(place.shard, format!("m:{}", id::encode(&code.mail))).item("m")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        base::World,
        challenge::model::Lane,
        engine::{Shard, behind::Behind, embedded::Embedded},
    };

    #[tokio::test]
    async fn a_server_that_others_have_replaced_denies_no_challenge() {
        let (dir, now) = (tempfile::tempdir().unwrap(), World::system().now());
        let engine: Arc<dyn Engine> = Embedded::open(dir.path(), World::system()).unwrap();
        let store = Store { engine: engine.clone() };
        let behind = Store { engine: Arc::new(Behind(engine)) };
        let place = Place { shard: Shard::from_index(5).unwrap(), key: id::encode(&[9; 10]) };
        let id = ChallengeId::new(&place, [7; 16]);
        let challenge = Challenge {
            email: "pilot@example.com".into(),
            lane: Lane::Other,
            code: MailedCode { mail: [1; 16], hash: [2; 32] },
            expires_at: now.after(Duration::from_mins(5)),
            wrong_codes: 0,
            used: None,
        };
        let read = store.address(&place, now).await.unwrap();
        assert!(behind.find(&id, now).await.unwrap().is_none());
        let mut address = read.value.clone();
        address.lane_mut(Lane::Other).count_wrong_code(now);
        store.start(&id, &challenge, (&read, address.clone()), now).await.unwrap().unwrap();
        let found = behind.find(&id, now).await.unwrap().expect("it is known");
        assert_eq!((found.challenge.value, found.address.value), (challenge, address));
    }
}

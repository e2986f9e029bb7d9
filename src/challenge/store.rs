//! Where challenges lie, and the atomic steps that change them.
//!
//! | collection | item | value |
//! |---|---|---|
//! | `c:<challenge>` | `c` | [`ChallengeRecord`] |
//! | `l:<address>` | `l` | [`AddressRecord`] |
//! | `m:<mail>` | `m` | [`UsedMark`]: this mail's code has logged in |
//!
//! All that belongs to an address lies in one shard, and a challenge's id starts with the address's place, so that one
//! read brings challenge and address, and one commit can count a guess against both.

use std::{fmt, sync::Arc, time::Duration};

use super::{
    model::{Address, Challenge, FAILURE_WINDOW, MailedCode, USUAL_FOR},
    record::{AddressRecord, ChallengeRecord, UsedMark},
};
use crate::{
    base::{Timestamp, Unavailable, id},
    engine::{Collection, Commit, Engine, Item, Place, Verdict, record::Record},
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
        write!(f, "{}{}", self.place.prefix(), self.random)
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

/// One change of a challenge, of its address, or of both, and what it is based on.
pub(super) struct Change<'a> {
    pub(super) id: &'a ChallengeId,
    pub(super) now: Timestamp,
    /// The challenge as it was read, and as it is to be; the same id, so nothing read means a new one.
    pub(super) challenge: Option<(Option<&'a Read<Challenge>>, &'a Challenge)>,
    /// The address likewise.
    pub(super) address: Option<(&'a Read<Address>, &'a Address)>,
    /// The mail whose code must not have been used.
    pub(super) unused: Option<&'a MailedCode>,
    /// Marks that mail's code as used.
    pub(super) mark_used: bool,
}

impl Store {
    /// What is remembered of the address at `place`: nothing special, where nothing is.
    pub(super) async fn address(&self, place: &Place, now: Timestamp) -> Result<Read<Address>, Unavailable> {
        let item = address_item(place);
        let bytes = self.engine.get(std::slice::from_ref(&item)).await?.pop().flatten();
        read_address(&item, bytes, now)
    }

    /// A challenge and its address; nothing where the challenge is not, or no longer, known.
    pub(super) async fn challenge(
        &self,
        id: &ChallengeId,
        now: Timestamp,
    ) -> Result<Option<(Read<Challenge>, Read<Address>)>, Unavailable> {
        let items = [challenge_item(id), address_item(&id.place)];
        let mut found = self.engine.get(&items).await?.into_iter();
        let [item, address] = items;
        let (Some(Some(bytes)), address_bytes) = (found.next(), found.next().flatten()) else {
            return Ok(None);
        };
        let value = Challenge::from(ChallengeRecord::decode(&item, &bytes)?);
        if value.expires_at.after(REMEMBERED) <= now {
            return Ok(None);
        }
        Ok(Some((Read { value, bytes: Some(bytes) }, read_address(&address, address_bytes, now)?)))
    }

    /// Whether the mail's code has logged somebody in.
    pub(super) async fn is_used(&self, id: &ChallengeId, code: &MailedCode) -> Result<bool, Unavailable> {
        let found = self.engine.get(&[used_item(&id.place, code)]).await?;
        Ok(found.iter().any(Option::is_some))
    }

    /// Makes `change`, all of it or nothing.
    pub(super) async fn change(&self, change: &Change<'_>) -> Result<Changed, Unavailable> {
        let place = &change.id.place;
        let mut commit = Commit::on(place.shard);
        if let Some((read, value)) = change.challenge {
            let item = challenge_item(change.id);
            commit.unchanged(item.clone(), read.and_then(|read| read.bytes.as_deref()));
            commit.expire(item.collection.clone(), kept_for(value.expires_at, change.now));
            commit.put(item, ChallengeRecord::from(value).encode());
        }
        if let Some((read, value)) = change.address {
            put_address(&mut commit, place, read, value, change.now);
        }
        // Checked last: a caller whose own challenge was used meanwhile has raced, and finds the use by looking again.
        let unused = change.unused.map(|code| commit.absent(used_item(place, code)));
        if let (true, Some(code), Some((_, challenge))) = (change.mark_used, change.unused, change.challenge)
        {
            let item = used_item(place, code);
            let mark = UsedMark { expires_at: challenge.expires_at.after(REMEMBERED) };
            // Kept longer than the longest-lived challenge of this mail, which is kept no longer than the mail's code.
            commit.expire(item.collection.clone(), kept_for(mark.expires_at, change.now));
            commit.put(item, mark.encode());
        }
        Ok(match self.engine.commit(commit).await? {
            Verdict::Done => Changed::Done,
            Verdict::Refused(refusal) if Some(refusal.check) == unused => Changed::CodeUsed,
            Verdict::Refused(_) => Changed::Raced,
        })
    }

    /// Takes a use back that led to nothing, and puts the address back as it was, if nobody has changed it since.
    /// `before` is what the use was based on, `used` and `succeeded` what it made of it.
    pub(super) async fn release(
        &self,
        id: &ChallengeId,
        before: (&Read<Challenge>, &Read<Address>),
        after: (&Challenge, &Address),
        now: Timestamp,
    ) -> Result<(), Unavailable> {
        let place = &id.place;
        for with_address in [true, false] {
            let mut commit = Commit::on(place.shard);
            let item = challenge_item(id);
            commit.unchanged(item.clone(), Some(&ChallengeRecord::from(after.0).encode()));
            commit.put(item, ChallengeRecord::from(&before.0.value).encode());
            commit.delete(used_item(place, &after.0.code));
            if with_address {
                let written = Read { value: (), bytes: Some(encode_address(after.1, now)) };
                put_address(&mut commit, place, &written, &before.1.value, now);
            }
            if self.engine.commit(commit).await? == Verdict::Done {
                return Ok(());
            }
        }
        Ok(())
    }
}

fn put_address<T>(commit: &mut Commit, place: &Place, read: &Read<T>, value: &Address, now: Timestamp) {
    let item = address_item(place);
    commit.unchanged(item.clone(), read.bytes.as_deref());
    commit.expire(item.collection.clone(), matters_for(value) + DRIFT);
    commit.put(item, encode_address(value, now));
}

fn encode_address(value: &Address, now: Timestamp) -> Vec<u8> {
    AddressRecord::of(value, now.after(matters_for(value))).encode()
}

/// Usual places are remembered for long. Without any, only wrong codes and a cooldown are left, which are over sooner.
fn matters_for(address: &Address) -> Duration {
    if address.networks.is_empty() { FAILURE_WINDOW } else { USUAL_FOR }
}

fn kept_for(expires_at: Timestamp, now: Timestamp) -> Duration {
    expires_at.after(REMEMBERED).since(now) + DRIFT
}

fn read_address(item: &Item, bytes: Option<Vec<u8>>, now: Timestamp) -> Result<Read<Address>, Unavailable> {
    let value = match &bytes {
        Some(bytes) => AddressRecord::decode(item, bytes)?.into_address(now),
        None => Address::default(),
    };
    Ok(Read { value, bytes })
}

fn challenge_item(id: &ChallengeId) -> Item {
    Collection::new(id.place.shard, format!("c:{}", id.random)).item("c")
}

fn address_item(place: &Place) -> Item {
    place.collection("l").item("l")
}

fn used_item(place: &Place, code: &MailedCode) -> Item {
    Collection::new(place.shard, format!("m:{}", id::encode(&code.mail))).item("m")
}

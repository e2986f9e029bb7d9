//! Where things lie: addresses and users are keys only as keyed hashes, so that nobody who reads key names learns
//! who has an account.
//!
//! The key behind the hashes is made once, kept in the store, and never changes: ids contain hashes made with it. It
//! is not the secret that protects codes, which an operator may replace.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use serde::{Deserialize, Serialize};
use tokio::sync::OnceCell;
use tracing::{error, warn};

use super::{Collection, Commit, Engine, Item, Shard, Verdict, record::Record};
use crate::base::{Secret, Unavailable, World, id};

const NAMES: &str = "names";
const CODES: &str = "codes";

/// Secrets that the store itself keeps, read on first use: the service starts while its store is still away.
pub struct Keys {
    engine: Arc<dyn Engine>,
    world: World,
    names: OnceCell<Names>,
    codes: OnceCell<Secret>,
    /// Whether the store was last seen with other secrets than those that this process works with.
    foreign: AtomicBool,
}

impl Keys {
    /// Over `engine`; reads nothing yet.
    #[must_use]
    pub fn new(engine: Arc<dyn Engine>, world: World) -> Self {
        Self {
            engine,
            world,
            names: OnceCell::new(),
            codes: OnceCell::new(),
            foreign: AtomicBool::new(false),
        }
    }

    /// The key of names, made by whoever asks first.
    pub async fn names(&self) -> Result<&Names, Unavailable> {
        self.check()?;
        self.names.get_or_try_init(async || Ok(Names(self.kept(NAMES).await?))).await
    }

    /// A secret for the hashes of codes, for operators who configure none.
    pub async fn code_secret(&self) -> Result<&Secret, Unavailable> {
        self.check()?;
        self.codes.get_or_try_init(|| self.kept(CODES)).await
    }

    /// Sees to it that the store holds the secrets that this process works with. A store that came back empty gets them
    /// again, before another process makes others: ids made with either could not be found with the other. Where it has
    /// others already, nothing is served until it has ours again, or a restart.
    pub async fn guard(&self) -> Result<(), Unavailable> {
        let names = self.names.get().map(|Names(secret)| (NAMES, secret));
        let codes = self.codes.get().map(|secret| (CODES, secret));
        let mut foreign = false;
        for (name, secret) in names.into_iter().chain(codes) {
            let item = kept_item(name)?;
            let mut commit = Commit::on(item.collection.shard);
            commit.absent(item.clone());
            let ours = Kept::of(secret).encode();
            commit.put(item, ours.clone());
            match self.engine.commit(commit).await? {
                Verdict::Done => warn!(name, "the store had lost a secret that it keeps; it has it again"),
                Verdict::Refused(refusal) if refusal.found.as_ref() == Some(&ours) => {}
                Verdict::Refused(_) => {
                    foreign = true;
                    if !self.foreign.swap(true, Relaxed) {
                        error!(
                            name,
                            "the store keeps another secret than this process works with: bring it back, or restart"
                        );
                    }
                }
            }
        }
        // Only now has the store been seen with all of ours.
        if !foreign && self.foreign.swap(false, Relaxed) {
            warn!("the store keeps the secrets again that this process works with");
        }
        Ok(())
    }

    /// Whether ids made by this process can be found by others.
    pub fn check(&self) -> Result<(), Unavailable> {
        if self.foreign.load(Relaxed) {
            return Err(Unavailable::new(
                "store",
                "the store keeps another secret than this process works with",
            ));
        }
        Ok(())
    }

    /// The 32 random bytes that this store keeps as `name`, made by whoever asks first: replicas that start at once
    /// agree on one.
    async fn kept(&self, name: &str) -> Result<Secret, Unavailable> {
        let item = kept_item(name)?;
        if let Some(bytes) = self.engine.get_one(&item).await? {
            return Ok(Kept::decode(&item, &bytes)?.into());
        }
        let fresh = Kept(self.world.random());
        let mut commit = Commit::on(item.collection.shard);
        commit.absent(item.clone());
        commit.put(item.clone(), fresh.encode());
        match self.engine.commit(commit).await? {
            Verdict::Done => Ok(fresh.into()),
            Verdict::Refused(refusal) => Ok(Kept::decode(&item, &refusal.found.unwrap_or_default())?.into()),
        }
    }
}

/// A secret as it is stored. A damaged one is an error, like every record: to go on with another would quietly orphan
/// all that is named with it.
#[derive(Serialize, Deserialize)]
struct Kept([u8; 32]);

impl Kept {
    fn of(secret: &Secret) -> Self {
        Self(*secret.expose().first_chunk().unwrap_or(&[0; 32]))
    }
}

impl Record for Kept {
    const VERSION: u8 = 1;
}

impl From<Kept> for Secret {
    fn from(Kept(bytes): Kept) -> Self {
        Self::new(bytes)
    }
}

fn kept_item(name: &str) -> Result<Item, Unavailable> {
    let shard = Shard::from_index(0).ok_or_else(|| Unavailable::new("store", "there is no first shard"))?;
    Ok(Collection::new(shard, "keys").item(name))
}

/// Turns names into places.
pub struct Names(Secret);

/// Where all that belongs to one name lies: a shard, and a short key that is unique there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// The shard.
    pub shard: Shard,
    /// 16 letters of base32: 80 bits of keyed hash.
    pub key: String,
}

impl Names {
    /// The place of `name`. `purpose` keeps kinds of names apart: an address and a user id with the same letters.
    #[must_use]
    pub fn place(&self, purpose: &str, name: &str) -> Place {
        let hash = self.0.mac(purpose, &[name.as_bytes()]);
        let [_, _, key @ ..] = &hash;
        Place { shard: Shard::of(&hash), key: id::encode(key.first_chunk::<10>().unwrap_or(&[0; 10])) }
    }

    /// 128 bits that only this store can derive from `parts`.
    #[must_use]
    pub fn derive(&self, purpose: &str, parts: &[&[u8]]) -> [u8; 16] {
        let hash = self.0.mac(purpose, parts);
        *hash.first_chunk().unwrap_or(&[0; 16])
    }
}

impl Place {
    /// How many letters the key has.
    pub const KEY_LENGTH: usize = 16;

    /// The tag and the key: the start of every id of what lies here.
    #[must_use]
    pub fn prefix(&self) -> String {
        [self.shard.tag(), &self.key].concat()
    }

    /// The place that `id` starts with, and the rest of `id`.
    #[must_use]
    pub fn split(id: &str) -> Option<(Self, &str)> {
        let (shard, rest) = Shard::split(id)?;
        let (key, rest) = rest.split_at_checked(Self::KEY_LENGTH)?;
        id::decode::<10>(key)?;
        Some((Self { shard, key: key.to_owned() }, rest))
    }

    /// The collection of this kind that belongs to the name.
    #[must_use]
    pub fn collection(&self, kind: &str) -> Collection {
        Collection::new(self.shard, [kind, ":", &self.key].concat())
    }
}

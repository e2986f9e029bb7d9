//! The built-in directory: a user service in our own store, which survives restarts and is shared by replicas.
//!
//! One record an address, at its place: collection `u:<key>`, item `person`. A user id is the place of the address
//! that the user was created for, so an id alone leads back to the record, and tells nobody the address.

use std::sync::Arc;

use async_trait::async_trait;

use super::{Admission, Block, Standing, Subject, Users, record::Person};
use crate::{
    base::{Cause, Email, Unavailable},
    engine::{Commit, Engine, Item, Keys, Place, Verdict, record::Record},
};

/// A user service that lets in everybody who is not blocked.
pub struct Directory {
    engine: Arc<dyn Engine>,
    keys: Arc<Keys>,
}

/// A record as it was read, for the commit that changes it.
struct Found {
    item: Item,
    bytes: Option<Vec<u8>>,
}

/// What becomes of a record.
enum Change<'a> {
    /// It stays, and what was read of it lasts.
    None,
    Created(&'a Person),
    Blocked(&'a Person),
}

impl Directory {
    /// In `engine`, under the names that `keys` makes.
    #[must_use]
    pub fn new(engine: Arc<dyn Engine>, keys: Arc<Keys>) -> Self {
        Self { engine, keys }
    }

    async fn place_of(&self, email: &Email) -> Result<Place, Unavailable> {
        Ok(self.keys.names().await?.place("email", email.as_str()))
    }

    async fn find(&self, place: &Place) -> Result<Found, Unavailable> {
        let item = person_item(place);
        let bytes = self.engine.get_one(&item).await?;
        Ok(Found { item, bytes })
    }

    /// As [`Self::find`], and what it saw lasts: a server that others have replaced knows nobody who came since.
    async fn find_lasting(&self, place: &Place) -> Result<Found, Unavailable> {
        let item = person_item(place);
        let bytes = self.engine.get_lasting(&item).await?;
        Ok(Found { item, bytes })
    }

    /// The record of the user whom `place` is named after; nothing where there is none, for good.
    async fn find_user(&self, place: &Place) -> Result<Option<Found>, Unavailable> {
        let mut found = self.find(place).await?;
        if found.person()?.user_id.is_none() {
            found = self.find_lasting(place).await?;
        }
        Ok(found.person()?.user_id.is_some().then_some(found))
    }

    /// Changes the record, unless it has changed since it was read: then nothing, and the record as it is now.
    async fn save(&self, found: Found, change: Change<'_>) -> Result<Option<Found>, Unavailable> {
        let mut commit = Commit::on(found.item.collection.shard);
        commit.unchanged(found.item.clone(), found.bytes.as_deref());
        match change {
            Change::None => {}
            Change::Created(person) => {
                commit.put(found.item.clone(), person.encode());
                // His login goes on: at its end is a session, or nothing that needs him.
                commit.provisional();
            }
            Change::Blocked(person) => commit.put(found.item.clone(), person.encode()),
        }
        Ok(match self.engine.commit(commit).await? {
            Verdict::Done => None,
            Verdict::Refused(refusal) => Some(Found { bytes: refusal.found, ..found }),
        })
    }

    async fn block_place(&self, found: Found, cause: &Cause) -> Result<Block, Unavailable> {
        let mut found = found;
        // Ends: a record changes twice at most, once when its user is created and once when it is blocked.
        loop {
            let mut person = found.person()?;
            let saved = if person.block.is_some() {
                // Read from a master, it may be the word of a call that failed because no replica had it.
                (self.save(found, Change::None).await?, Block::AlreadyBlocked(person.user_id))
            } else {
                person.block = Some(cause.into());
                (self.save(found, Change::Blocked(&person)).await?, Block::Blocked(person.user_id))
            };
            match saved {
                (None, outcome) => return Ok(outcome),
                (Some(changed), _) => found = changed,
            }
        }
    }
}

impl Found {
    fn person(&self) -> Result<Person, Unavailable> {
        self.bytes.as_deref().map_or_else(|| Ok(Person::default()), |bytes| Person::decode(&self.item, bytes))
    }
}

#[async_trait]
impl Users for Directory {
    async fn resolve(&self, email: &Email) -> Result<Standing, Unavailable> {
        let person = self.find(&self.place_of(email).await?).await?.person()?;
        Ok(if person.block.is_some() { Standing::Blocked } else { Standing::Welcome })
    }

    async fn ensure(&self, email: &Email) -> Result<Admission, Unavailable> {
        let place = self.place_of(email).await?;
        // A session rests on this user: were he undone by a failover that leaves the session, nobody could block him.
        let mut found = self.find_lasting(&place).await?;
        // Ends, as above.
        loop {
            let mut person = found.person()?;
            if person.block.is_some() {
                return Ok(Admission::Blocked);
            }
            if let Some(user_id) = person.user_id {
                return Ok(Admission::Admitted(user_id));
            }
            let user_id = place.prefix();
            person.user_id = Some(user_id.clone());
            match self.save(found, Change::Created(&person)).await? {
                None => return Ok(Admission::Admitted(user_id)),
                Some(changed) => found = changed,
            }
        }
    }

    async fn exists(&self, user_id: &str) -> Result<bool, Unavailable> {
        match place_of_user(user_id) {
            Some(place) => Ok(self.find_user(&place).await?.is_some()),
            None => Ok(false),
        }
    }

    async fn block(&self, subject: &Subject, cause: &Cause) -> Result<Block, Unavailable> {
        let found = match subject {
            Subject::Email(email) => self.find(&self.place_of(email).await?).await?,
            Subject::UserId(user_id) => {
                let Some(place) = place_of_user(user_id) else { return Ok(Block::Unknown) };
                let Some(found) = self.find_user(&place).await? else { return Ok(Block::Unknown) };
                found
            }
        };
        self.block_place(found, cause).await
    }
}

fn person_item(place: &Place) -> Item {
    place.collection("u").item("person")
}

/// The place whose user would have this id.
fn place_of_user(user_id: &str) -> Option<Place> {
    Place::split(user_id).filter(|(_, rest)| rest.is_empty()).map(|(place, _)| place)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        base::World,
        engine::{behind::Behind, embedded::Embedded},
    };

    #[tokio::test]
    async fn a_server_that_others_have_replaced_denies_no_user() {
        let dir = tempfile::tempdir().unwrap();
        let engine: Arc<dyn Engine> = Embedded::open(dir.path(), World::system()).unwrap();
        let keys = Arc::new(Keys::new(engine.clone(), World::system()));
        let directory = Directory::new(engine.clone(), keys.clone());
        let behind = Directory::new(Arc::new(Behind(engine)), keys);
        let email = Email::parse("pilot@example.com").unwrap();
        let Admission::Admitted(user_id) = directory.ensure(&email).await.unwrap() else {
            panic!("nobody has blocked him")
        };
        assert!(behind.exists(&user_id).await.unwrap());
        let subject = Subject::UserId(user_id.clone());
        let block = behind.block(&subject, &Cause::system("test")).await.unwrap();
        assert!(matches!(block, Block::Blocked(Some(blocked)) if blocked == user_id));
    }
}

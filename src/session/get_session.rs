//! `getSession`: one session, active or revoked.

use super::{Error, Session, SessionId, Sessions, store::Found};

impl Sessions {
    /// The session called `id`.
    pub async fn get_session(&self, id: &str) -> Result<Session, Error> {
        let id = SessionId::parse(id).ok_or(Error::SessionNotFound)?;
        match self.store.find(&id, self.now()).await? {
            Found::Active(kept) => Ok(kept.session),
            Found::Revoked(session) => Ok(session),
            Found::Nothing => Err(Error::SessionNotFound),
        }
    }
}

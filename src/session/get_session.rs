//! `getSession`: one session, active or revoked.

use super::{Error, Session, SessionId, Sessions};

impl Sessions {
    /// The session called `id`.
    pub async fn get_session(&self, id: &str) -> Result<Session, Error> {
        let id = SessionId::parse(id).ok_or(Error::SessionNotFound)?;
        self.store.find(&id, self.now()).await?.ok_or(Error::SessionNotFound)
    }
}

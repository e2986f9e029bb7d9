//! `confirmEmailCode`: exchanges a right code for a session of the caller's key.
//!
//! A guess is told right or wrong only after it has been counted: a wrong one's answer waits for the commit that
//! counts it, and that commit insists on the counts it was judged by. So any number of parallel guesses sees at most
//! as many verdicts as the cap allows. A right code is claimed for one key before a session is opened; repeating the
//! request finds the claim and the session.

use std::net::IpAddr;

use super::{
    Challenges, Code, Error,
    model::{Challenge, MailedCode, Used},
    store::{ChallengeId, Changed, Found},
};
use crate::{
    base::{DeviceKey, Email, Races, Secret, Unavailable},
    session::{OpenRequest, Opening},
    users::Admission,
};

/// What a client sends to confirm, parsed.
pub struct Request {
    /// As it was received.
    pub challenge_id: String,
    /// The code from the mail.
    pub code: Code,
    /// The device's key, and as it was received.
    pub key: (DeviceKey, String),
    /// Proof that the caller holds the private key: standard base64 of an Ed25519 signature.
    pub key_signature: Option<String>,
    /// Where the request comes from.
    pub client: IpAddr,
}

impl Challenges {
    /// Confirms a challenge and returns the id of the session that it opens, or has opened for this key before.
    pub async fn confirm_email_code(&self, request: &Request) -> Result<String, Error> {
        self.check_key_proof(request)?;
        let id = ChallengeId::parse(&request.challenge_id).ok_or(Error::ChallengeNotFound)?;
        let secret = self.code_secret().await?;
        let mut races = Races::default();
        loop {
            let found = self.store.find(&id, self.world.now()).await?.ok_or(Error::ChallengeNotFound)?;
            self.check_open(&found)?;
            if !self.is_right(&request.code, &found.challenge.value.code, secret) {
                if self.count_wrong_code(&found).await? {
                    return Err(Error::InvalidCode);
                }
                races.lost()?; // somebody else's guess was counted first: judge again by the new counts
                continue;
            }
            if let Some(used) = &found.challenge.value.used {
                if let Some(session_id) = self.replay(request, &found, used).await? {
                    return Ok(session_id);
                }
                races.lost()?;
                continue;
            }
            let user_id = match self.admit(&found.challenge.value).await {
                Err(Error::BlockedByPolicy)
                    if self.store.is_used(&id, &found.challenge.value.code).await? =>
                {
                    return Err(Error::ChallengeAlreadyUsed);
                }
                admitted => admitted?,
            };
            if let Some(session_id) = self.log_in(request, &found, user_id).await? {
                return Ok(session_id);
            }
            races.lost()?;
        }
    }

    /// Whether `code` was mailed, under this secret or, while secrets are being replaced, under the other one. Both are
    /// tried always, so that the time taken does not tell which.
    fn is_right(&self, code: &Code, mailed: &MailedCode, secret: &Secret) -> bool {
        let previous = self.settings.code_secret_previous.as_ref();
        code.matches(mailed, secret) | previous.is_some_and(|previous| code.matches(mailed, previous))
    }

    /// The proof counts for this challenge and key only, as they were sent.
    fn check_key_proof(&self, request: &Request) -> Result<(), Error> {
        let (key, key_text) = &request.key;
        match &request.key_signature {
            Some(signature) => {
                let message = format!("authsession/confirm/v1\n{}\n{key_text}", request.challenge_id);
                if key.verifies(message.as_bytes(), signature) {
                    Ok(())
                } else {
                    Err(Error::InvalidKeySignature)
                }
            }
            None if self.settings.require_key_proof => Err(Error::InvalidKeySignature),
            None => Ok(()),
        }
    }

    /// Whether codes are looked at at all.
    fn check_open(&self, found: &Found) -> Result<(), Error> {
        let challenge = &found.challenge.value;
        if challenge.expires_at <= found.now {
            return Err(Error::ChallengeExpired);
        }
        if challenge.wrong_codes >= self.settings.max_attempts {
            return Err(Error::TooManyAttempts);
        }
        let lane = found.address.value.lane(challenge.lane);
        match lane.refused_for(self.settings.address_max_failures, found.now) {
            Some(retry_after) => Err(Error::RateLimited { retry_after }),
            None => Ok(()),
        }
    }

    /// Counts a wrong code against challenge and address; `false` where either has changed since it was read. A code
    /// that has logged in already is not counted: nothing can be guessed with it.
    async fn count_wrong_code(&self, found: &Found) -> Result<bool, Unavailable> {
        if found.challenge.value.used.is_some() {
            return Ok(true);
        }
        let mut challenge = found.challenge.value.clone();
        challenge.wrong_codes += 1;
        let mut address = found.address.value.clone();
        address.lane_mut(challenge.lane).count_wrong_code(found.now);
        Ok(match self.store.count_wrong_code(found, &challenge, &address).await? {
            Changed::Done | Changed::CodeUsed => true,
            Changed::Raced => false,
        })
    }

    /// The right code once more, after it has been used with this challenge; nothing where that has changed. The claim
    /// that was read may be that of a call which failed because no replica had it, so it is made to last first.
    async fn replay(&self, request: &Request, found: &Found, used: &Used) -> Result<Option<String>, Error> {
        if used.key != request.key.0 {
            return Err(Error::ChallengeAlreadyUsed);
        }
        if !self.store.lasts(found).await? {
            return Ok(None);
        }
        self.open(request, &found.challenge.value, &used.user_id).await.map(Some)
    }

    /// The user who logs in.
    async fn admit(&self, challenge: &Challenge) -> Result<String, Error> {
        let email = Email::parse(&challenge.email)
            .ok_or_else(|| Unavailable::new("store", "a challenge whose address is none"))?;
        match self.users.ensure(&email).await? {
            Admission::Admitted(user_id) => Ok(user_id),
            Admission::Blocked => Err(Error::BlockedByPolicy),
        }
    }

    /// Claims the code for this key, then opens the session; nothing where somebody else came first.
    ///
    /// Whether there is room is asked before, so that a full user uses up neither code nor try. Should the last place go
    /// between the two, the code stays claimed for this key: his repeat works as soon as there is room again.
    async fn log_in(
        &self,
        request: &Request,
        found: &Found,
        user_id: String,
    ) -> Result<Option<String>, Error> {
        if !self.sessions.has_room(&user_id).await? {
            return Err(Error::SessionLimitExceeded);
        }
        let names = self.keys.names().await?;
        let network = super::network(names, &found.id.place, request.client);
        let mut address = found.address.value.clone();
        address.succeed(found.challenge.value.lane, network, found.now);
        let used = Some(Used { key: request.key.0, user_id: user_id.clone() });
        let claimed = Challenge { used, ..found.challenge.value.clone() };
        match self.store.claim(found, &claimed, &address).await? {
            Changed::Done => {
                let opened = self.open(request, &claimed, &user_id).await;
                if opened.as_ref().is_err_and(Error::is_verdict) {
                    // No session came after the claim to make it last.
                    self.store.keep(&found.id.place).await?;
                }
                opened.map(Some)
            }
            Changed::CodeUsed => Err(Error::ChallengeAlreadyUsed),
            Changed::Raced => Ok(None),
        }
    }

    /// Opens the session that this challenge and key stand for. Where a block is met that the user service knows
    /// nothing of any more, it has been lifted there: so it is lifted here, too.
    async fn open(&self, request: &Request, challenge: &Challenge, user_id: &str) -> Result<String, Error> {
        let open = OpenRequest { user_id, key: request.key.0, origin: &request.challenge_id };
        loop {
            match self.sessions.open(&open).await? {
                Opening::Open(session_id) => return Ok(session_id.to_string()),
                Opening::Ended => return Err(Error::ChallengeAlreadyUsed),
                Opening::LimitReached => return Err(Error::SessionLimitExceeded),
                Opening::Blocked(flag) => {
                    if self.admit(challenge).await? != user_id {
                        return Err(Error::BlockedByPolicy);
                    }
                    self.sessions.lift(user_id, &flag).await?;
                }
            }
        }
    }
}

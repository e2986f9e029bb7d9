//! `sendEmailCode`: mails a code to an address, or lets the one already mailed serve once more.
//!
//! Everybody gets the same answer. A blocked address goes the same way as every other, except that nothing is mailed:
//! its code exists, but nobody has it.

use std::{net::IpAddr, time::Duration};

use tokio::{time::Instant, try_join};
use tracing::info;

use super::{
    Challenges, Code, Error,
    model::{Address, Challenge, Lane, Mail, MailedCode, NextSend},
    store::{ChallengeId, Changed, Read},
};
use crate::{
    base::{Email, Races, Timestamp, Unavailable},
    engine::Place,
    mail::{Delivery, Outcome},
    users::Standing,
};

/// How often to look what became of another request's mail.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// What stays the same while one request is served.
struct Send<'a> {
    email: &'a Email,
    standing: Standing,
    place: Place,
    network: [u8; 8],
}

impl Challenges {
    /// Starts a challenge for `email` and returns its id. `client` is where the request comes from.
    pub async fn send_email_code(&self, email: &Email, client: IpAddr) -> Result<String, Error> {
        let names = self.keys.names().await?;
        let place = names.place("email", email.as_str());
        let network = super::network(names, &place, client);
        // Both at once: neither needs the other.
        let (standing, address) =
            try_join!(self.users.resolve(email), self.store.address(&place, self.world.now()))?;
        let send = Send { email, standing, place, network };
        let (mut watch, mut first, mut races) = (None, Some(address), Races::default());
        loop {
            let now = self.world.now();
            let address = match first.take() {
                Some(address) => address,
                None => self.store.address(&send.place, now).await?,
            };
            let lane = address.value.lane_for(send.network, now);
            let next = address.value.lane(lane).next_send(self.settings.resend_cooldown, now);
            let started = match next {
                NextSend::TooSoon(retry_after) => return Err(Error::RateLimited { retry_after }),
                NextSend::Join(mail) => self.join(&send, lane, &mail, now).await?,
                NextSend::Wait(mail) if !self.is_left_behind(&mail, &mut watch)? => {
                    tokio::time::sleep(LOOK_AGAIN).await;
                    continue;
                }
                // The delivery that this request has watched is over and was none.
                NextSend::Mail if watch.is_some() => return Err(undelivered().into()),
                NextSend::Wait(_) | NextSend::Mail => self.mail_code(&send, lane, &address, now).await?,
            };
            // Nothing where another request came between the look and the step: look again.
            if let Some(id) = started {
                return Ok(id.to_string());
            }
            races.lost()?;
        }
    }

    /// Another challenge for a code that is in the mailbox already.
    async fn join(
        &self,
        send: &Send<'_>,
        lane: Lane,
        mail: &Mail,
        now: Timestamp,
    ) -> Result<Option<ChallengeId>, Error> {
        let id = ChallengeId::new(&send.place, self.world.random());
        let challenge = self.challenge(send, lane, mail, now);
        Ok((self.store.join(&id, &challenge, now).await? == Changed::Done).then_some(id))
    }

    /// Draws a code, notes that it is on its way, delivers it, and notes that it has arrived.
    async fn mail_code(
        &self,
        send: &Send<'_>,
        lane: Lane,
        read: &Read<Address>,
        now: Timestamp,
    ) -> Result<Option<ChallengeId>, Error> {
        let id = ChallengeId::new(&send.place, self.world.random());
        let code = Code::draw(&self.world, self.settings.code_length);
        let mailed = code.mailed(self.world.random(), self.code_secret().await?);
        let expires_at = now.after(self.settings.code_ttl);
        let mail = Mail { code: mailed, sent_at: now, expires_at, delivered: false };
        let challenge = self.challenge(send, lane, &mail, now);
        let mut address = read.value.clone();
        address.lane_mut(lane).mail = Some(mail.clone());
        let Some(started) = self.store.start(&id, &challenge, (read, address), now).await? else {
            return Ok(None);
        };
        let delivered = self.deliver(send, &id, code, expires_at).await;
        // A failed delivery starts no cooldown: the next request mails.
        self.settle(&send.place, (lane, &mail.code), started, delivered.is_ok()).await?;
        delivered?;
        Ok(Some(id))
    }

    async fn deliver(
        &self,
        send: &Send<'_>,
        id: &ChallengeId,
        code: Code,
        expires_at: Timestamp,
    ) -> Result<(), Unavailable> {
        if send.standing == Standing::Blocked {
            self.pace.keep(Instant::now(), &self.world).await;
            info!(challenge_id = %id, "no login code sent: the address is blocked");
            return Ok(());
        }
        let started = Instant::now();
        let delivery = Delivery {
            challenge_id: id.to_string(),
            email: send.email.clone(),
            code: code.into_secret(),
            expires_at,
        };
        match self.mail.deliver(&delivery).await? {
            Outcome::Sent => self.pace.set(started).await,
            // It may have been quicker than one that is sent.
            Outcome::Suppressed => self.pace.keep(started, &self.world).await,
        }
        info!(challenge_id = %id, "login code sent");
        Ok(())
    }

    /// Notes what became of the mail with this code, unless the lane has moved on. `read` is the address as it was when
    /// the mail was begun: most likely it still is.
    async fn settle(
        &self,
        place: &Place,
        (lane, code): (Lane, &MailedCode),
        mut read: Read<Address>,
        delivered: bool,
    ) -> Result<(), Unavailable> {
        let mut races = Races::default();
        loop {
            let now = self.world.now();
            let mut address = read.value.clone();
            let Some(mail) = address.lane_mut(lane).mail.take_if(|mail| mail.code == *code) else {
                return self.store.keep(place).await;
            };
            if delivered {
                address.lane_mut(lane).mail = Some(Mail { delivered, ..mail });
            }
            if self.store.settle(place, (&read, &address), now).await? == Changed::Done {
                return Ok(());
            }
            races.lost()?;
            read = self.store.address(place, now).await?;
        }
    }

    /// Whether `mail` has been on its way for so long that whoever was to deliver it must be gone. Judged by how long
    /// this request has watched it, not by clocks of two machines. A request waits for one delivery of another's: where
    /// that one fails, so does the request.
    fn is_left_behind(
        &self,
        mail: &Mail,
        watch: &mut Option<(MailedCode, Instant)>,
    ) -> Result<bool, Unavailable> {
        let (watched, since) = watch.get_or_insert_with(|| (mail.code.clone(), Instant::now()));
        if *watched == mail.code { Ok(since.elapsed() > self.delivery_patience) } else { Err(undelivered()) }
    }

    fn challenge(&self, send: &Send<'_>, lane: Lane, mail: &Mail, now: Timestamp) -> Challenge {
        Challenge {
            email: send.email.as_str().to_owned(),
            lane,
            code: mail.code.clone(),
            // Its own time, but not beyond the code's.
            expires_at: now.after(self.settings.code_ttl).min(mail.expires_at),
            wrong_codes: 0,
            used: None,
        }
    }
}

fn undelivered() -> Unavailable {
    Unavailable::new("mail", "the delivery that this request waited for failed")
}

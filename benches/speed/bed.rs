//! What parties are made of, and how much is made of each measurement: everything, or, where only the answers are looked
//! at, a handful of requests without regard to time.

use std::time::Duration;

use crate::{
    mailbox::Mailbox,
    options::Options,
    party::{Party, Plan},
    process::Process,
    store::Store,
    work::Work,
};

/// Longer than a handful of requests takes on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// Shared by all rows.
pub(crate) struct Bed {
    pub(crate) mailbox: Mailbox,
    options: Options,
}

impl Bed {
    pub(crate) fn new(options: &Options) -> Self {
        Self { mailbox: Mailbox::open(), options: options.clone() }
    }

    /// Whether only the answers are looked at.
    pub(crate) const fn smoke(&self) -> bool {
        self.options.smoke
    }

    /// How often the parties of a row take turns.
    pub(crate) const fn rounds(&self) -> usize {
        self.options.rounds
    }

    /// How long one turn of a row lasts.
    pub(crate) fn turn(&self) -> Duration {
        Duration::from_secs_f64(self.options.seconds)
    }

    /// How many different sessions, or users with sessions, are read.
    pub(crate) const fn samples(&self) -> usize {
        self.some(1000, 5)
    }

    /// So many, or `few` where only the answers are looked at.
    pub(crate) const fn some(&self, many: usize, few: usize) -> usize {
        if self.options.smoke { few } else { many }
    }

    /// A turn of this length.
    pub(crate) const fn plan(&self, concurrency: usize, time: Duration) -> Plan {
        let few = 2 * concurrency;
        if self.options.smoke {
            return Plan { concurrency, time: PATIENCE, expected: few, most: few };
        }
        Plan { concurrency, time, expected: 300 + 4 * concurrency, most: usize::MAX }
    }

    /// So many processes of the service on `store`.
    pub(crate) fn services(
        &self,
        count: usize,
        store: Store,
        settings: &[(&str, &str)],
        work: Work,
    ) -> Party {
        let url = self.mailbox.url();
        let ours = [
            ("MAIL_SERVICE_MODE", "rest"),
            ("MAIL_SERVICE_BASE_URL", url.as_str()),
            ("RATE_LIMIT_SEND_PER_MINUTE", "0"),
            ("RATE_LIMIT_CONFIRM_PER_MINUTE", "0"),
        ];
        let patient = [("REDIS_OPERATION_TIMEOUT", "5s"), ("MAIL_SERVICE_REQUEST_TIMEOUT", "5s")];
        // A busy machine keeps these deadlines; where times count, the defaults hold.
        let patient = patient.iter().filter(|_| self.options.smoke || self.options.scale);
        let all = ours.iter().chain(settings).chain(patient);
        let all = all.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let all: Vec<(String, String)> = all.chain(store.settings()).collect();
        let servers = (0..count).map(|_| Process::service(&all)).collect();
        Party { servers, store: Some(store), gateway: None, work, mailbox: self.mailbox.clone() }
    }

    /// One process on a Redis, with the gateway's copy in another.
    pub(crate) fn apart(&self, store: Store, gateway: Store, work: Work) -> Party {
        let addr = gateway.server().addr();
        let party = self.services(1, store, &[("GATEWAY_REDIS_ADDR", &addr)], work);
        Party { gateway: Some(gateway), ..party }
    }

    /// The reference called `name`; without a Redis it answers `body`.
    pub(crate) fn reference(&self, name: &str, store: Option<Store>, body: &str, work: Work) -> Party {
        let redis = store.as_ref().map(|store| store.server().addr()).unwrap_or_default();
        let server = Process::reference(name, &[&redis, &self.mailbox.url(), body]);
        Party { servers: vec![server], store, gateway: None, work, mailbox: self.mailbox.clone() }
    }
}

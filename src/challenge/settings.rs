//! How codes look, how long they live, and how often they may be tried.

use std::time::Duration;

use crate::base::{Secret, settings::Reader};

/// No code lives longer (NIST SP 800-63B-4 section 3.1.3.2, OWASP ASVS 6.5.5).
pub(super) const LONGEST_CODE: Duration = Duration::from_mins(10);

/// Settings of the challenge capability.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `AUTHSESSION_CODE_SECRET`; nothing where the store keeps one of its own.
    pub code_secret: Option<Secret>,
    /// `AUTHSESSION_CODE_SECRET_PREVIOUS`: codes that were hashed under it are right, too.
    pub code_secret_previous: Option<Secret>,
    /// `AUTHSESSION_CODE_LENGTH`: decimal digits.
    pub code_length: u32,
    /// `AUTHSESSION_CODE_TTL`.
    pub code_ttl: Duration,
    /// `AUTHSESSION_CODE_RESEND_COOLDOWN`.
    pub resend_cooldown: Duration,
    /// `AUTHSESSION_CODE_MAX_ATTEMPTS`: wrong codes that close a challenge.
    pub max_attempts: u32,
    /// `AUTHSESSION_ADDRESS_MAX_FAILURES`: wrong codes in 24 h from which on a lane of an address takes no more.
    pub address_max_failures: usize,
    /// `AUTHSESSION_REQUIRE_KEY_PROOF`.
    pub require_key_proof: bool,
    /// `AUTHSESSION_RATE_LIMIT_SEND_PER_MINUTE`, per client address; 0: no limit.
    pub send_per_minute: u64,
    /// `AUTHSESSION_RATE_LIMIT_CONFIRM_PER_MINUTE`, likewise.
    pub confirm_per_minute: u64,
}

impl Settings {
    /// What an operator should know about these settings, though they are valid.
    pub(crate) fn warning(&self) -> Option<&'static str> {
        if self.code_secret.is_none() {
            return Some(
                "the secret that protects login codes is kept in the store beside them: AUTHSESSION_CODE_SECRET is not set",
            );
        }
        (self.code_secret == self.code_secret_previous).then_some(
            "AUTHSESSION_CODE_SECRET_PREVIOUS is the same as AUTHSESSION_CODE_SECRET: codes mailed under another are spoilt",
        )
    }

    /// From the environment.
    pub fn read(reader: &mut Reader) -> Self {
        const MINUTE: Duration = Duration::from_mins(1);
        const HOUR: Duration = Duration::from_hours(1);
        let long_enough = |text: &str| (text.len() >= 32).then(|| Secret::new(text));
        let takes = "at least 32 bytes of text";
        let code_secret =
            reader.secret(("AUTHSESSION_CODE_SECRET", "AUTHSESSION_CODE_SECRET_FILE"), takes, long_enough);
        let code_secret_previous = reader.secret(
            ("AUTHSESSION_CODE_SECRET_PREVIOUS", "AUTHSESSION_CODE_SECRET_PREVIOUS_FILE"),
            takes,
            long_enough,
        );
        if code_secret_previous.is_some() && code_secret.is_none() {
            reader.fault(
                "AUTHSESSION_CODE_SECRET_PREVIOUS takes no value where AUTHSESSION_CODE_SECRET has none",
            );
        }
        Self {
            code_secret,
            code_secret_previous,
            code_length: narrow(reader.number("AUTHSESSION_CODE_LENGTH", 6, 6..=10)),
            code_ttl: reader.duration("AUTHSESSION_CODE_TTL", 5 * MINUTE, LONGEST_CODE),
            resend_cooldown: reader.duration("AUTHSESSION_CODE_RESEND_COOLDOWN", MINUTE, HOUR),
            max_attempts: narrow(reader.number("AUTHSESSION_CODE_MAX_ATTEMPTS", 5, 1..=100)),
            address_max_failures: reader
                .number("AUTHSESSION_ADDRESS_MAX_FAILURES", 100, 1..=1000)
                .try_into()
                .unwrap_or(usize::MAX),
            require_key_proof: reader.flag("AUTHSESSION_REQUIRE_KEY_PROOF", false),
            send_per_minute: reader.number("AUTHSESSION_RATE_LIMIT_SEND_PER_MINUTE", 30, 0..=u64::MAX),
            confirm_per_minute: reader.number("AUTHSESSION_RATE_LIMIT_CONFIRM_PER_MINUTE", 60, 0..=u64::MAX),
        }
    }
}

/// The ranges above fit.
fn narrow(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

//! How many sessions a user may have, and how long revoked ones are remembered.

use std::time::Duration;

use crate::base::settings::Reader;

/// Settings of the session capability.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `AUTHSESSION_MAX_SESSIONS_PER_USER`; nothing where it is 0.
    pub max_per_user: Option<u64>,
    /// `AUTHSESSION_SESSION_LIMIT_POLICY`.
    pub limit_policy: LimitPolicy,
    /// `AUTHSESSION_REVOKED_RETENTION`: from then on a revoked session is neither found nor listed.
    pub revoked_retention: Duration,
}

/// What happens to a login beyond the limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LimitPolicy {
    /// It is refused.
    Reject,
    /// The user's oldest session makes room.
    RevokeOldest,
}

impl Settings {
    /// From the environment.
    pub fn read(reader: &mut Reader) -> Self {
        const DAY: Duration = Duration::from_hours(24);
        let policies = [("reject", LimitPolicy::Reject), ("revoke_oldest", LimitPolicy::RevokeOldest)];
        let max = reader.number("AUTHSESSION_MAX_SESSIONS_PER_USER", 0, 0..=1_000_000);
        Self {
            max_per_user: (max > 0).then_some(max),
            limit_policy: reader.choice("AUTHSESSION_SESSION_LIMIT_POLICY", LimitPolicy::Reject, &policies),
            revoked_retention: reader.duration("AUTHSESSION_REVOKED_RETENTION", 90 * DAY, 3650 * DAY),
        }
    }
}

//! The rules of a login in progress. Pure: what was read and the time go in, a decision comes out.

use std::{net::IpAddr, time::Duration};

use crate::base::{DeviceKey, Timestamp};

/// How long wrong codes count, and for how long an address remembers where it has logged in.
pub(super) const FAILURE_WINDOW: Duration = Duration::from_hours(24);
pub(super) const USUAL_FOR: Duration = Duration::from_hours(90 * 24);

/// How many networks an address remembers; the one it has used longest ago is forgotten first.
const USUAL_NETWORKS: usize = 32;

/// However often codes are guessed wrong, the owner waits no longer than this for a mail.
const LONGEST_COOLDOWN: Duration = Duration::from_hours(1);

/// From this many wrong codes on the cooldown doubles, and once more every `COOLDOWN_STEP`.
const COOLDOWN_FROM: usize = 10;
const COOLDOWN_STEP: usize = 5;

/// A login by e-mail code, of one address, for a few minutes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Challenge {
    /// The normal form: the user service is asked by it on confirm.
    pub(super) email: String,
    pub(super) lane: Lane,
    pub(super) code: MailedCode,
    /// From then on it cannot be confirmed.
    pub(super) expires_at: Timestamp,
    pub(super) wrong_codes: u32,
    pub(super) used: Option<Used>,
}

/// A code as it is kept: which mail it went out with, and its keyed hash, salted with that.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct MailedCode {
    pub(super) mail: [u8; 16],
    pub(super) hash: [u8; 32],
}

/// Who has logged in with it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Used {
    pub(super) key: DeviceKey,
    pub(super) user_id: String,
}

/// Which of an address's two lanes: each has its own count of wrong codes, its own cooldown and its own mailed code.
/// So whoever guesses from elsewhere cannot lock the owner out where he usually is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Lane {
    /// For networks from which the address has logged in lately.
    Usual,
    /// For everywhere else.
    Other,
}

/// What is remembered of an address.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Address {
    /// Keyed hashes of networks, and when the address last logged in from there.
    pub(super) networks: Vec<([u8; 8], Timestamp)>,
    pub(super) usual: LaneState,
    pub(super) other: LaneState,
}

/// One lane of an address.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct LaneState {
    /// When wrong codes were given since the last success, oldest first, within the window.
    pub(super) wrong_codes: Vec<Timestamp>,
    /// The last mail, until a success.
    pub(super) mail: Option<Mail>,
}

/// A mail on its way, or delivered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Mail {
    pub(super) code: MailedCode,
    pub(super) sent_at: Timestamp,
    /// From then on its code no longer works.
    pub(super) expires_at: Timestamp,
    /// Whether the mail service has taken it. A crash can leave a mail that never will be: it starts no cooldown.
    pub(super) delivered: bool,
}

/// What a request for a code leads to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum NextSend {
    /// A new code is mailed.
    Mail,
    /// Another request is about to mail one: see what becomes of it.
    Wait(Mail),
    /// The code already mailed serves for this challenge too.
    Join(Mail),
    /// Neither: the mailed code is over, the cooldown is not.
    TooSoon(Duration),
}

impl Address {
    pub(super) fn lane_for(&self, network: [u8; 8], now: Timestamp) -> Lane {
        let usual = |(known, at): &([u8; 8], Timestamp)| *known == network && now < at.after(USUAL_FOR);
        if self.networks.iter().any(usual) { Lane::Usual } else { Lane::Other }
    }

    pub(super) const fn lane(&self, lane: Lane) -> &LaneState {
        match lane {
            Lane::Usual => &self.usual,
            Lane::Other => &self.other,
        }
    }

    pub(super) const fn lane_mut(&mut self, lane: Lane) -> &mut LaneState {
        match lane {
            Lane::Usual => &mut self.usual,
            Lane::Other => &mut self.other,
        }
    }

    /// A right code: the lane starts afresh, and the network is one of the usual ones from now on.
    pub(super) fn succeed(&mut self, lane: Lane, network: [u8; 8], now: Timestamp) {
        *self.lane_mut(lane) = LaneState::default();
        self.networks.retain(|(known, at)| *known != network && now < at.after(USUAL_FOR));
        self.networks.push((network, now));
        let surplus = self.networks.len().saturating_sub(USUAL_NETWORKS);
        self.networks.drain(..surplus);
    }
}

impl LaneState {
    /// What to do for a request for a code; `cooldown` is the configured one.
    pub(super) fn next_send(&self, cooldown: Duration, now: Timestamp) -> NextSend {
        let Some(mail) = &self.mail else { return NextSend::Mail };
        if !mail.delivered {
            return NextSend::Wait(mail.clone());
        }
        let next_mail_at = mail.sent_at.after(stretched(cooldown, self.counted(now)));
        if next_mail_at <= now {
            NextSend::Mail
        } else if now < mail.expires_at {
            NextSend::Join(mail.clone())
        } else {
            NextSend::TooSoon(next_mail_at.since(now))
        }
    }

    /// How long the lane takes no more codes because `cap` of them were wrong within the window; nothing where it
    /// takes them.
    pub(super) fn refused_for(&self, cap: usize, now: Timestamp) -> Option<Duration> {
        // The cap-th newest must leave the window before another code is looked at.
        let decisive = self.wrong_codes.iter().rev().nth(cap.saturating_sub(1))?;
        let until = decisive.after(FAILURE_WINDOW);
        (now < until).then(|| until.since(now))
    }

    /// Counts a wrong code, and forgets those that have left the window.
    pub(super) fn count_wrong_code(&mut self, now: Timestamp) {
        self.wrong_codes.retain(|at| now < at.after(FAILURE_WINDOW));
        self.wrong_codes.push(now);
    }

    fn counted(&self, now: Timestamp) -> usize {
        self.wrong_codes.iter().filter(|at| now < at.after(FAILURE_WINDOW)).count()
    }
}

/// The cooldown after `wrong_codes` of them: as configured below 10, twice that from 10, four times from 15, and so on,
/// to an hour at most.
fn stretched(cooldown: Duration, wrong_codes: usize) -> Duration {
    let doublings = match wrong_codes.checked_sub(COOLDOWN_FROM) {
        Some(beyond) => 1 + beyond / COOLDOWN_STEP,
        None => 0,
    };
    let factor =
        u32::try_from(doublings).ok().and_then(|doublings| 1_u32.checked_shl(doublings)).unwrap_or(u32::MAX);
    cooldown.saturating_mul(factor).min(LONGEST_COOLDOWN.max(cooldown))
}

/// The network that `client` is in, as far as an address's usual places go: IPv4 /24, IPv6 /48.
pub(super) fn network_of(client: IpAddr) -> Vec<u8> {
    match client.to_canonical() {
        IpAddr::V4(v4) => v4.octets().iter().take(3).copied().collect(),
        IpAddr::V6(v6) => v6.octets().iter().take(6).copied().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T0: Timestamp = Timestamp::from_ms(1_775_390_400_000);
    const MINUTE: Duration = Duration::from_mins(1);
    const HOME: [u8; 8] = [1; 8];
    const AWAY: [u8; 8] = [2; 8];

    fn mail(delivered: bool) -> Mail {
        let code = MailedCode { mail: [0; 16], hash: [0; 32] };
        Mail { code, sent_at: T0, expires_at: T0.after(5 * MINUTE), delivered }
    }

    #[test]
    fn the_cooldown_doubles_from_ten_wrong_codes_on_to_an_hour() {
        for (wrong, minutes) in
            [(0, 1), (9, 1), (10, 2), (14, 2), (15, 4), (20, 8), (35, 60), (99, 60), (1000, 60)]
        {
            assert_eq!(stretched(MINUTE, wrong), minutes * MINUTE, "{wrong}");
        }
        assert_eq!(stretched(2 * LONGEST_COOLDOWN, 50), 2 * LONGEST_COOLDOWN);
    }

    #[test]
    fn a_send_joins_the_mailed_code_until_the_cooldown_is_over() {
        let mut lane = LaneState { wrong_codes: Vec::new(), mail: Some(mail(true)) };
        let just_before = Timestamp::from_ms(T0.after(MINUTE).as_ms() - 1);
        assert_eq!(lane.next_send(MINUTE, just_before), NextSend::Join(mail(true)));
        assert_eq!(lane.next_send(MINUTE, T0.after(MINUTE)), NextSend::Mail);
        lane.wrong_codes = vec![T0; 20];
        assert_eq!(lane.next_send(MINUTE, T0.after(MINUTE)), NextSend::Join(mail(true)));
        assert_eq!(lane.next_send(MINUTE, T0.after(5 * MINUTE)), NextSend::TooSoon(3 * MINUTE));
        assert_eq!(lane.next_send(MINUTE, T0.after(8 * MINUTE)), NextSend::Mail);
        lane.mail = Some(mail(false));
        assert_eq!(lane.next_send(MINUTE, T0), NextSend::Wait(mail(false)));
    }

    #[test]
    fn the_cap_holds_until_the_window_moves_on() {
        let mut lane = LaneState::default();
        for minute in 0..3 {
            assert_eq!(lane.refused_for(3, T0.after(minute * MINUTE)), None);
            lane.count_wrong_code(T0.after(minute * MINUTE));
        }
        assert_eq!(lane.refused_for(3, T0.after(3 * MINUTE)), Some(Duration::from_mins(24 * 60 - 3)));
        assert_eq!(lane.refused_for(3, T0.after(FAILURE_WINDOW)), None);
        lane.count_wrong_code(T0.after(FAILURE_WINDOW));
        assert_eq!(lane.wrong_codes.len(), 3, "the oldest has left the window");
        assert_eq!(lane.refused_for(3, T0.after(FAILURE_WINDOW)), Some(MINUTE));
    }

    #[test]
    fn a_network_is_usual_for_ninety_days_after_a_login() {
        let mut address = Address::default();
        assert_eq!(address.lane_for(HOME, T0), Lane::Other);
        address.other.count_wrong_code(T0);
        address.usual.count_wrong_code(T0);
        address.succeed(Lane::Other, HOME, T0);
        assert_eq!((address.other.wrong_codes.len(), address.usual.wrong_codes.len()), (0, 1));
        assert_eq!(address.lane_for(HOME, Timestamp::from_ms(T0.after(USUAL_FOR).as_ms() - 1)), Lane::Usual);
        assert_eq!(address.lane_for(HOME, T0.after(USUAL_FOR)), Lane::Other);
        assert_eq!(address.lane_for(AWAY, T0), Lane::Other);
        for n in 0..40 {
            address.succeed(Lane::Usual, [n; 8], T0.after(MINUTE));
        }
        assert_eq!(address.networks.len(), USUAL_NETWORKS);
    }

    #[test]
    fn networks_are_slash_24_and_slash_48() {
        let net = |text: &str| network_of(text.parse().unwrap());
        assert_eq!(net("192.0.2.1"), net("192.0.2.254"));
        assert_ne!(net("192.0.2.1"), net("192.0.3.1"));
        assert_eq!(net("::ffff:192.0.2.1"), net("192.0.2.9"));
        assert_eq!(net("2001:db8:1:2::1"), net("2001:db8:1:ffff::9"));
        assert_ne!(net("2001:db8:1::1"), net("2001:db8:2::1"));
    }
}

//! What guessing can reach at default settings: the best attack that the rules leave room for, played for two days by
//! the clock of the test. `docs/security.md` has the arithmetic; this is the evidence.

use std::{collections::BTreeMap, time::Duration};

use authsession::config::Config;
use futures_util::future::join_all;

use crate::harness::{App, Device, Setup, Store, Visitor, actors::session_of};

const DAY: Duration = Duration::from_hours(24);
const HOME: &str = "198.51.100.7";

/// What a stranger and a neighbour of the owner share: each has one of the address's two lanes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Lane {
    Strangers,
    Neighbours,
}

/// `SplitMix64`: the same attack in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// Somebody who wants in, has any number of addresses to come from, and knows the rules.
struct Attacker<'a> {
    app: &'a App,
    victim: Visitor<'a>,
    dice: Dice,
    challenges: Vec<(Lane, String)>,
    /// When a guess was told right or wrong.
    judged: BTreeMap<Lane, Vec<u64>>,
    next_code: u32,
}

impl<'a> Attacker<'a> {
    fn new(app: &'a App, victim: &Visitor<'a>, seed: u64) -> Self {
        let (challenges, judged) = (Vec::new(), BTreeMap::new());
        Self { app, victim: victim.clone(), dice: Dice(seed), challenges, judged, next_code: 0 }
    }

    /// From a network that nobody has been seen from, or from the owner's.
    fn place(&mut self, lane: Lane) -> Visitor<'a> {
        let mut part = || self.dice.below(256);
        let from = match lane {
            Lane::Strangers => format!("10.{}.{}.{}", part(), part(), part()),
            Lane::Neighbours => format!("198.51.100.{}", part()),
        };
        self.victim.from(&from)
    }

    /// Asks for `times` challenges at once: within the cooldown they are all for one mailed code.
    async fn ask(&mut self, lane: Lane, times: usize) {
        let places: Vec<Visitor<'_>> = (0..times).map(|_| self.place(lane)).collect();
        for answer in join_all(places.iter().map(Visitor::send)).await {
            if answer.status == 200 {
                self.challenges.push((lane, answer.json()["challenge_id"].as_str().unwrap().to_owned()));
            } else {
                answer.refused(429, "rate_limited");
            }
        }
    }

    /// Hands in `each` codes for each challenge that is left, all at once. A code is never tried twice, and the right
    /// ones are passed over: so every verdict is a guess that was spent.
    async fn guess(&mut self, each: usize) {
        let mailed = self.victim.codes();
        let mut tries = Vec::new();
        for (lane, challenge) in self.challenges.clone() {
            for _ in 0..each {
                let fresh = |code: &u32| !mailed.contains(&format!("{code:06}"));
                self.next_code = (self.next_code + 1..1_000_000).find(fresh).expect("a code that is left");
                tries.push((lane, challenge.clone(), format!("{:06}", self.next_code), self.place(lane)));
            }
        }
        let device = Device::new();
        let now = self.app.clock.ms();
        for batch in tries.chunks(64) {
            let answers = batch.iter().map(async |(lane, challenge, code, place)| {
                (*lane, place.confirm(challenge, code, &device).await)
            });
            for (lane, answer) in join_all(answers).await {
                if answer.code() == "invalid_code" {
                    self.judged.entry(lane).or_default().push(now);
                } else {
                    let refusals =
                        ["too_many_attempts", "rate_limited", "challenge_expired", "challenge_not_found"];
                    assert!(refusals.contains(&answer.code().as_str()), "{answer:?}");
                }
            }
        }
        // A challenge takes five; where the address was at its cap, it may take more once the window has moved on.
        if self.challenges.len() > 40 || self.dice.below(3) == 0 {
            self.challenges.clear();
        }
    }

    /// One move: all at once, or patiently, or with what is left from before.
    async fn move_once(&mut self, lane: Lane) {
        match self.dice.below(4) {
            0 => {
                self.ask(lane, 21).await;
                self.guess(6).await;
            }
            1 => {
                self.ask(lane, 1).await;
                self.guess(5).await;
            }
            2 => self.guess(1).await,
            _ => {
                self.ask(lane, 3).await;
                self.app.clock.advance_s(60);
                self.ask(lane, 3).await;
                self.guess(2).await;
            }
        }
    }

    /// The most guesses of a lane in any 24 hours.
    fn most_in_a_day(&self, lane: Lane) -> usize {
        let times = self.judged.get(&lane).map(Vec::as_slice).unwrap_or_default();
        let day = u64::try_from(DAY.as_millis()).unwrap();
        let from = |start: &u64| times.iter().filter(|at| (*start..start + day).contains(at)).count();
        times.iter().map(from).max().unwrap_or_default()
    }

    fn last(&self) -> u64 {
        self.judged.values().flatten().copied().max().unwrap()
    }
}

/// The most guesses a day that one lane of an address takes, and the chance that one of them is right, in percent.
fn bound() -> (u32, f64) {
    let settings = Config::read([]).unwrap().challenge;
    let guesses = u32::try_from(settings.address_max_failures).unwrap();
    (guesses, 100.0 * f64::from(guesses) / 10_f64.powi(settings.code_length.cast_signed()))
}

async fn attacked(store: Store, lanes: &[Lane], owner_is_locked_out: bool, seed: u64) {
    let app = Setup::on(store).behind_a_proxy().start().await;
    let owner = app.visitor("owner@example.com");
    owner.from(HOME).log_in().await;
    let mut attacker = Attacker::new(&app, &owner, seed);
    let end = app.clock.ms() + u64::try_from(2 * DAY.as_millis()).unwrap();
    let mut visits = 0;
    while app.clock.ms() < end {
        for lane in lanes {
            attacker.move_once(*lane).await;
        }
        if !owner_is_locked_out && attacker.dice.below(3) == 0 {
            // At once, whatever goes on: no cooldown, no refusal.
            owner.from(HOME).log_in().await;
            visits += 1;
        }
        app.clock.advance(Duration::from_secs(attacker.dice.below(9000)));
    }
    let (most, _) = bound();
    for lane in lanes {
        let judged = attacker.most_in_a_day(*lane);
        assert_eq!(judged, most as usize, "{lane:?}: the attack gets all that it is allowed, and no more");
    }
    assert!(owner_is_locked_out || visits > 4, "{visits}");
    // The lock ends with the window: a day after the last guess, wherever the owner is.
    app.clock.advance(Duration::from_millis(attacker.last() + 86_400_000 - app.clock.ms()));
    for place in [HOME, "192.0.2.77"] {
        let (challenge, code) = owner.from(place).code().await;
        session_of(&owner.from(place).confirm(&challenge, &code, &Device::new()).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_get_a_hundred_guesses_a_day_and_the_owner_gets_in_at_home_all_the_while() {
    attacked(Store::Embedded, &[Lane::Strangers], false, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_in_the_owners_own_network_too_gets_twice_that_and_locks_him_out_for_a_day_at_most() {
    attacked(Store::Embedded, &[Lane::Strangers, Lane::Neighbours], true, 2).await;
}

/// The page says what follows from the defaults.
#[test]
fn the_documented_chance_is_the_one_that_follows_from_the_defaults() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/security.md")).unwrap();
    let (guesses, percent) = bound();
    let row = format!("| strangers | {guesses} | {percent:.2} % |");
    assert!(page.contains(&row), "docs/security.md lacks: {row}");
    let row = format!(
        "| strangers, and somebody in the owner's network | {} | {:.2} % |",
        2 * guesses,
        2.0 * percent
    );
    assert!(page.contains(&row), "docs/security.md lacks: {row}");
}

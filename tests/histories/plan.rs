//! Every choice of a history, drawn from its seed: the same seed, the same choices. (When they happen is up to the
//! machine, so a run is repeated in what is tried, not in how it interleaves.)

use std::time::Duration;

use crate::stage::Topology;

/// A sequence of numbers that looks random (`SplitMix64`).
#[derive(Clone)]
pub struct Dice(u64);

impl Dice {
    /// For the `part`th of those who draw from `seed`.
    pub fn new(seed: u64, part: u64) -> Self {
        let mut dice = Self(seed ^ part.wrapping_mul(0xa076_1d64_78bd_642f));
        dice.next();
        dice
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound.max(1)).unwrap()).unwrap()
    }

    /// True once in so many times.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }
}

/// What a client does next, and on which process it begins.
#[derive(Clone, Debug)]
pub struct Step {
    pub process: usize,
    pub pause: Duration,
    pub deed: Deed,
}

/// Where a number is a pick, it is taken modulo what there is to pick from.
#[derive(Clone, Debug)]
pub enum Deed {
    /// Sends, and confirms with so many keys at once, each so many times at once; one wrong code before, or none.
    LogIn {
        user: usize,
        keys: usize,
        times: usize,
        wrong_first: bool,
    },
    /// Confirms once more what was confirmed before: with the same key, or with another.
    ConfirmAgain {
        pick: usize,
        same_key: bool,
    },
    Revoke {
        pick: usize,
    },
    RevokeAll {
        pick: usize,
    },
    Block {
        pick: usize,
        by_user: bool,
    },
    Look {
        pick: usize,
    },
}

/// How many users there are at a time. One who is blocked is followed by another.
pub const USERS: usize = 8;

/// The steps of one client, without end.
pub fn steps(seed: u64, client: usize) -> impl Iterator<Item = Step> {
    let mut dice = Dice::new(seed, 1 + u64::try_from(client).unwrap());
    std::iter::repeat_with(move || Step {
        process: dice.below(2),
        pause: Duration::from_millis(u64::try_from(dice.below(12)).unwrap()),
        deed: deed(&mut dice),
    })
}

fn deed(dice: &mut Dice) -> Deed {
    match dice.below(100) {
        0..45 => Deed::LogIn {
            user: dice.below(USERS),
            keys: 1 + usize::from(dice.once_in(3)),
            times: 1 + usize::from(dice.once_in(4)),
            wrong_first: dice.once_in(8),
        },
        45..52 => Deed::ConfirmAgain { pick: dice.below(1 << 16), same_key: dice.once_in(2) },
        52..76 => Deed::Revoke { pick: dice.below(1 << 16) },
        76..84 => Deed::RevokeAll { pick: dice.below(1 << 16) },
        84..87 => Deed::Block { pick: dice.below(1 << 16), by_user: dice.once_in(2) },
        _ => Deed::Look { pick: dice.below(1 << 16) },
    }
}

/// What breaks. Numbers say which server or process, modulo how many there are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// kill -9 of a service process, and a new one.
    KillProcess(usize),
    /// SIGSTOP of a service process for so many milliseconds.
    PauseProcess(usize, u64),
    /// kill -9 of the store's Redis (a replicated one: of a master, and the election of another) and a new start.
    KillStore(usize),
    /// SIGSTOP of the store's Redis for so many milliseconds.
    PauseStore(usize, u64),
    /// `CLUSTER FAILOVER`.
    FailOver(usize),
    /// All connections of the second process to the store are cut.
    CutStore,
    /// What the second process writes to the gateway's Redis arrives so many milliseconds late.
    DelayGateway(u64),
    /// kill -9 of the gateway's own Redis, and a new start so many milliseconds later.
    KillGateway(u64),
    /// SIGSTOP of the gateway's own Redis for so many milliseconds.
    PauseGateway(u64),
}

/// What breaks next.
#[derive(Clone, Copy, Debug)]
pub struct Trouble {
    pub after: Duration,
    pub fault: Fault,
    /// What breaks too, so much later, while the first may yet be there.
    pub beside: Option<(Duration, Fault)>,
}

/// What breaks, without end: every kind of fault once, in an order of the seed's, then again in another.
pub fn faults(seed: u64, topology: Topology) -> impl Iterator<Item = Trouble> {
    let mut dice = Dice::new(seed, 0);
    let mut rest: Vec<Fault> = Vec::new();
    std::iter::repeat_with(move || {
        if rest.is_empty() {
            rest = kinds(topology, &mut dice);
        }
        let fault = rest.swap_remove(dice.below(rest.len()));
        let mut ms =
            |from: u64, range| Duration::from_millis(from + u64::try_from(dice.below(range)).unwrap());
        let (after, later) = (ms(150, 350), ms(0, 900));
        let of_a_store = !matches!(fault, Fault::KillProcess(_) | Fault::PauseProcess(..));
        let beside = (of_a_store && dice.once_in(2)).then(|| (later, Fault::KillProcess(dice.below(2))));
        Trouble { after, fault, beside }
    })
}

fn kinds(topology: Topology, dice: &mut Dice) -> Vec<Fault> {
    let (which, ms) = (dice.below(1 << 16), u64::try_from(dice.below(500)).unwrap());
    let kill = Fault::KillProcess(which);
    let pause = Fault::PauseProcess(which + 1, 600 + ms);
    match topology {
        Topology::Embedded | Topology::Chain => vec![kill, kill, pause],
        Topology::EmbeddedAndGateway => {
            vec![
                kill,
                Fault::KillGateway(ms),
                Fault::PauseGateway(700 + ms),
                Fault::DelayGateway(300 + ms),
                pause,
            ]
        }
        Topology::Standalone => vec![
            kill,
            pause,
            Fault::KillStore(0),
            Fault::PauseStore(0, 700 + ms),
            Fault::CutStore,
            Fault::DelayGateway(300 + ms),
        ],
        Topology::Sentinel => vec![kill, Fault::KillStore(0), Fault::PauseStore(0, 3000 + ms)],
        Topology::Cluster => vec![
            kill,
            Fault::FailOver(which),
            Fault::KillStore(which + 1),
            // For longer than an election takes, and for less.
            Fault::PauseStore(which + 2, 3500 + ms),
            Fault::PauseStore(which, 600 + ms),
        ],
    }
}

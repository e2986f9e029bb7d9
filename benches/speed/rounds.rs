//! The parties take turns, so that whatever else the machine does falls on both.

use std::time::Duration;

use serde::Serialize;

use crate::{
    bed::Bed,
    party::{Party, Plan, Turn},
    rows::Row,
};

/// What was seen of one row at one concurrency.
#[derive(Serialize)]
pub(crate) struct Figures {
    pub(crate) row: &'static str,
    pub(crate) operation: &'static str,
    pub(crate) against: &'static str,
    pub(crate) target: Option<f64>,
    pub(crate) concurrency: usize,
    pub(crate) measured: Vec<Turn>,
    pub(crate) reference: Vec<Turn>,
}

/// The middle of some numbers, and their ends.
#[derive(Clone, Copy)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Spread {
    pub(crate) fn of(numbers: impl Iterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = numbers.collect();
        sorted.sort_by(f64::total_cmp);
        let at = |place: usize| sorted.get(place).copied().unwrap_or(f64::NAN);
        let (half, last) = (sorted.len() / 2, sorted.len().saturating_sub(1));
        let median = if sorted.len().is_multiple_of(2) {
            f64::midpoint(at(half.saturating_sub(1)), at(half))
        } else {
            at(half)
        };
        Self { median, least: at(0), most: at(last) }
    }
}

impl Figures {
    /// Of one number of each turn: measured and reference.
    pub(crate) fn medians(&self, of: impl Fn(&Turn) -> f64) -> (f64, f64) {
        let median = |turns: &[Turn]| Spread::of(turns.iter().map(&of)).median;
        (median(&self.measured), median(&self.reference))
    }

    /// Measured by reference, round by round.
    pub(crate) fn ratio(&self, of: impl Fn(&Turn) -> f64) -> Spread {
        Spread::of(self.measured.iter().zip(&self.reference).map(|(ours, theirs)| of(ours) / of(theirs)))
    }

    /// How many answers were wrong, and what one of them was.
    pub(crate) fn wrong(&self) -> Option<(usize, &str)> {
        let turns = || self.measured.iter().chain(&self.reference);
        let count = turns().map(|turn| turn.wrong).sum();
        let story = turns().find_map(|turn| turn.story.as_deref()).unwrap_or("no story");
        (count > 0).then_some((count, story))
    }
}

/// All that is asked of `row`.
pub(crate) async fn measure(row: &Row, bed: &Bed) -> Vec<Figures> {
    let parties = row.parties(bed).await;
    let mut all = Vec::new();
    let few: &[usize] = &[4];
    for &concurrency in if bed.smoke() { few } else { row.concurrency } {
        let mut figures = Figures {
            row: row.name,
            operation: row.operation,
            against: row.against,
            target: row.target,
            concurrency,
            measured: Vec::new(),
            reference: Vec::new(),
        };
        let mut sides = [
            Side::warmed(&parties.0, concurrency, bed).await,
            Side::warmed(&parties.1, concurrency, bed).await,
        ];
        for round in 0..bed.rounds() {
            let order = if round.is_multiple_of(2) { [0, 1] } else { [1, 0] };
            for side in order {
                let turn = sides[side].turn().await;
                let turns = if side == 0 { &mut figures.measured } else { &mut figures.reference };
                turns.push(turn);
            }
        }
        all.push(figures);
    }
    all
}

/// A party, and the length of its next turn.
struct Side<'a> {
    party: &'a Party,
    plan: Plan,
}

impl<'a> Side<'a> {
    /// After a short turn that does not count.
    async fn warmed(party: &'a Party, concurrency: usize, bed: &Bed) -> Self {
        let short = bed.plan(concurrency, Duration::from_millis(200));
        let mut side = Self { party, plan: short };
        if !bed.smoke() {
            let turn = party.turn(short).await;
            side.plan = bed.plan(concurrency, bed.turn());
            side.plan.expect(&turn);
        }
        side
    }

    async fn turn(&mut self) -> Turn {
        let turn = self.party.turn(self.plan).await;
        self.plan.expect(&turn);
        turn
    }
}

impl Plan {
    /// Somewhat more than was done in the same time before: a turn ends by its time.
    pub(crate) fn expect(&mut self, before: &Turn) {
        let done = before.per_second * self.time.as_secs_f64() * 1.2;
        self.expected = (done as usize + 2 * self.concurrency).min(self.most);
    }
}

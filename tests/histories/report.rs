//! One line that says how a history went, to be quoted.

use std::fmt;

use crate::{
    history::{Call, Moment, Outcome},
    plan::Fault,
    probe::Recovery,
    stage::Topology,
};

/// How it went.
pub struct Report {
    pub topology: Topology,
    pub seed: u64,
    pub calls: Vec<Call>,
    pub sessions: usize,
    /// What broke: from when until when, and after what time everything worked again.
    pub faults: Vec<(Fault, [Moment; 2], Recovery)>,
    pub violations: usize,
    /// From when all was back until the gateway had been read and agreed with the truth.
    pub agreed_after: Moment,
}

impl Report {
    /// The slowest answer, frozen processes apart, which give none.
    fn slowest(&self) -> Option<&Call> {
        let frozen = |call: &&Call| {
            self.faults.iter().any(|(fault, [from, until], _)| {
                matches!(fault, Fault::PauseProcess(..)) && call.invoked < *until && call.returned > *from
            })
        };
        self.calls.iter().filter(|call| !frozen(call)).max_by_key(|call| call.returned - call.invoked)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |is: fn(&Outcome) -> bool| self.calls.iter().filter(|call| is(&call.outcome)).count();
        if let Some(slowest) = self.slowest().filter(|call| call.returned - call.invoked > 1_500_000) {
            writeln!(f, "slow: {slowest:?}")?;
        }
        write!(
            f,
            "history {:?} seed {}: {} acknowledged, {} refused, {} unknown; {} sessions; {} violations; slowest answer {} ms; \
             gateway agreed after {} ms; recovery ms",
            self.topology,
            self.seed,
            count(|outcome| matches!(outcome, Outcome::Acknowledged(_))),
            count(|outcome| matches!(outcome, Outcome::Refused(..))),
            count(|outcome| matches!(outcome, Outcome::Unknown(_))),
            self.sessions,
            self.violations,
            self.slowest().map_or(0, |call| (call.returned - call.invoked) / 1000),
            self.agreed_after / 1000,
        )?;
        for (fault, span, recovery) in &self.faults {
            let kinds: Vec<String> = ["send", "confirm", "revoke", "revoke_all", "block"]
                .into_iter()
                .filter_map(|kind| Some(format!("{kind} {}", recovery.get(kind)? / 1000)))
                .collect();
            write!(f, "; {fault:?} at {} ms: {}", span[0] / 1000, kinds.join(" "))?;
        }
        Ok(())
    }
}

//! What is counted while the collector watches: OOM kills, CPU time, ends of runs, restarts. Pure but for the totals.

use std::sync::atomic::{
    AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};

use crate::catalogue::ids::OUTCOMES;

/// Follows one counter of the kernel through the runs of one container.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Follower {
    last: Option<u64>,
    /// The first reading of a run of which nobody knew whether it began under our eyes.
    first: u64,
}

impl Follower {
    /// A counter that begins at 0 under our eyes.
    pub(super) const fn born() -> Self {
        Self { last: Some(0), first: 0 }
    }

    /// Notes a reading; returns by how much it rose since the last. The first reading of a run that began before we
    /// watched counts nothing; a fall means that it began anew.
    pub(super) fn read(&mut self, now: u64) -> u64 {
        let rise = match self.last {
            None => {
                self.first = now;
                0
            }
            Some(last) if now < last => now,
            Some(last) => now - last,
        };
        self.last = Some(now);
        rise
    }

    /// The run turns out to have begun under our eyes; returns what has to be counted after all.
    pub(super) fn was_born(&mut self) -> u64 {
        self.last.get_or_insert(0);
        std::mem::take(&mut self.first)
    }
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Success,
    Error,
    Signal,
    Oom,
    Unknown,
}

impl Outcome {
    /// From the exit code and whether the kernel (or, failing that, the engine) tells of an OOM kill.
    pub(super) const fn of(exit_code: Option<i64>, oom_killed: bool) -> Self {
        match exit_code {
            None => Self::Unknown,
            Some(137) if oom_killed => Self::Oom,
            Some(0) => Self::Success,
            Some(129..=192) => Self::Signal,
            Some(_) => Self::Error,
        }
    }
}

/// Host-wide counts of containers. They outlive these. Units are not among them, see [`crate::Container::is_unit`].
#[derive(Debug, Default)]
pub(super) struct Totals {
    exits: [AtomicU64; OUTCOMES.len()],
    oom_kills: AtomicU64,
    /// In units, for whoever has to know whose a kill was.
    oom_kills_of_units: AtomicU64,
    cpu_nanos: AtomicU64,
}

impl Totals {
    /// Whoever sees this end also sees the kills and the time that were counted before it.
    pub(super) fn exit(&self, outcome: Outcome) {
        self.exits[outcome as usize].fetch_add(1, Release);
    }

    pub(super) fn oom_kills(&self, more: u64) {
        self.oom_kills.fetch_add(more, Relaxed);
    }

    pub(super) fn oom_kills_of_unit(&self, more: u64) {
        self.oom_kills_of_units.fetch_add(more, Relaxed);
    }

    pub(super) fn cpu(&self, nanos: u64) {
        self.cpu_nanos.fetch_add(nanos, Relaxed);
    }

    /// The counts, by outcome.
    pub(super) fn exits(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        OUTCOMES.iter().copied().zip(self.exits.iter().map(|count| count.load(Acquire)))
    }

    pub(super) fn oom_kills_total(&self) -> u64 {
        self.oom_kills.load(Relaxed)
    }

    /// Those of units, too.
    pub(super) fn oom_kills_seen(&self) -> u64 {
        self.oom_kills_total().saturating_add(self.oom_kills_of_units.load(Relaxed))
    }

    pub(super) fn cpu_nanos_total(&self) -> u64 {
        self.cpu_nanos.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_follower_counts_rises_only() {
        let mut before_us = Follower::default();
        assert_eq!([7, 7, 9, 2, 3].map(|now| before_us.read(now)), [0, 0, 2, 2, 1]);
        let mut under_our_eyes = Follower::born();
        assert_eq!([7, 8].map(|now| under_our_eyes.read(now)), [7, 1]);
        assert_eq!(under_our_eyes.was_born(), 0, "that was known");
        assert_eq!([before_us.was_born(), before_us.was_born()], [7, 0], "once");
        let mut unread = Follower::default();
        assert_eq!((unread.was_born(), unread.read(5)), (0, 5));
    }

    #[test]
    fn outcomes_are_told_apart() {
        for (code, oom, expect) in [
            (Some(0), false, Outcome::Success),
            (Some(0), true, Outcome::Success),
            (Some(1), true, Outcome::Error),
            (Some(125), false, Outcome::Error),
            (Some(137), false, Outcome::Signal),
            (Some(137), true, Outcome::Oom),
            (Some(143), false, Outcome::Signal),
            (Some(255), false, Outcome::Error),
            (Some(-1), false, Outcome::Error),
            (None, true, Outcome::Unknown),
        ] {
            assert_eq!(Outcome::of(code, oom), expect, "{code:?} {oom}");
        }
        assert_eq!(OUTCOMES[Outcome::Oom as usize], "oom");
        assert_eq!(OUTCOMES[Outcome::Unknown as usize], "unknown");
    }
}

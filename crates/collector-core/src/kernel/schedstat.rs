//! How long a container's threads ran and waited for a CPU, added up from look to look.
//!
//! The kernel counts this for each thread (`/proc/<pid>/task/<tid>/schedstat`) and forgets it with the thread; no cgroup has a
//! sum. A sum over the threads that live would fall when one ends, and one that keeps the last values of those that ended
//! would hold what they did before anybody looked. So what is added up are rises: of a thread that the last look saw, what it
//! rose since; of one that was born since, all of it. What a thread did between the last look and its end nobody knows,
//! so the sums are too small by that, and never too large.

use std::collections::HashMap;

use crate::Absence;

/// What the kernel counts of a thread, in the order of its file: nanoseconds on a CPU, nanoseconds waiting for one, times that
/// it got one.
pub(super) type Times = [u64; 3];

/// Threads that are remembered at most. A look sees fewer; looks that are never finished could add ever new ones.
const THREADS_MAX: usize = 16_384;

/// One thread as it was last seen.
#[derive(Debug, Clone, Copy)]
struct Thread {
    /// Its start; with the number it names a thread for good.
    start_ticks: u64,
    times: Times,
    /// The look that saw it.
    look: u64,
}

/// What is known of one container's threads.
#[derive(Debug, Default)]
pub(super) struct Schedstat {
    threads: HashMap<u32, Thread>,
    look: u64,
    /// The start of the youngest thread at the last look that was finished. Who is older and was not seen then was not in the
    /// container, or was missed: what it did before is not counted. `None` before the first such look.
    youngest: Option<u64>,
    sums: Times,
}

impl Schedstat {
    /// Begins a look.
    pub(super) fn begin(&mut self) {
        self.look += 1;
        if self.threads.len() > THREADS_MAX {
            self.threads.clear();
            self.youngest = None;
        }
    }

    /// Notes what a thread has.
    pub(super) fn see(&mut self, tid: u32, start_ticks: u64, times: Times) {
        let seen = Thread { start_ticks, times, look: self.look };
        let before = match self.threads.insert(tid, seen) {
            Some(known) if known.start_ticks == start_ticks => known.times,
            _ if self.youngest.is_some_and(|youngest| start_ticks >= youngest) => [0; 3],
            _ => times,
        };
        for ((sum, now), before) in self.sums.iter_mut().zip(times).zip(before) {
            *sum += now.saturating_sub(before);
        }
    }

    /// Ends a look that saw all threads there are, and forgets those that have ended. Gives what was added up since the first
    /// such look, or why there is nothing: a kernel that does not count says 0 of every thread, and each has run.
    pub(super) fn finish(&mut self) -> Result<Times, Absence> {
        let look = self.look;
        self.threads.retain(|_, thread| thread.look == look);
        let youngest = self.threads.values().map(|thread| thread.start_ticks).max();
        self.youngest = self.youngest.max(youngest).or(Some(0));
        let has_run = |thread: &Thread| thread.times[2] > 0;
        if self.threads.is_empty() || self.sums[2] > 0 || self.threads.values().any(has_run) {
            Ok(self.sums)
        } else {
            Err(Absence::NotCounted)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A look at threads by number, start and one number for all three times; whether it is finished.
    fn look(of: &mut Schedstat, threads: &[(u32, u64, u64)], finished: bool) -> Option<u64> {
        of.begin();
        threads.iter().for_each(|(tid, start, time)| of.see(*tid, *start, [*time; 3]));
        finished.then(|| of.finish().map(|sums| sums[1]).expect("they have run"))
    }

    #[test]
    fn rises_are_added_up_and_nothing_else() {
        let mut of = Schedstat::default();
        assert_eq!(look(&mut of, &[(1, 10, 500), (2, 11, 40)], true), Some(0), "from the first look on");
        assert_eq!(look(&mut of, &[(1, 10, 530), (2, 11, 40)], true), Some(30));
        assert_eq!(look(&mut of, &[(1, 10, 531), (3, 20, 7)], true), Some(38), "2 has ended, 3 is new");
        assert_eq!(look(&mut of, &[(1, 10, 531), (2, 30, 5)], true), Some(43), "its number came again");
        assert_eq!(look(&mut of, &[(1, 10, 532)], true), Some(44), "it never falls");
        assert_eq!(look(&mut of, &[(1, 10, 532), (9, 5, 1000)], true), Some(44), "moved in from elsewhere");
        assert_eq!(look(&mut of, &[(1, 10, 532), (9, 5, 1001)], true), Some(45));
    }

    #[test]
    fn a_look_that_was_given_up_loses_nothing_and_counts_nothing_twice() {
        let mut of = Schedstat::default();
        look(&mut of, &[(1, 10, 100)], false);
        assert_eq!(look(&mut of, &[(1, 10, 110), (2, 10, 50)], true), Some(10), "2 was there already");
        look(&mut of, &[(1, 10, 115), (3, 20, 6)], false);
        assert_eq!(look(&mut of, &[(1, 10, 120), (2, 10, 57), (3, 20, 8), (4, 21, 2)], true), Some(37));
    }

    #[test]
    fn zeros_are_no_numbers_where_the_kernel_does_not_count() {
        let mut of = Schedstat::default();
        of.begin();
        of.see(1, 10, [0; 3]);
        assert_eq!(of.finish(), Err(Absence::NotCounted));
        of.begin();
        assert_eq!(of.finish(), Ok([0; 3]), "nobody is there");
    }

    #[test]
    fn what_is_remembered_has_a_bound() {
        let mut of = Schedstat::default();
        for look in 0..10_u32 {
            of.begin();
            (0..8_192).for_each(|tid| of.see(look * 8_192 + tid, 10, [1; 3]));
        }
        assert!(of.threads.len() <= THREADS_MAX + 8_192, "{}", of.threads.len());
    }

    /// A thread that is born at one moment, lives so many, and does so much in each.
    #[derive(Debug, Clone, Copy)]
    struct Life {
        born: u64,
        moments: u64,
        work: u64,
    }

    impl Life {
        /// What it has done at its last moment up to this one.
        fn done(self, moment: u64) -> u64 {
            if moment < self.born { 0 } else { 1 + (moment - self.born).min(self.moments - 1) * self.work }
        }
    }

    fn life() -> impl Strategy<Value = Life> {
        (0_u64..12, 1_u64..12, 0_u64..9).prop_map(|(born, moments, work)| Life { born, moments, work })
    }

    proptest! {
        /// Whatever threads do, of whichever numbers, and whichever looks are given up: the sum never falls, and is never more
        /// than was done since the first look.
        #[test]
        fn sums_never_fall_and_are_never_too_large(
            lives in proptest::collection::vec(life(), 1..20),
            finished in proptest::collection::vec(any::<bool>(), 12),
        ) {
            let mut of = Schedstat::default();
            let (mut last, mut first) = (0, None);
            for (moment, finished) in (0..).zip(finished) {
                let lives_now = |life: &Life| (life.born..life.born + life.moments).contains(&moment);
                let mut alive: Vec<(u32, u64, u64)> = (0_u32..)
                    .zip(&lives)
                    .filter(|(_, life)| lives_now(life))
                    .map(|(n, life)| (n % 7, life.born * 100 + u64::from(n), life.done(moment)))
                    .collect();
                // Two of one number do not live at once.
                alive.sort_unstable();
                alive.dedup_by_key(|thread| thread.0);
                let first = *first.get_or_insert_with(|| alive.iter().map(|thread| thread.2).sum::<u64>());
                let Some(sum) = look(&mut of, &alive, finished) else { continue };
                prop_assert!(sum >= last, "{} fell to {}", last, sum);
                let done: u64 = lives.iter().map(|life| life.done(moment)).sum();
                prop_assert!(sum + first <= done, "{} of {} since {}", sum, done, first);
                last = sum;
            }
        }
    }
}

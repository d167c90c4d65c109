//! CPU arithmetic: from two readings of a counter to percents, and the ring of readings behind a gauge.
//!
//! Everything here is pure: the caller brings the clock and the counter. The counter is CPU time in nanoseconds, as
//! `usage_usec` of cgroup v2's `cpu.stat` (× 1000) or v1's `cpuacct.usage` has it; 100 percent is **one core** unless a
//! function's name says otherwise, as `docker stats` prints it.
//!
//! What cannot be said is `None`, never 0 and never negative:
//!
//! | case | answer |
//! |---|---|
//! | first sample | `None`: one reading has no rate |
//! | counter reset (a recreated cgroup) | `None`, then a fresh start from the new value |
//! | no time between the readings | `None` |
//! | the clock went back | `None`; [`CpuWindow`] starts afresh if it went back by more than its interval |
//! | the clock jumped ahead | a percent that is too low, until the readings before the jump have left the window |
//! | CPUs came or went | the percent of one core is not touched; [`cpus_over_interval`] picks the host's count |
//!
//! A percent is **not clamped**. Rounding of the kernel's counter or a clock that is slewed can lift it slightly over
//! 100 × the number of CPUs, and a clamp would hide the day when it is far over, which means a broken clock.
//!
//! ```
//! use std::time::Duration;
//! use collector_core::cpu::{CpuReading, Monotonic, percent_of_limit, percent_of_one_core};
//!
//! let before = CpuReading::new(Monotonic::new(Duration::from_secs(100)), 5_000_000_000);
//! let after = CpuReading::new(Monotonic::new(Duration::from_secs(110)), 10_000_000_000);
//! assert_eq!(percent_of_one_core(before, after), Some(50.0));
//! assert_eq!(percent_of_limit(before, after, 2.0), Some(25.0));
//! // The cgroup was made anew: no percent, rather than a negative or a huge one.
//! assert_eq!(percent_of_one_core(after, before), None);
//! ```

use std::time::Duration;

/// A moment on a clock that does not go back, as the time since an arbitrary origin (`CLOCK_MONOTONIC`, an `Instant`
/// taken at start). Only differences mean anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Monotonic(Duration);

impl Monotonic {
    /// The moment `since_origin` after the origin.
    #[must_use]
    pub const fn new(since_origin: Duration) -> Self {
        Self(since_origin)
    }

    /// The time since the origin.
    #[must_use]
    pub const fn since_origin(self) -> Duration {
        self.0
    }

    /// The time from `earlier` to this moment; `None` if `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Option<Duration> {
        self.0.checked_sub(earlier.0)
    }
}

/// One reading of a container's CPU counter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuReading {
    /// When the file was read.
    pub at: Monotonic,
    /// CPU time used so far, all CPUs together, in nanoseconds.
    pub usage_ns: u64,
}

impl CpuReading {
    /// A reading of `usage_ns` nanoseconds at `at`.
    #[must_use]
    pub const fn new(at: Monotonic, usage_ns: u64) -> Self {
        Self { at, usage_ns }
    }
}

/// The CPU time that was used over a stretch of time that is longer than zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuDelta {
    usage_ns: u64,
    elapsed: Duration,
}

impl CpuDelta {
    /// What was used from `prev` to `next`; `None` on a counter reset, without time between them, or if time went back.
    #[must_use]
    pub fn between(prev: CpuReading, next: CpuReading) -> Option<Self> {
        let elapsed = next.at.since(prev.at).filter(|elapsed| !elapsed.is_zero())?;
        let usage_ns = next.usage_ns.checked_sub(prev.usage_ns)?;
        Some(Self { usage_ns, elapsed })
    }

    /// The CPU time used, in nanoseconds.
    #[must_use]
    pub const fn usage_ns(self) -> u64 {
        self.usage_ns
    }

    /// The time between the two readings; never zero.
    #[must_use]
    pub const fn elapsed(self) -> Duration {
        self.elapsed
    }

    /// Cores kept busy on average: 1.5 is one and a half.
    #[must_use]
    pub fn cores(self) -> f64 {
        self.usage_ns as f64 / 1e9 / self.elapsed.as_secs_f64()
    }

    /// Percent of one core: 150 is one and a half cores.
    #[must_use]
    pub fn percent_of_one_core(self) -> f64 {
        self.cores() * 100.0
    }

    /// Percent of a limit of `cores`; `None` unless that is a finite number above 0, since there is nothing to divide by.
    #[must_use]
    pub fn percent_of_limit(self, cores: f64) -> Option<f64> {
        // A limit so small that the quotient overflows is as good as none.
        let percent =
            if cores > 0.0 && cores.is_finite() { self.percent_of_one_core() / cores } else { return None };
        percent.is_finite().then_some(percent)
    }

    /// Percent of a host with `online_cpus` CPUs; `None` for 0. See [`cpus_over_interval`] for hosts that change.
    #[must_use]
    pub fn percent_of_host(self, online_cpus: u32) -> Option<f64> {
        self.percent_of_limit(f64::from(online_cpus))
    }
}

/// Percent of one core used from `prev` to `next` (100 = one core, 250 = two and a half).
///
/// `None` on a counter reset, without time between the readings, or if time went back.
#[must_use]
pub fn percent_of_one_core(prev: CpuReading, next: CpuReading) -> Option<f64> {
    CpuDelta::between(prev, next).map(CpuDelta::percent_of_one_core)
}

/// Percent of a limit of `cores` used from `prev` to `next` (100 = all that the quota gives).
///
/// `None` as for [`percent_of_one_core`], and for a limit that is not a finite number above 0. A cgroup may pass 100
/// for a moment: `cpu.max.burst`, or a limit lowered between the readings.
#[must_use]
pub fn percent_of_limit(prev: CpuReading, next: CpuReading, cores: f64) -> Option<f64> {
    CpuDelta::between(prev, next)?.percent_of_limit(cores)
}

/// Percent of the whole host used from `prev` to `next` (100 = every CPU busy).
///
/// `None` as for [`percent_of_one_core`], and for 0 CPUs.
#[must_use]
pub fn percent_of_host(prev: CpuReading, next: CpuReading, online_cpus: u32) -> Option<f64> {
    CpuDelta::between(prev, next)?.percent_of_host(online_cpus)
}

/// The number of CPUs to divide by when it was `before` at one reading and `after` at the next: the larger.
///
/// When within the interval a CPU came or went is unknown; the larger count keeps the percent of the host at or below
/// 100, and the next interval is exact again.
#[must_use]
pub const fn cpus_over_interval(before: u32, after: u32) -> u32 {
    if before > after { before } else { after }
}

/// The CPU part of one answer of an engine's stats API, for engines whose kernel is out of reach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EngineCpuReading {
    /// `cpu_stats.cpu_usage.total_usage`: the container's CPU time, in nanoseconds (not on Windows: 100 ns there).
    pub total_ns: u64,
    /// `cpu_stats.system_cpu_usage`: time of all CPUs of the engine's host, idle included, in nanoseconds.
    pub system_ns: u64,
    /// `cpu_stats.online_cpus`, or where that is 0 the length of `percpu_usage`.
    pub online_cpus: u32,
}

/// Percent of one core by the formula of the Docker command line: Δtotal ÷ Δsystem × online CPUs × 100.
///
/// `None` where the command line prints a made-up 0 or the average since boot: no previous sample (its `system_ns` is
/// 0, as in the empty `precpu_stats` of a one-shot answer), a counter reset, no system time between them (a CPU that
/// went offline takes its own away), or 0 CPUs.
///
/// Not for Podman, whose `system_cpu_usage` counts busy time only.
#[must_use]
pub fn docker_cli_percent(prev: EngineCpuReading, next: EngineCpuReading) -> Option<f64> {
    if prev.system_ns == 0 || next.online_cpus == 0 {
        return None;
    }
    let total = next.total_ns.checked_sub(prev.total_ns)?;
    let system = next.system_ns.checked_sub(prev.system_ns).filter(|system| *system > 0)?;
    Some(total as f64 / system as f64 * f64::from(next.online_cpus) * 100.0)
}

/// The most readings that a [`CpuWindow`] keeps.
///
/// Stored readings are at least a quarter of the interval apart, so five reach back over the 0.8 of it that the gauge
/// asks for, whatever the rhythm of the scrapes; eight leave room for an interval that was changed while running.
pub const WINDOW_READINGS: usize = 8;

/// The shortest interval that a [`CpuWindow`] works with; a shorter one is raised to it. Below, the tick of the
/// kernel's accounting shows in the percent.
pub const MIN_INTERVAL: Duration = Duration::from_secs(1);

/// How old a reading must be before it can stand in while none is old enough for the interval: enough for `once`,
/// whose two readings are a second apart.
const MIN_SPAN: Duration = Duration::from_millis(900);

/// The readings behind one container's CPU gauge.
///
/// Scrapers come in any rhythm, and each wants the percent over about one interval, not since whoever came last. So
/// readings are kept, at most one per quarter of the interval, and the gauge spans from the youngest that is at least
/// 0.8 × interval old; while there is none, from the oldest that is at least 0.9 s old.
///
/// With pushes no more than `gap` apart the span is, once 0.8 of the interval has passed, at least that and less than
/// 1.05 × interval + `gap`.
///
/// ```
/// use std::time::Duration;
/// use collector_core::cpu::{CpuReading, CpuWindow, Monotonic};
///
/// let mut window = CpuWindow::new(Duration::from_secs(15));
/// let at = |s, usage_ms: u64| CpuReading::new(Monotonic::new(Duration::from_secs(s)), usage_ms * 1_000_000);
/// assert_eq!(window.observe(at(0, 0)), None); // the container appeared
/// assert_eq!(window.observe(at(1, 500)), Some(50.0)); // the first scrape need not wait for a whole interval
/// assert_eq!(window.observe(at(15, 3_000)), Some(20.0)); // over the last 15 s
/// assert_eq!(window.observe(at(16, 100)), None); // it was restarted
/// ```
#[derive(Clone, Debug)]
pub struct CpuWindow {
    interval: Duration,
    /// The first `len` are in use, oldest first; `at` rises and `usage_ns` does not fall.
    readings: [CpuReading; WINDOW_READINGS],
    len: u8,
}

impl CpuWindow {
    /// An empty window for `general.interval`, which is raised to [`MIN_INTERVAL`].
    #[must_use]
    pub fn new(interval: Duration) -> Self {
        Self { interval: interval.max(MIN_INTERVAL), readings: Default::default(), len: 0 }
    }

    /// The interval it works with.
    #[must_use]
    pub const fn interval(&self) -> Duration {
        self.interval
    }

    /// Changes the interval (a reloaded configuration) and keeps the readings: the span follows as they age.
    pub fn set_interval(&mut self, interval: Duration) {
        self.interval = interval.max(MIN_INTERVAL);
    }

    /// The number of stored readings, at most [`WINDOW_READINGS`].
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether no reading is stored.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Forgets all readings. For a restart of the container: the new run's counter may already be past the old one's,
    /// which the numbers alone do not show.
    pub fn reset(&mut self) {
        self.len = 0;
    }

    /// Offers a reading. It is stored if a quarter of the interval has passed since the last stored one.
    ///
    /// A counter below the last one starts the window afresh, as does a clock that went back by more than the interval.
    /// A reading slightly older than the last, from a collection that was overtaken by another, is ignored.
    pub fn push(&mut self, reading: CpuReading) {
        if let Some(last) = self.stored().last() {
            match reading.at.since(last.at) {
                Some(_) if reading.usage_ns < last.usage_ns => self.reset(),
                Some(passed) if passed < self.interval / 4 => return,
                Some(_) => {}
                None if last.at.since(reading.at).is_some_and(|back| back > self.interval) => self.reset(),
                None => return,
            }
        }
        if self.len() == WINDOW_READINGS {
            self.readings.copy_within(1.., 0);
            self.len -= 1;
        }
        self.readings[self.len()] = reading;
        self.len += 1;
    }

    /// What was used over the window that ends at `now`, from which each of the percents follows.
    ///
    /// `None` before a reading is old enough, and if the counter stands below a stored reading.
    #[must_use]
    pub fn delta(&self, now: CpuReading) -> Option<CpuDelta> {
        let wanted = self.interval / 5 * 4;
        let old_enough =
            |reading: &&CpuReading, age| now.at.since(reading.at).is_some_and(|passed| passed >= age);
        let before = self.stored().iter().rev().find(|reading| reading.at <= now.at)?;
        if now.usage_ns < before.usage_ns {
            // A reset after `before`, also when the counter has already passed the reading at the window's start.
            return None;
        }
        let youngest = self.stored().iter().rev().find(|reading| old_enough(reading, wanted));
        let start =
            youngest.or_else(|| self.stored().iter().find(|reading| old_enough(reading, MIN_SPAN)))?;
        CpuDelta::between(*start, now)
    }

    /// Percent of one core over the window that ends at `now`; `None` as for [`CpuWindow::delta`].
    #[must_use]
    pub fn percent(&self, now: CpuReading) -> Option<f64> {
        self.delta(now).map(CpuDelta::percent_of_one_core)
    }

    /// What a collection does with its reading: [`CpuWindow::percent`], then [`CpuWindow::push`].
    pub fn observe(&mut self, now: CpuReading) -> Option<f64> {
        let percent = self.percent(now);
        self.push(now);
        percent
    }

    fn stored(&self) -> &[CpuReading] {
        &self.readings[..self.len()]
    }
}

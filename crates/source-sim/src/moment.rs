//! One container at one moment: the figures that its rows are made of.

use std::time::{Duration, SystemTime};

use collector_core::{Container, Network, State, effective::Limit};

use crate::random::{between, mix, mix_text, unit};

/// CPUs of the simulated machine.
pub(crate) const HOST_CPUS: u32 = 16;
/// Memory of the simulated machine, bytes.
pub(crate) const HOST_MEMORY: u64 = 64 << 30;

/// What stays the same through a run.
#[derive(Debug, Clone)]
pub(crate) struct Traits {
    pub(crate) seed: u64,
    pub(crate) started_at: SystemTime,
    /// Time stands still for what is frozen.
    frozen: bool,
    /// CPUs used in the mean.
    pub(crate) cores: f64,
    /// Bytes used in the mean.
    pub(crate) memory: f64,
    pub(crate) memory_limit: Limit,
    /// Cores.
    pub(crate) cpu_limit: Limit<f64>,
    pub(crate) pids_limit: Limit,
    pub(crate) network: Network,
    waves: [Wave; 2],
}

/// A slow change: around 0, of this height.
#[derive(Debug, Clone, Copy)]
struct Wave {
    height: f64,
    /// Radians per second.
    speed: f64,
    phase: f64,
}

/// The waves' heights together: the level stays within 1 ± this.
const SWING: f64 = 0.7;

impl Traits {
    pub(crate) fn of(container: &Container, seed: u64) -> Self {
        let seed = mix_text(seed, container.id.as_str());
        let limit = |limit: Option<Limit>| limit.unwrap_or(Limit::Max);
        let cpu_limit = limit(container.limits.nano_cpus).map(|nanos| nanos as f64 / 1e9);
        let memory_limit = limit(container.limits.memory);
        // Few are busy, most idle.
        let cores = 0.002 * 500_f64.powf(unit(seed, 1));
        let most = cpu_limit.value().unwrap_or(f64::from(HOST_CPUS)) / (1.0 + SWING);
        let memory = match memory_limit {
            Limit::Value(bytes) => bytes as f64 * between(seed, 2, 0.1, 0.97 / (1.0 + SWING)),
            Limit::Max => (8 << 20) as f64 * 100_f64.powf(unit(seed, 2)),
        };
        let wave = |topic: u64, height: f64, shortest: f64, longest: f64| Wave {
            height,
            speed: std::f64::consts::TAU / between(seed, topic, shortest, longest),
            phase: between(seed, topic + 1, 0.0, std::f64::consts::TAU),
        };
        Self {
            seed,
            started_at: container.started_at.unwrap_or(SystemTime::UNIX_EPOCH),
            frozen: container.state == State::Paused,
            cores: cores.min(most),
            memory,
            memory_limit,
            cpu_limit,
            pids_limit: limit(container.limits.pids),
            network: container.network.clone(),
            waves: [wave(3, 0.5, 300.0, 1800.0), wave(5, SWING - 0.5, 20.0, 90.0)],
        }
    }

    pub(crate) fn at(&self, now: SystemTime) -> Moment<'_> {
        let run = now.duration_since(self.started_at).unwrap_or_default();
        let run = if self.frozen { run.min(Duration::from_secs(3600)) } else { run };
        // In whole milliseconds: between two of them every counter rises by more than doubles round away.
        let seconds = run.as_millis() as f64 / 1e3;
        let mut level = 1.0;
        let mut work = seconds;
        for wave in self.waves {
            let angle = wave.speed * seconds + wave.phase;
            level += wave.height * angle.sin();
            work += wave.height / wave.speed * (wave.phase.cos() - angle.cos());
        }
        Moment { traits: self, seconds, level, work }
    }
}

/// A container at a moment of its run.
#[derive(Debug)]
pub(crate) struct Moment<'a> {
    pub(crate) traits: &'a Traits,
    /// How long it has run.
    pub(crate) seconds: f64,
    /// How busy it is: 1 in the mean, never below 0.3 nor above 1.7.
    level: f64,
    /// The level summed over time: what counters are multiples of.
    work: f64,
}

impl Moment<'_> {
    /// A counter that rises by that much each second in the mean.
    pub(crate) fn counted(&self, per_second: f64) -> u64 {
        (per_second * self.work) as u64
    }

    /// A gauge around that.
    pub(crate) fn around(&self, mean: f64) -> u64 {
        (mean * self.level) as u64
    }

    /// CPU time used, nanoseconds.
    pub(crate) fn cpu_nanos(&self) -> f64 {
        self.traits.cores * self.work * 1e9
    }

    /// Memory in use, bytes.
    pub(crate) fn memory(&self) -> f64 {
        self.traits.memory * self.level
    }

    /// The most memory that is ever in use, bytes.
    pub(crate) fn memory_peak(&self) -> f64 {
        self.traits.memory * (1.0 + SWING)
    }

    /// How much of a thing this container does, from a tenth of the usual to ten times that.
    pub(crate) fn liking(&self, topic: u64) -> f64 {
        0.1 * 100_f64.powf(unit(self.traits.seed, topic))
    }

    /// Whether this is one container in so many.
    pub(crate) fn is_one_in(&self, topic: u64, many: u64) -> bool {
        mix(self.traits.seed, topic).is_multiple_of(many)
    }
}

//! Who the containers are at a time: what an engine would say.
//!
//! The container of a number lives in generations: when one ends, it is removed and another takes its place. A
//! generation consists of runs. Both have fixed lengths, so that where a container stands follows from the time alone.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use collector_core::{Container, ContainerId, Engine, Health, Limits, Network, State, effective::Limit};

use crate::random::mix;

const DAY: u64 = 24 * 3600;
/// How long a restart takes.
const DOWN_SECONDS: u64 = 5;
const MIB: u64 = 1 << 20;

const PROJECTS: [&str; 6] = ["shop", "billing", "search", "media", "analytics", "infra"];
/// Compose service and image.
const SERVICES: [(&str, &str); 8] = [
    ("web", "nginx:1.29"),
    ("api", "registry.example.com/team/api:2.14.3"),
    ("db", "postgres:18"),
    ("cache", "redis:8.2-alpine"),
    ("worker", "registry.example.com/team/worker:2.14.3"),
    ("queue", "rabbitmq:4-management"),
    ("proxy", "traefik:v3.5"),
    (
        "agent",
        "registry.example.com/ops/agent@sha256:6f0c1e2d3b4a59687766554433221100ffeeddccbbaa99887766554433221100",
    ),
];

/// What becomes of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Runs.
    Steady,
    /// Runs, frozen.
    Paused,
    /// Runs and fails its health check.
    Unhealthy,
    /// Ends now and then with an error and is started again.
    Restarting,
    /// As `Restarting`, for want of memory.
    OutOfMemory,
    /// Ran for an hour and ended.
    Exited,
    /// Was never started.
    Created,
    /// Runs for some minutes, stays for some more, and is replaced by another.
    Job,
}

impl Kind {
    const fn of(index: usize) -> Self {
        match index % 200 {
            7 => Self::OutOfMemory,
            107 => Self::Restarting,
            19 | 83 | 151 => Self::Exited,
            31 => Self::Paused,
            43 | 143 => Self::Unhealthy,
            61 => Self::Created,
            71 | 113 | 173 => Self::Job,
            _ => Self::Steady,
        }
    }
}

/// Where a container stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Life {
    generation: u64,
    run: u64,
    state: State,
    /// Seconds of Unix time.
    created_at: u64,
    started_at: u64,
    /// When this will have changed.
    pub(crate) until: u64,
}

impl Life {
    /// Whether the other life is that of the same container.
    pub(crate) const fn is_same_container(&self, other: &Self) -> bool {
        self.generation == other.generation
    }
}

/// The containers of one seed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct World {
    pub(crate) seed: u64,
}

/// Whole seconds of Unix time.
pub(crate) fn unix_seconds(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// A moment of Unix time.
pub(crate) fn unix_time(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

impl World {
    /// A number of container `index`, by topic.
    const fn of(self, index: usize, topic: u64) -> u64 {
        mix(mix(self.seed, index as u64), topic)
    }

    /// Where container `index` stands at that time.
    pub(crate) fn life(self, index: usize, now: u64) -> Life {
        let kind = Kind::of(index);
        let length = match kind {
            Kind::Job => 600 + self.of(index, 1) % 1200,
            _ => (30 + self.of(index, 1) % 60) * DAY,
        };
        // Shifted against each other, so that they are not all replaced at once.
        let shift = self.of(index, 2) % length;
        let generation = (now + shift) / length;
        let created_at = (generation * length).saturating_sub(shift);
        let next_generation = (generation + 1) * length - shift;
        let whole = Life {
            generation,
            run: 0,
            state: State::Running,
            created_at,
            started_at: created_at,
            until: next_generation,
        };
        let ends_after = |seconds: u64| match now - created_at < seconds {
            true => Life { until: created_at + seconds, ..whole },
            false => Life { state: State::Exited, run: 1, ..whole },
        };
        match kind {
            Kind::Steady | Kind::Unhealthy => whole,
            Kind::Paused => Life { state: State::Paused, ..whole },
            Kind::Created => Life { state: State::Created, ..whole },
            Kind::Exited => ends_after(3600),
            Kind::Job => ends_after(length / 3 * 2),
            Kind::Restarting | Kind::OutOfMemory => {
                let period = 600 + self.of(index, 3) % 3000;
                let run = (now - created_at) / period;
                let started_at = created_at + run * period;
                let ends_at = started_at + period - DOWN_SECONDS;
                let (state, until) = match now < ends_at {
                    true => (State::Running, ends_at),
                    false => (State::Restarting, started_at + period),
                };
                Life { run, state, started_at, until: until.min(next_generation), ..whole }
            }
        }
    }

    pub(crate) fn id(self, index: usize, life: &Life) -> ContainerId {
        let hash = mix(self.of(index, 4), life.generation);
        let id: String = (0..4).map(|word| format!("{:016x}", mix(hash, word))).collect();
        ContainerId::new(&id)
    }

    /// Describes container `index` where it stands.
    pub(crate) fn describe(self, index: usize, life: &Life) -> Container {
        let kind = Kind::of(index);
        let id = self.id(index, life);
        let project = PROJECTS[index % PROJECTS.len()];
        let (service, image) = SERVICES[index / PROJECTS.len() % SERVICES.len()];
        let number = index / (PROJECTS.len() * SERVICES.len()) + 1;
        let name = match kind {
            Kind::Job => format!("{project}-job-{}", &id.short()[..6]),
            _ => format!("{project}-{service}-{number}"),
        };
        let mut container = Container::new(id, Engine::Simulated, life.state);
        container.name = Some(name.into());
        container.image = Some(image.into());
        container.image_id = Some(image_id(image).into());
        container.runtime = Some("runc".into());
        container.created_at = Some(unix_time(life.created_at));
        container.network = match self.of(index, 5) % 40 {
            0 | 1 => Network::Host,
            2 => Network::None,
            _ => Network::Own,
        };
        container.limits = self.limits(index);
        container.restart_count = Some(0);
        // Four in five belong to a Compose project.
        if !self.of(index, 6).is_multiple_of(5) {
            let labels = [
                ("com.docker.compose.project", project.to_owned()),
                ("com.docker.compose.service", service.to_owned()),
                ("com.docker.compose.container-number", number.to_string()),
                ("com.docker.compose.oneoff", if kind == Kind::Job { "True" } else { "False" }.to_owned()),
            ];
            container.labels.extend(labels.map(|(key, value)| (key.to_owned(), value)));
        }
        if self.of(index, 7).is_multiple_of(3) {
            container
                .labels
                .insert("org.opencontainers.image.vendor".into(), "Example & Söhne \"Labs\"".into());
        }
        self.describe_run(index, kind, life, &mut container);
        container
    }

    fn describe_run(self, index: usize, kind: Kind, life: &Life, container: &mut Container) {
        let has_check = self.of(index, 8).is_multiple_of(2);
        container.health = Some(match (kind, life.state) {
            (Kind::Unhealthy, _) => Health::Unhealthy,
            (_, State::Running) if has_check => Health::Healthy,
            (_, State::Created) if has_check => Health::Starting,
            _ => Health::NoCheck,
        });
        if life.state == State::Created {
            return;
        }
        container.started_at = Some(unix_time(life.started_at));
        if life.state.has_processes() {
            let pid = mix(self.of(index, 9), life.run) % 4_000_000;
            container.pid = Some(u32::try_from(pid).unwrap_or_default() + 1000);
        }
        let (code, finished_at) = match kind {
            Kind::OutOfMemory | Kind::Restarting => {
                let code = if kind == Kind::OutOfMemory { 137 } else { 1 };
                let ended = match life.state {
                    State::Restarting => Some(life.until.saturating_sub(DOWN_SECONDS)),
                    _ if life.run > 0 => Some(life.started_at.saturating_sub(DOWN_SECONDS)),
                    _ => None,
                };
                container.restart_count = Some(life.run);
                container.oom_killed = kind == Kind::OutOfMemory && life.state == State::Restarting;
                (code, ended)
            }
            Kind::Exited => (
                [0, 1, 143, 2][mix(self.of(index, 10), life.generation) as usize % 4],
                self.end(index, kind, life),
            ),
            _ => (
                i64::from(mix(self.of(index, 10), life.generation).is_multiple_of(10)),
                self.end(index, kind, life),
            ),
        };
        if finished_at.is_some() {
            container.exit_code = Some(code);
            container.finished_at = finished_at.map(unix_time);
        }
    }

    /// When the only run of a generation ended, if it has.
    fn end(self, index: usize, kind: Kind, life: &Life) -> Option<u64> {
        let length = if kind == Kind::Job { (600 + self.of(index, 1) % 1200) / 3 * 2 } else { 3600 };
        (life.state == State::Exited).then_some(life.started_at + length)
    }

    fn limits(self, index: usize) -> Limits {
        let limited = |topic: u64, one_in: u64| self.of(index, topic).is_multiple_of(one_in);
        let memory = match limited(11, 4) {
            true => Limit::Max,
            false => Limit::Value((64 << (self.of(index, 12) % 7)) * MIB),
        };
        let cpus = [0.25, 0.5, 1.0, 2.0, 4.0][self.of(index, 13) as usize % 5];
        Limits {
            memory: Some(memory),
            memory_swap: Some(memory.map(|memory| memory * 2)),
            memory_reservation: Some(Limit::Max),
            nano_cpus: Some(if limited(14, 2) { Limit::Max } else { Limit::Value((cpus * 1e9) as u64) }),
            cpu_shares: Some(1024),
            pids: Some(if limited(15, 2) { Limit::Max } else { Limit::Value(512) }),
        }
    }
}

fn image_id(image: &str) -> String {
    let hash = crate::random::mix_text(0, image);
    let digits: String = (0..4).map(|word| format!("{:016x}", mix(hash, word))).collect();
    format!("sha256:{digits}")
}

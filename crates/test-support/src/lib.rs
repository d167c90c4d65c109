//! For tests only: fake cgroup trees, a recorded engine, a relay to a real one, real receivers of OTLP, golden files, a clock of CPU time.

pub mod cgroup_tree;
pub mod engine;
pub mod machine;
pub mod peers;
mod recorded;
pub mod relay;
pub mod tls;

use std::time::Duration;

/// How long anything may take on a machine that is busy; on one that is not, nothing here takes more than a few seconds.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// CPU time of this process so far, user and system, of all its threads: what a bench takes the difference of.
#[must_use]
pub fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

pub use cgroup_tree::Tree;
pub use engine::{Answer, RecordedEngine};
pub use machine::{BOOT, Cgroups};
pub use relay::Relay;

//! For tests only: fake cgroup trees, a recorded engine, a relay to a real one, real receivers of OTLP, golden files.

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

pub use cgroup_tree::Tree;
pub use engine::{Answer, RecordedEngine};
pub use machine::{BOOT, Cgroups};
pub use relay::Relay;

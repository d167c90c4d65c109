//! For tests only: fake cgroup trees, a recorded engine, a relay to a real one, golden files.

pub mod cgroup_tree;
pub mod engine;
pub mod machine;
mod recorded;
pub mod relay;
pub mod tls;

pub use cgroup_tree::Tree;
pub use engine::{Answer, RecordedEngine};
pub use machine::{BOOT, Cgroups};
pub use relay::Relay;

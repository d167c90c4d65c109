//! For tests only: fake cgroup trees, a recorded engine, golden files.

pub mod cgroup_tree;
pub mod engine;
pub mod tls;

pub use cgroup_tree::Tree;
pub use engine::{Answer, RecordedEngine};

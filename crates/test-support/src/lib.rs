//! For tests only: fake cgroup trees, a recorded engine, golden files.

pub mod engine;

pub use engine::{Answer, RecordedEngine};

//! For tests only: fake cgroup trees, a recorded engine, golden files.

//! Process metrics that any Rust service can add to its prometheus registry.

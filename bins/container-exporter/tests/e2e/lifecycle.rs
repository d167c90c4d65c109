//! End-to-end tests of the lifecycle.

//! End-to-end tests of the cli.

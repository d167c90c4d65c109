//! End-to-end tests of the pages.

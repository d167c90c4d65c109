//! The container exporter.
fn main() {}

//! The container model, the metric catalogue, CPU-delta math and the collector that joins engines and kernel into snapshots.

//! Metrics about the running process that any Rust service can add to its `prometheus` registry.
//!
//! ```
//! use prometheus::{Encoder, Registry, TextEncoder};
//! use runtime_metrics::RuntimeMetrics;
//!
//! let registry = Registry::new();
//! RuntimeMetrics::builder().process(true).register(&registry)?;
//!
//! let mut page = Vec::new();
//! TextEncoder::new().encode(&registry.gather(), &mut page)?;
//! # #[cfg(target_os = "linux")]
//! assert!(String::from_utf8_lossy(&page).contains("\nprocess_cpu_seconds_total "));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The core types: [`RuntimeMetrics`] and its [`Builder`] register what is asked for; [`ProcessCollector`] stands for
//! itself where a service wants only that.
//!
//! # Why not the `prometheus` crate's own process collector
//!
//! It counts CPU in whole seconds, so a service that uses little shows steps and a rate of zero between them. This one
//! has the kernel's nanoseconds, leaves out what it cannot measure, and brings no other reader of `/proc` along.

mod process;

/// What fuzzing calls: a function panics where the parser breaks a promise.
#[cfg(all(feature = "fuzzing", target_os = "linux"))]
#[doc(hidden)]
pub mod fuzzing {
    /// `/proc/self/stat` and `/proc/stat`.
    pub fn process(data: &[u8]) {
        crate::process::fuzz(data);
    }
}

pub use process::ProcessCollector;
use prometheus::Registry;
use prometheus::core::Collector;

/// What is registered. It will carry the handles that later kinds of metrics need; dropping it changes nothing.
#[derive(Debug)]
#[non_exhaustive]
pub struct RuntimeMetrics {}

impl RuntimeMetrics {
    /// Begins with nothing chosen.
    pub fn builder() -> Builder {
        Builder::default()
    }
}

/// Chooses what to register; nothing is on unless said.
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct Builder {
    process: bool,
}

impl Builder {
    /// Whether to add the metrics of [`ProcessCollector`].
    pub fn process(mut self, on: bool) -> Self {
        self.process = on;
        self
    }

    /// Adds what was chosen to a registry.
    ///
    /// # Errors
    /// When the registry has metrics of these names already.
    pub fn register(self, registry: &Registry) -> Result<RuntimeMetrics, RegisterError> {
        if self.process {
            add(registry, "process", ProcessCollector::new())?;
        }
        Ok(RuntimeMetrics {})
    }
}

fn add(
    registry: &Registry,
    kind: &'static str,
    collector: impl Collector + 'static,
) -> Result<(), RegisterError> {
    registry.register(Box::new(collector)).map_err(|error| RegisterError { kind, source: Box::new(error) })
}

/// A registry refused a kind of metrics.
#[derive(Debug, thiserror::Error)]
#[error("failed to register the {kind} metrics; register each kind once per registry")]
pub struct RegisterError {
    kind: &'static str,
    source: Box<dyn std::error::Error + Send + Sync>,
}

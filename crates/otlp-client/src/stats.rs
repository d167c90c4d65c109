//! What a client counts about itself, in plain atomics: whoever exports them gives them their names.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// Why data points were not delivered: each is counted once. The `error.type` of
/// `otel.sdk.exporter.metric_data_point.exported`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DropReason {
    /// Newer payloads took their place in the queue.
    QueueFull,
    /// The payload is larger than receivers take, or than the whole queue.
    TooLarge,
    /// The receiver could not be reached, or asked to come back later, until the time was over.
    Timeout,
    /// The receiver answered with a code after which nobody may try again.
    NotRetryable,
    /// The receiver took the rest of the payload, but not these.
    Rejected,
    /// The receiver's answer was too long, or none of OTLP: it may or may not have taken them.
    BadAnswer,
    /// The client was shut down.
    Shutdown,
}

impl DropReason {
    /// All reasons, in the order in which snapshots list them.
    pub const ALL: [Self; 7] = [
        Self::QueueFull,
        Self::TooLarge,
        Self::Timeout,
        Self::NotRetryable,
        Self::Rejected,
        Self::BadAnswer,
        Self::Shutdown,
    ];

    /// A short stable name, fit for a label value: `queue_full`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::TooLarge => "too_large",
            Self::Timeout => "timeout",
            Self::NotRetryable => "not_retryable",
            Self::Rejected => "rejected",
            Self::BadAnswer => "bad_answer",
            Self::Shutdown => "shutdown",
        }
    }
}

/// The live counters of a client; [`snapshot`](Self::snapshot) reads them.
#[derive(Debug, Default)]
pub struct Stats {
    exported: AtomicU64,
    failed: [AtomicU64; DropReason::ALL.len()],
    inflight: AtomicU64,
    queue_points: AtomicU64,
    queue_bytes: AtomicU64,
    queue_bytes_max: AtomicU64,
    operations: AtomicU64,
    operation_nanos: AtomicU64,
    attempts: AtomicU64,
    body_bytes: AtomicU64,
}

impl Stats {
    pub(crate) fn exported(&self, points: usize) {
        self.exported.fetch_add(points as u64, Relaxed);
    }

    pub(crate) fn failed(&self, reason: DropReason, points: usize) {
        self.failed[reason as usize].fetch_add(points as u64, Relaxed);
    }

    pub(crate) fn set_queue(&self, points: usize, bytes: usize) {
        self.queue_points.store(points as u64, Relaxed);
        self.queue_bytes.store(bytes as u64, Relaxed);
    }

    pub(crate) fn set_queue_bytes_max(&self, bytes: usize) {
        self.queue_bytes_max.store(bytes as u64, Relaxed);
    }

    pub(crate) fn set_inflight(&self, points: usize) {
        self.inflight.store(points as u64, Relaxed);
    }

    pub(crate) fn operation(&self, took: Duration) {
        self.operations.fetch_add(1, Relaxed);
        self.operation_nanos.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }

    pub(crate) fn attempt(&self, body_bytes: usize) {
        self.attempts.fetch_add(1, Relaxed);
        self.body_bytes.fetch_add(body_bytes as u64, Relaxed);
    }

    /// Reads every counter. They go on while they are read, so sums may differ by what happens meanwhile.
    #[must_use]
    pub fn snapshot(&self) -> StatsSnapshot {
        StatsSnapshot {
            exported: self.exported.load(Relaxed),
            failed: DropReason::ALL.map(|reason| (reason, self.failed[reason as usize].load(Relaxed))),
            inflight: self.inflight.load(Relaxed),
            queue_points: self.queue_points.load(Relaxed),
            queue_bytes: self.queue_bytes.load(Relaxed),
            queue_bytes_max: self.queue_bytes_max.load(Relaxed),
            operations: self.operations.load(Relaxed),
            operation_duration: Duration::from_nanos(self.operation_nanos.load(Relaxed)),
            attempts: self.attempts.load(Relaxed),
            body_bytes: self.body_bytes.load(Relaxed),
        }
    }
}

/// One reading of a client's counters. Named after the `otel.sdk.exporter.*` conventions.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StatsSnapshot {
    /// `otel.sdk.exporter.metric_data_point.exported` without an error: data points that a receiver took.
    pub exported: u64,
    /// The same with `error.type`: data points that were not delivered, all reasons, in the order of [`DropReason::ALL`].
    pub failed: [(DropReason, u64); DropReason::ALL.len()],
    /// `otel.sdk.exporter.metric_data_point.inflight`: data points of the payload that is being sent or tried again.
    pub inflight: u64,
    /// Data points that wait in the queue.
    pub queue_points: u64,
    /// Bytes that the queue holds, those in flight included.
    pub queue_bytes: u64,
    /// The most that it may hold.
    pub queue_bytes_max: u64,
    /// Payloads that were sent, whatever became of them: the count of `otel.sdk.exporter.operation.duration`.
    pub operations: u64,
    /// How long those took together, from the first attempt to the end of the last.
    pub operation_duration: Duration,
    /// Requests that were made.
    pub attempts: u64,
    /// Bytes of the bodies of those, after compression.
    pub body_bytes: u64,
}

impl StatsSnapshot {
    /// How many data points were not delivered for this reason.
    #[must_use]
    pub const fn failed(&self, reason: DropReason) -> u64 {
        self.failed[reason as usize].1
    }
}

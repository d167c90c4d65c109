//! An exporter that does what it is told, and a registry's page to read.
#![allow(dead_code, reason = "each test uses some of it")]

use std::sync::{Arc, Condvar, Mutex};

use opentelemetry::trace::{Span as _, Tracer as _, TracerProvider as _};
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider, Span, SpanData, SpanExporter};
use prometheus::{Registry, TextEncoder};
use runtime_metrics::RuntimeMetrics;

/// What an exporter does with a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Deliver,
    /// Fails with what the SDK's text for this gRPC code is.
    Fail(&'static str),
    TimeOut,
    Panic,
    /// Does not return until the mode changes.
    Hang,
}

#[derive(Debug)]
struct State {
    mode: Mode,
    /// Spans that were in the exporter's hands when it hung.
    hanging: Option<usize>,
    delivered: Vec<String>,
}

/// Holds the exporter's strings.
#[derive(Debug, Clone)]
pub(crate) struct Script(Arc<(Mutex<State>, Condvar)>);

impl Script {
    pub(crate) fn new(mode: Mode) -> Self {
        Self(Arc::new((Mutex::new(State { mode, hanging: None, delivered: Vec::new() }), Condvar::new())))
    }

    pub(crate) fn set(&self, mode: Mode) {
        self.0.0.lock().expect("unpoisoned").mode = mode;
        self.0.1.notify_all();
    }

    /// Waits until the exporter hangs, and says on how many spans.
    pub(crate) fn hangs(&self) -> usize {
        let guard = self.0.0.lock().expect("unpoisoned");
        let guard = self.0.1.wait_while(guard, |state| state.hanging.is_none()).expect("unpoisoned");
        guard.hanging.expect("it hangs")
    }

    pub(crate) fn delivered(&self) -> usize {
        self.0.0.lock().expect("unpoisoned").delivered.len()
    }

    pub(crate) fn exporter(&self) -> Scripted {
        Scripted(self.clone())
    }
}

#[derive(Debug)]
pub(crate) struct Scripted(Script);

impl SpanExporter for Scripted {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let (state, changed) = &*self.0.0;
        let mut guard = state.lock().expect("unpoisoned");
        if guard.mode == Mode::Hang {
            guard.hanging = Some(batch.len());
            changed.notify_all();
            guard = changed.wait_while(guard, |state| state.mode == Mode::Hang).expect("unpoisoned");
            guard.hanging = None;
        }
        let mode = guard.mode;
        if mode == Mode::Deliver {
            guard.delivered.extend(batch.into_iter().map(|span| span.name.into_owned()));
        }
        drop(guard);
        match mode {
            Mode::Deliver => Ok(()),
            Mode::Fail(code) => {
                let text = format!("TonicTracesClient export failed with gRPC code: {code}");
                Err(OTelSdkError::InternalFailure(text))
            }
            Mode::TimeOut => Err(OTelSdkError::Timeout(std::time::Duration::from_secs(1))),
            Mode::Panic => panic!("the script says so"),
            Mode::Hang => unreachable!("it waited for another mode"),
        }
    }
}

/// A provider and what counts it.
pub(crate) struct Service {
    pub(crate) registry: Registry,
    pub(crate) metrics: RuntimeMetrics,
    pub(crate) script: Script,
    pub(crate) provider: SdkTracerProvider,
}

impl Service {
    /// Exports in batches of five when it is told to, and lets `queue` spans wait.
    pub(crate) fn start(queue: usize) -> Self {
        let registry = Registry::new();
        let metrics =
            RuntimeMetrics::builder().service("shop").register(&registry).expect("an empty registry");
        let script = Script::new(Mode::Deliver);
        let provider = metrics
            .pipeline(script.exporter(), runtime_metrics::Protocol::Grpc)
            .queue_spans_max(queue)
            .batch_spans_max(5)
            .batch_delay(std::time::Duration::from_secs(3_600))
            .sampler(opentelemetry_sdk::trace::Sampler::AlwaysOn)
            .provider()
            .build();
        Self { registry, metrics, script, provider }
    }

    pub(crate) fn tracer(&self) -> SdkTracer {
        self.provider.tracer("test")
    }

    /// Starts that many spans.
    pub(crate) fn begin(&self, count: usize) -> Vec<Span> {
        let tracer = self.tracer();
        (0..count).map(|_| tracer.start("span")).collect()
    }

    /// Starts and ends that many spans.
    pub(crate) fn spans(&self, count: usize) {
        self.begin(count).into_iter().for_each(|mut span| span.end());
    }

    /// The value of a series, `None` where the page has none.
    pub(crate) fn value(&self, series: &str) -> Option<f64> {
        page(&self.registry).lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok())
    }
}

pub(crate) fn page(registry: &Registry) -> String {
    TextEncoder::new().encode_to_string(&registry.gather()).expect("a page")
}

//! Whatever a service does, the numbers are those of a model that is a few lines of arithmetic.

mod scripted;

use std::time::Duration;

use opentelemetry::trace::{Span as _, Tracer as _, TracerProvider as _};
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider, Span};
use prometheus::Registry;
use proptest::prelude::*;
use runtime_metrics::{Protocol, RuntimeMetrics, SpanCounts};
use scripted::{Mode, Script};

const QUEUE: u64 = 7;

#[derive(Debug, Clone, Copy)]
enum Step {
    Start(u64),
    End(u64),
    Flush(Mode),
    /// The provider is shut down and another takes over.
    Replace(Mode),
}

fn step() -> impl Strategy<Value = Step> {
    let mode =
        prop_oneof![3 => Just(Mode::Deliver), 1 => Just(Mode::Fail("Internal")), 1 => Just(Mode::TimeOut)];
    prop_oneof![
        4 => (1..6_u64).prop_map(Step::Start),
        4 => (1..6_u64).prop_map(Step::End),
        2 => mode.clone().prop_map(Step::Flush),
        1 => mode.prop_map(Step::Replace),
    ]
}

/// Where the spans have to be.
#[derive(Debug, Default)]
struct Model {
    sampled: u64,
    live: u64,
    queued: u64,
    exported: u64,
    failed: u64,
    dropped: u64,
}

impl Model {
    fn end(&mut self, spans: u64) {
        let admitted = spans.min(QUEUE - self.queued);
        self.live -= spans;
        self.queued += admitted;
        self.dropped += spans - admitted;
    }

    fn export(&mut self, mode: Mode) {
        let place = if mode == Mode::Deliver { &mut self.exported } else { &mut self.failed };
        *place += std::mem::take(&mut self.queued);
    }

    fn check(&self, counts: SpanCounts) {
        let SpanCounts { sampled, live, queued, in_flight, exported, failed, dropped, .. } = counts;
        assert_eq!(
            [sampled, live, queued, in_flight, exported, failed, dropped],
            [self.sampled, self.live, self.queued, 0, self.exported, self.failed, self.dropped]
        );
        assert!(counts.is_balanced());
    }
}

/// A provider that exports only when it is told to.
fn provider(metrics: &RuntimeMetrics, script: &Script) -> SdkTracerProvider {
    metrics
        .pipeline(script.exporter(), Protocol::Grpc)
        .sampler(Sampler::AlwaysOn)
        .queue_spans_max(QUEUE as usize)
        .batch_delay(Duration::from_secs(3_600))
        .provider()
        .build()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn the_numbers_are_the_models(steps in prop::collection::vec(step(), 1..60)) {
        let metrics = RuntimeMetrics::builder().service("shop").register(&Registry::new()).expect("it is empty");
        let script = Script::new(Mode::Deliver);
        let mut current = provider(&metrics, &script);
        let (mut model, mut live) = (Model::default(), Vec::<Span>::new());
        let mut forgotten = Vec::new();
        for step in steps {
            match step {
                Step::Start(spans) => {
                    let tracer = current.tracer("test");
                    live.extend((0..spans).map(|_| tracer.start("span")));
                    model.sampled += spans;
                    model.live += spans;
                }
                Step::End(spans) => {
                    let spans = live.drain(..live.len().min(spans as usize)).map(|mut span| span.end()).count();
                    model.end(spans as u64);
                }
                Step::Flush(mode) => {
                    script.set(mode);
                    let flushed = current.force_flush();
                    prop_assert_eq!(flushed.is_ok(), mode == Mode::Deliver || model.queued == 0);
                    model.export(mode);
                }
                Step::Replace(mode) => {
                    script.set(mode);
                    // It says nothing of what the exporter said.
                    let _ = current.shutdown();
                    model.export(mode);
                    // What lives has nowhere to go any more, ended or not.
                    model.dropped += std::mem::take(&mut model.live);
                    forgotten.append(&mut live);
                    forgotten.truncate(3);
                    current = provider(&metrics, &script);
                }
            }
            model.check(metrics.span_counts());
        }
        drop((forgotten, live));
        drop(current);
        prop_assert!(metrics.span_counts().is_balanced());
        prop_assert_eq!(metrics.span_counts().exported, script.delivered() as u64);
    }
}

//! The numbers of spans on the service's page, and how they come to be there.
#![allow(dead_code, reason = "each test uses some of it")]

use std::collections::BTreeMap;
use std::time::Instant;

use otlp_service::Service;
use runtime_metrics::SpanCounts;
use test_support::PATIENCE;

use crate::client::{ORDER, get, orders};

/// The series of the page, as a scraper sees them.
pub(crate) struct Page(BTreeMap<String, f64>);

impl Page {
    pub(crate) async fn of(service: &Service) -> Self {
        let answer = get(service.metrics_addr(), "/metrics").await;
        let series = answer.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
            let (name, value) = line.rsplit_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        });
        Self(series.collect())
    }

    #[track_caller]
    pub(crate) fn value(&self, series: &str) -> usize {
        let value = self.0.get(series).unwrap_or_else(|| panic!("no {series} in {:#?}", self.0));
        *value as usize
    }

    pub(crate) fn created(&self, kind: &str) -> usize {
        self.value(&format!(r#"otlp_spans_created_total{{service_name="otlp-service",span_kind="{kind}"}}"#))
    }

    fn exported(&self, status: &str) -> usize {
        self.value(&format!(r#"otlp_spans_exported_total{{exporter="otlp",status="{status}"}}"#))
    }

    pub(crate) fn errors(&self, error: &str) -> usize {
        self.value(&format!(r#"otlp_spans_export_errors_total{{error_type="{error}",exporter="otlp"}}"#))
    }

    /// Where the sampled spans are, and that there is no other place.
    #[track_caller]
    pub(crate) fn check(&self, expect: Places) {
        let sampled = self.value(r#"otlp_spans_sampled_total{service_name="otlp-service"}"#);
        let found = Places {
            live: self.value(r#"otlp_spans_live{service_name="otlp-service"}"#),
            queued: self.value(r#"otlp_exporter_queue_size{exporter="otlp"}"#),
            in_flight: self.value(r#"otlp_exporter_in_flight_spans{exporter="otlp"}"#),
            exported: self.exported("success"),
            failed: self.exported("error"),
            dropped: self.value(r#"otlp_spans_dropped_total{exporter="otlp",reason="queue_full"}"#),
        };
        assert_eq!(found, expect);
        let Places { live, queued, in_flight, exported, failed, dropped } = found;
        assert_eq!(sampled, live + queued + in_flight + exported + failed + dropped);
    }
}

/// Where sampled spans can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Places {
    pub(crate) live: usize,
    pub(crate) queued: usize,
    pub(crate) in_flight: usize,
    pub(crate) exported: usize,
    pub(crate) failed: usize,
    pub(crate) dropped: usize,
}

/// Waits until the spans are where they are expected.
pub(crate) async fn until(service: &Service, expected: impl Fn(SpanCounts) -> bool) {
    let begin = Instant::now();
    while !expected(service.span_counts()) {
        assert!(begin.elapsed() < PATIENCE, "{:?}", service.span_counts());
        tokio::task::yield_now().await;
    }
}

/// While an export is under way: a span lives that waits for the next order, and what ends meanwhile is queued.
pub(crate) async fn fill_the_queue(service: &Service, places: &mut Places) {
    let next = tokio::spawn(get(service.addr(), "/next"));
    until(service, |counts| counts.live > 0).await;
    places.live = 1;
    Page::of(service).await.check(*places);
    while !next.is_finished() {
        orders(service, 1).await;
        places.queued += ORDER;
    }
    next.await.expect("an answer");
    places.live = 0;
    places.queued += 1;
    Page::of(service).await.check(*places);
}

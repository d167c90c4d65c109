//! Delimited protobuf: `io.prometheus.client.MetricFamily` messages (client_model, `metrics.proto`), each behind its
//! length as a varint.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::family::{Family, Histogram, Kind, Summary};
use crate::label::LabelBlock;
use crate::number::Number;
use crate::wire;

/// Field numbers of `MetricFamily`.
mod metric_family {
    pub(super) const NAME: u8 = 1;
    pub(super) const HELP: u8 = 2;
    pub(super) const TYPE: u8 = 3;
    pub(super) const METRIC: u8 = 4;
    pub(super) const UNIT: u8 = 5;
}

/// Field numbers of `Metric`; its labels, field 1, come ready from the blocks.
mod metric {
    pub(super) const GAUGE: u8 = 2;
    pub(super) const COUNTER: u8 = 3;
    pub(super) const SUMMARY: u8 = 4;
    pub(super) const UNTYPED: u8 = 5;
    pub(super) const HISTOGRAM: u8 = 7;
}

/// Field number of `created_timestamp` in `Counter`, `Summary` and `Histogram`.
mod created {
    pub(super) const COUNTER: u8 = 3;
    pub(super) const SUMMARY: u8 = 4;
    pub(super) const HISTOGRAM: u8 = 15;
}

/// Gathers one family, whose length must be known before its first byte is sent.
#[derive(Debug, Default)]
pub(crate) struct ProtobufWriter {
    /// The open `MetricFamily` without its length.
    body: Vec<u8>,
    /// The value message of the sample at hand.
    value: Vec<u8>,
    value_field: u8,
}

impl ProtobufWriter {
    pub(crate) fn open(&mut self, family: &Family<'_>) {
        let (kind, value_field) = match family.kind {
            Kind::Counter => (0, metric::COUNTER),
            Kind::Gauge => (1, metric::GAUGE),
            Kind::Summary => (2, metric::SUMMARY),
            Kind::Unknown => (3, metric::UNTYPED),
            Kind::Histogram => (4, metric::HISTOGRAM),
        };
        self.value_field = value_field;
        self.body.clear();
        wire::bytes(&mut self.body, metric_family::NAME, family.name.as_bytes());
        if !family.help.is_empty() {
            wire::bytes(&mut self.body, metric_family::HELP, family.help.as_bytes());
        }
        wire::uint64(&mut self.body, metric_family::TYPE, kind);
        if let Some(unit) = family.unit_of(family.base_name()) {
            wire::bytes(&mut self.body, metric_family::UNIT, unit.as_bytes());
        }
    }

    /// Sends the open family, which has at least one sample.
    pub(crate) fn close(&mut self, out: &mut Vec<u8>) {
        wire::varint(out, self.body.len() as u64);
        out.append(&mut self.body);
    }

    pub(crate) fn sample<'a>(
        &mut self,
        labels: impl Iterator<Item = &'a LabelBlock> + Clone,
        value: Number,
        created: Option<SystemTime>,
    ) {
        self.value.clear();
        wire::double(&mut self.value, 1, value.as_f64());
        if self.value_field == metric::COUNTER {
            timestamp(&mut self.value, created::COUNTER, created);
        }
        self.metric(labels);
    }

    pub(crate) fn histogram(
        &mut self,
        labels: &[&LabelBlock],
        histogram: &Histogram<'_>,
        created: Option<SystemTime>,
    ) {
        self.value.clear();
        wire::uint64(&mut self.value, 1, histogram.count);
        wire::double(&mut self.value, 2, histogram.sum);
        for (upper, count) in histogram.closed_buckets() {
            wire::message_head(&mut self.value, 3, 1 + wire::varint_len(count) + 9);
            wire::uint64(&mut self.value, 1, count);
            wire::double(&mut self.value, 2, upper);
        }
        timestamp(&mut self.value, created::HISTOGRAM, created);
        self.metric(labels.iter().copied());
    }

    pub(crate) fn summary(
        &mut self,
        labels: &[&LabelBlock],
        summary: &Summary<'_>,
        created: Option<SystemTime>,
    ) {
        self.value.clear();
        wire::uint64(&mut self.value, 1, summary.count);
        wire::double(&mut self.value, 2, summary.sum);
        for &(quantile, value) in summary.quantiles {
            wire::message_head(&mut self.value, 3, 9 + 9);
            wire::double(&mut self.value, 1, quantile);
            wire::double(&mut self.value, 2, value);
        }
        timestamp(&mut self.value, created::SUMMARY, created);
        self.metric(labels.iter().copied());
    }

    /// Appends the `Metric` of these labels and the value message that was just built.
    fn metric<'a>(&mut self, labels: impl Iterator<Item = &'a LabelBlock> + Clone) {
        let labels_len: usize = labels.clone().map(|block| block.protobuf().len()).sum();
        wire::message_head(
            &mut self.body,
            metric_family::METRIC,
            labels_len + wire::bytes_len(self.value.len()),
        );
        for block in labels {
            self.body.extend_from_slice(block.protobuf());
        }
        wire::bytes(&mut self.body, self.value_field, &self.value);
    }
}

/// A `google.protobuf.Timestamp`: whole seconds since 1970, which may be negative, and nanoseconds after them.
fn timestamp(out: &mut Vec<u8>, field: u8, time: Option<SystemTime>) {
    let Some(time) = time else { return };
    let (seconds, nanos) = match time.duration_since(UNIX_EPOCH) {
        Ok(after) => (after.as_secs() as i64, after.subsec_nanos()),
        Err(before) => {
            let before = before.duration();
            let borrow = i64::from(before.subsec_nanos() > 0);
            let nanos = if borrow == 1 { 1_000_000_000 - before.subsec_nanos() } else { 0 };
            (-(before.as_secs() as i64) - borrow, nanos)
        }
    };
    // A negative int64 is its two's complement, ten bytes long.
    let (seconds, nanos) = (seconds as u64, u64::from(nanos));
    wire::message_head(out, field, 2 + wire::varint_len(seconds) + wire::varint_len(nanos));
    wire::uint64(out, 1, seconds);
    wire::uint64(out, 2, nanos);
}

//! Points into requests of a bounded size: what is open is closed and opened again in the next request where a point would
//! not fit.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::wire::{self, Mark, OPEN_BYTES};

/// Field numbers of the messages of `opentelemetry.proto.metrics.v1`, and of the request around them.
pub(crate) mod field {
    /// `ExportMetricsServiceRequest.resource_metrics`
    pub(crate) const RESOURCE_METRICS: u64 = 1;
    /// `ResourceMetrics.resource`
    pub(crate) const RESOURCE: u64 = 1;
    /// `ResourceMetrics.scope_metrics`
    pub(crate) const SCOPE_METRICS: u64 = 2;
    /// `ResourceMetrics.schema_url` and `ScopeMetrics.schema_url`
    pub(crate) const SCHEMA_URL: u64 = 3;
    /// `Resource.attributes`
    pub(crate) const RESOURCE_ATTRIBUTES: u64 = 1;
    /// `ScopeMetrics.scope`
    pub(crate) const SCOPE: u64 = 1;
    /// `InstrumentationScope.name`
    pub(crate) const SCOPE_NAME: u64 = 1;
    /// `InstrumentationScope.version`
    pub(crate) const SCOPE_VERSION: u64 = 2;
    /// `ScopeMetrics.metrics`
    pub(crate) const METRICS: u64 = 2;
    /// `Metric.name`
    pub(crate) const NAME: u64 = 1;
    /// `Metric.unit`
    pub(crate) const UNIT: u64 = 3;
    /// `Metric.gauge`
    pub(crate) const GAUGE: u64 = 5;
    /// `Metric.sum`
    pub(crate) const SUM: u64 = 7;
    /// `Gauge.data_points` and `Sum.data_points`
    pub(crate) const DATA_POINTS: u64 = 1;
    /// `Sum.aggregation_temporality`
    pub(crate) const TEMPORALITY: u64 = 2;
    /// `Sum.is_monotonic`
    pub(crate) const MONOTONIC: u64 = 3;
    /// `NumberDataPoint.start_time_unix_nano`
    pub(crate) const START: u64 = 2;
    /// `NumberDataPoint.time_unix_nano`
    pub(crate) const TIME: u64 = 3;
    /// `NumberDataPoint.as_double`
    pub(crate) const DOUBLE: u64 = 4;
    /// `NumberDataPoint.as_int`
    pub(crate) const INT: u64 = 6;
    /// `NumberDataPoint.attributes`
    pub(crate) const ATTRIBUTES: u64 = 7;
    /// `NumberDataPoint.flags`
    pub(crate) const FLAGS: u64 = 8;
}

/// `AGGREGATION_TEMPORALITY_CUMULATIVE`
pub(crate) const CUMULATIVE: u64 = 2;
/// `DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK`
const NO_RECORDED_VALUE: u64 = 1;

/// A request as it is sent: an encoded `ExportMetricsServiceRequest`.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Batch {
    /// Its bytes, before compression.
    pub body: Bytes,
    /// How many points it holds.
    pub points: usize,
}

/// What a metric's message begins with, made once.
#[derive(Debug)]
pub(crate) struct MetricHead {
    /// Name and unit.
    pub(crate) head: Vec<u8>,
    /// Gauge or sum.
    pub(crate) data: u64,
    /// What stands in the sum before its points.
    pub(crate) data_head: Vec<u8>,
}

/// The value of a point.
#[derive(Debug, Clone, Copy)]
pub(crate) enum PointValue {
    Int(i64),
    Double(f64),
    /// The series has ended.
    None,
}

/// A point.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Point<'a> {
    /// Attributes, encoded as fields of the point, in parts.
    pub(crate) attributes: [&'a [u8]; 3],
    /// When its sum was 0, in nanoseconds since 1970; 0 where nobody knows and for gauges.
    pub(crate) start: u64,
    pub(crate) value: PointValue,
}

/// What is open, from the outside to the inside.
#[derive(Debug, Default)]
struct Open {
    resource: Option<(Mark, Mark)>,
    metric: Option<(Mark, Mark)>,
}

/// A buffer may be larger than what it holds by one part in so many.
const SLACK: usize = 8;
/// The least that a request is given at first.
const CAPACITY_MIN: usize = 4096;

/// Gathers points.
#[derive(Debug)]
pub(crate) struct Writer {
    out: Vec<u8>,
    points: usize,
    open: Open,
    bytes_max: usize,
    /// How many bytes the export will probably take, those that are written included.
    expected: usize,
    /// How many it has taken.
    pub(crate) written: usize,
    /// When the points were taken, in nanoseconds since 1970.
    pub(crate) time: u64,
    /// What stands in each `ResourceMetrics` behind its Resource.
    schema: Vec<u8>,
    /// What stands in each `ScopeMetrics` before its metrics.
    scope: Vec<u8>,
    done: VecDeque<Batch>,
    /// Points that were larger than a whole request.
    pub(crate) refused: u64,
}

impl Writer {
    pub(crate) fn new(bytes_max: usize, expected: usize, time: u64, schema: Vec<u8>, scope: Vec<u8>) -> Self {
        Self {
            out: Vec::new(),
            points: 0,
            open: Open::default(),
            bytes_max,
            expected,
            written: 0,
            time,
            schema,
            scope,
            done: VecDeque::new(),
            refused: 0,
        }
    }

    /// The oldest request that is whole.
    pub(crate) fn take(&mut self) -> Option<Batch> {
        self.done.pop_front()
    }

    /// The next point belongs to another metric.
    pub(crate) fn end_metric(&mut self) {
        if let Some((metric, data)) = self.open.metric.take() {
            wire::close(&mut self.out, data);
            wire::close(&mut self.out, metric);
        }
    }

    /// The next point belongs to another Resource.
    pub(crate) fn end_resource(&mut self) {
        self.end_metric();
        if let Some((resource, scope)) = self.open.resource.take() {
            wire::close(&mut self.out, scope);
            wire::close(&mut self.out, resource);
        }
    }

    /// Makes a request of what there is.
    pub(crate) fn cut(&mut self) {
        self.end_resource();
        if self.points > 0 {
            let mut body = std::mem::take(&mut self.out);
            self.written += body.len();
            // Whoever keeps it counts its bytes, and not those that it might have had.
            if body.capacity() - body.len() > body.len() / SLACK {
                body.shrink_to_fit();
            }
            self.done.push_back(Batch { body: Bytes::from(body), points: self.points });
            self.points = 0;
        }
    }

    /// Writes a point of that metric of that Resource (its attributes, encoded), in the next request if it does not fit into
    /// this one.
    pub(crate) fn point(&mut self, resource: &[u8], metric: &MetricHead, point: &Point<'_>) {
        let length = point.length();
        let whole = 1 + wire::length_bytes(length) + length;
        if self.out.len() + self.heads(resource, metric) + whole > self.bytes_max {
            self.cut();
            if self.heads(resource, metric) + whole > self.bytes_max {
                self.refused += 1;
                return;
            }
        }
        if self.out.capacity() == 0 {
            // At once: a buffer that grows leaves holes of all sizes behind it.
            let left = self.expected.saturating_sub(self.written);
            self.out.reserve_exact((left + left / SLACK).max(CAPACITY_MIN).min(self.bytes_max));
        }
        let out = &mut self.out;
        if self.open.resource.is_none() {
            let outer = wire::open(out, field::RESOURCE_METRICS);
            wire::bytes(out, field::RESOURCE, resource);
            out.extend_from_slice(&self.schema);
            let inner = wire::open(out, field::SCOPE_METRICS);
            out.extend_from_slice(&self.scope);
            self.open.resource = Some((outer, inner));
        }
        if self.open.metric.is_none() {
            let outer = wire::open(out, field::METRICS);
            out.extend_from_slice(&metric.head);
            let inner = wire::open(out, metric.data);
            out.extend_from_slice(&metric.data_head);
            self.open.metric = Some((outer, inner));
        }
        wire::head(out, field::DATA_POINTS, length);
        point.write(out, self.time);
        self.points += 1;
    }

    /// What must be opened before a point, in bytes.
    fn heads(&self, resource: &[u8], metric: &MetricHead) -> usize {
        let mut bytes = 0;
        if self.open.resource.is_none() {
            let attributes = 1 + wire::length_bytes(resource.len()) + resource.len();
            bytes += OPEN_BYTES + attributes + self.schema.len() + OPEN_BYTES + self.scope.len();
        }
        if self.open.metric.is_none() {
            bytes += OPEN_BYTES + metric.head.len() + OPEN_BYTES + metric.data_head.len();
        }
        bytes
    }
}

/// A field of eight bytes with its tag.
const EIGHT: usize = 9;

impl Point<'_> {
    fn length(&self) -> usize {
        let attributes: usize = self.attributes.iter().map(|part| part.len()).sum();
        let start = if self.start == 0 { 0 } else { EIGHT };
        let value = match self.value {
            PointValue::Int(_) | PointValue::Double(_) => EIGHT,
            PointValue::None => 2,
        };
        attributes + start + EIGHT + value
    }

    fn write(&self, out: &mut Vec<u8>, time: u64) {
        if self.start != 0 {
            wire::eight(out, field::START, self.start.to_le_bytes());
        }
        wire::eight(out, field::TIME, time.to_le_bytes());
        match self.value {
            PointValue::Int(value) => wire::eight(out, field::INT, value.to_le_bytes()),
            PointValue::Double(value) => wire::eight(out, field::DOUBLE, value.to_le_bytes()),
            PointValue::None => {}
        }
        for part in self.attributes {
            out.extend_from_slice(part);
        }
        if matches!(self.value, PointValue::None) {
            wire::number(out, field::FLAGS, NO_RECORDED_VALUE);
        }
    }
}

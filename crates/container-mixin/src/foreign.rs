//! Metrics of others that some alert or panel asks for.

use metric_schema::{Attribute, MetricDef, Unit, Values};

/// The values of `status_code` of [`SPAN_CALLS`].
pub const STATUS_CODES: &[&str] = &["STATUS_CODE_UNSET", "STATUS_CODE_OK", "STATUS_CODE_ERROR"];

/// Spans that the OpenTelemetry Collector's span metrics connector has seen, by their status.
pub const SPAN_CALLS: MetricDef = MetricDef::counter(
    "traces.span.metrics.calls",
    Unit::Count("{call}"),
    "collector",
    "Spans by service and status, as the OpenTelemetry Collector's connector spanmetrics counts them.",
)
.by(&[
    Attribute::new("service_name", Values::Given),
    Attribute::new("span_name", Values::Capped(1000)),
    Attribute::new("span_kind", Values::Capped(8)),
    Attribute::new("status_code", Values::Closed(STATUS_CODES)),
]);

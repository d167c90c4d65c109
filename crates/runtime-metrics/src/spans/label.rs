//! The closed sets of label values.

use opentelemetry::trace::SpanKind;
use opentelemetry_sdk::error::OTelSdkError;
use opentelemetry_sdk::trace::SamplingDecision;

/// Where a kind stands in [`SPAN_KINDS`](crate::catalogue::SPAN_KINDS).
pub(crate) fn kind(kind: &SpanKind) -> usize {
    match kind {
        SpanKind::Client => 0,
        SpanKind::Consumer => 1,
        SpanKind::Internal => 2,
        SpanKind::Producer => 3,
        SpanKind::Server => 4,
    }
}

/// The place of [`SamplingDecision::RecordAndSample`].
pub(crate) const SAMPLED: usize = 2;

/// Where a decision stands in [`SAMPLING_RESULTS`](crate::catalogue::SAMPLING_RESULTS).
pub(crate) fn decision(decision: &SamplingDecision) -> usize {
    match decision {
        SamplingDecision::Drop => 0,
        SamplingDecision::RecordOnly => 1,
        SamplingDecision::RecordAndSample => SAMPLED,
    }
}

/// How an exporter talks: the label `protocol` of `otlp_exporter_latency_seconds`. The names are those of
/// `OTEL_EXPORTER_OTLP_PROTOCOL`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Protocol {
    /// `grpc`.
    Grpc,
    /// `http/protobuf`.
    HttpProtobuf,
    /// `http/json`.
    HttpJson,
    /// `other`: an exporter that does not speak OTLP.
    Other,
}

impl Protocol {
    /// The label's value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::HttpProtobuf => "http/protobuf",
            Self::HttpJson => "http/json",
            Self::Other => "other",
        }
    }
}

/// Why spans were dropped before an exporter had them: the label `reason` of `otlp_spans_dropped_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DropReason {
    /// `queue_full`: as many spans as the queue may hold were waiting.
    QueueFull,
    /// `shutdown`: the provider was shut down before the span ended, or before it was its turn.
    Shutdown,
}

impl DropReason {
    /// Every reason, in the order of the series.
    pub const ALL: [Self; 2] = [Self::QueueFull, Self::Shutdown];

    /// The label's value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::Shutdown => "shutdown",
        }
    }

    /// The same in the conventions' words.
    pub(crate) const fn error_type(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::Shutdown => "already_shutdown",
        }
    }
}

/// Why an export failed: the label `error_type` of `otlp_spans_export_errors_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorType {
    /// `timeout`: no answer within the exporter's time.
    Timeout,
    /// `unavailable`: no connection, or the receiver said that it cannot take anything now (gRPC UNAVAILABLE, HTTP
    /// 502, 503, 504).
    Unavailable,
    /// `throttled`: the receiver asked for less (gRPC RESOURCE_EXHAUSTED, HTTP 429).
    Throttled,
    /// `unauthenticated`: credentials are missing or wrong (gRPC UNAUTHENTICATED, HTTP 401).
    Unauthenticated,
    /// `permission_denied`: gRPC PERMISSION_DENIED, HTTP 403.
    PermissionDenied,
    /// `unimplemented`: this receiver takes no traces here (gRPC UNIMPLEMENTED, HTTP 404, 405, 501).
    Unimplemented,
    /// `invalid`: the receiver refused what it got (the other codes by which gRPC and HTTP blame the client).
    Invalid,
    /// `internal`: the receiver failed (the other codes by which they blame the server; UNKNOWN among them, which is also what tonic says
    /// of a connection that breaks before the answer).
    Internal,
    /// `cancelled`: the export was given up before it had a result.
    Cancelled,
    /// `panic`: the exporter panicked. With `opentelemetry-otlp` and a client that needs a Tokio runtime this means that
    /// the batch processor's thread has none.
    Panic,
    /// `shutdown`: the exporter was shut down before.
    Shutdown,
    /// `other`: the exporter said something else.
    Other,
}

impl ErrorType {
    /// Every type, in the order of the series.
    pub const ALL: [Self; 12] = [
        Self::Timeout,
        Self::Unavailable,
        Self::Throttled,
        Self::Unauthenticated,
        Self::PermissionDenied,
        Self::Unimplemented,
        Self::Invalid,
        Self::Internal,
        Self::Cancelled,
        Self::Panic,
        Self::Shutdown,
        Self::Other,
    ];

    /// The label's value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Unavailable => "unavailable",
            Self::Throttled => "throttled",
            Self::Unauthenticated => "unauthenticated",
            Self::PermissionDenied => "permission_denied",
            Self::Unimplemented => "unimplemented",
            Self::Invalid => "invalid",
            Self::Internal => "internal",
            Self::Cancelled => "cancelled",
            Self::Panic => "panic",
            Self::Shutdown => "shutdown",
            Self::Other => "other",
        }
    }

    /// The SDK's error has three cases and puts everything that a receiver says into the text of one of them; there
    /// the code is looked for, in the words of `opentelemetry-otlp`. Any other text is [`Other`](Self::Other).
    pub(crate) fn of(error: &OTelSdkError) -> Self {
        match error {
            OTelSdkError::AlreadyShutdown => Self::Shutdown,
            OTelSdkError::Timeout(_) => Self::Timeout,
            OTelSdkError::InternalFailure(text) => Self::from_text(text),
        }
    }

    fn from_text(text: &str) -> Self {
        let after = |mark: &str| text.split_once(mark).map(|(_, rest)| rest.trim_start());
        if let Some(rest) = after("gRPC code:") {
            let end = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
            return Self::from_grpc(&rest[..end]);
        }
        if let Some(rest) = after("status code:") {
            let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            return rest[..end].parse().map_or(Self::Other, Self::from_http);
        }
        match text {
            text if text.contains("network error") => Self::Unavailable,
            text if text.contains("already shutdown") => Self::Shutdown,
            text if text.contains("timed out") => Self::Timeout,
            _ => Self::Other,
        }
    }

    /// By the name of a gRPC code as tonic's `Code` has it.
    fn from_grpc(code: &str) -> Self {
        match code {
            "Cancelled" => Self::Cancelled,
            "DeadlineExceeded" => Self::Timeout,
            "Unavailable" => Self::Unavailable,
            "ResourceExhausted" => Self::Throttled,
            "Unauthenticated" => Self::Unauthenticated,
            "PermissionDenied" => Self::PermissionDenied,
            "Unimplemented" => Self::Unimplemented,
            "InvalidArgument" | "NotFound" | "AlreadyExists" | "FailedPrecondition" | "OutOfRange" => {
                Self::Invalid
            }
            "Unknown" | "Aborted" | "Internal" | "DataLoss" => Self::Internal,
            _ => Self::Other,
        }
    }

    fn from_http(status: u16) -> Self {
        match status {
            401 => Self::Unauthenticated,
            403 => Self::PermissionDenied,
            404 | 405 | 501 => Self::Unimplemented,
            408 => Self::Timeout,
            429 => Self::Throttled,
            502..=504 => Self::Unavailable,
            400..=499 => Self::Invalid,
            500..=599 => Self::Internal,
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue;

    #[test]
    fn values_are_distinct_and_stand_at_their_places() {
        let types = ErrorType::ALL.map(ErrorType::as_str);
        let unique: std::collections::BTreeSet<_> = types.iter().collect();
        assert_eq!(unique.len(), types.len());
        for (index, found) in ErrorType::ALL.into_iter().enumerate() {
            assert_eq!(found as usize, index, "{found:?}");
        }
        for (index, reason) in DropReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, index, "{reason:?}");
        }
        assert_eq!(ErrorType::ALL.map(ErrorType::as_str), catalogue::ERROR_TYPES);
        assert_eq!(DropReason::ALL.map(DropReason::as_str), catalogue::DROP_REASONS);
        assert_eq!(DropReason::ALL.map(DropReason::error_type), catalogue::DROP_ERROR_TYPES);
        let protocols = [Protocol::Grpc, Protocol::HttpProtobuf, Protocol::HttpJson, Protocol::Other];
        assert_eq!(protocols.map(Protocol::as_str), catalogue::PROTOCOLS);
        assert_eq!(catalogue::SPAN_KINDS[kind(&SpanKind::Server)], "server");
        assert_eq!(catalogue::SPAN_KINDS[kind(&SpanKind::Internal)], "internal");
        assert_eq!(
            catalogue::SAMPLING_RESULTS[decision(&SamplingDecision::RecordAndSample)],
            "RECORD_AND_SAMPLE"
        );
    }

    #[test]
    fn errors_have_the_type_that_their_text_tells() {
        let check = |text: &str, expect: ErrorType| {
            assert_eq!(ErrorType::of(&OTelSdkError::InternalFailure(text.into())), expect, "{text:?}");
        };
        let refused =
            "TonicTracesClient export failed with gRPC code: Unavailable: transport error: tcp connect error";
        check(refused, ErrorType::Unavailable);
        check("TonicTracesClient export failed with gRPC code: DeadlineExceeded", ErrorType::Timeout);
        check("TonicTracesClient export failed with gRPC code: OutOfRange", ErrorType::Invalid);
        check("TonicTracesClient export failed with gRPC code: Ünknown", ErrorType::Other);
        check("HTTP export failed with status code: 503", ErrorType::Unavailable);
        check("HTTP export failed with status code: 429 Too Many Requests", ErrorType::Throttled);
        check("HTTP export failed with status code: 418", ErrorType::Invalid);
        check("HTTP export failed with status code: 99999999", ErrorType::Other);
        check("HTTP export failed: network error", ErrorType::Unavailable);
        check("Exporter already shutdown", ErrorType::Shutdown);
        check("gRPC code:", ErrorType::Other);
        check("", ErrorType::Other);
        assert_eq!(ErrorType::of(&OTelSdkError::AlreadyShutdown), ErrorType::Shutdown);
        assert_eq!(ErrorType::of(&OTelSdkError::Timeout(std::time::Duration::ZERO)), ErrorType::Timeout);
    }
}

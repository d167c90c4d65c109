//! What a client is told: where to, how, and within which bounds.

use std::{fmt, path::PathBuf, str::FromStr, time::Duration};

use serde::{Serialize, Serializer};

use crate::{Endpoint, Headers};

/// What requests carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Signal {
    /// `ExportMetricsServiceRequest`s, whose points are data points.
    Metrics,
    /// `ExportTraceServiceRequest`s, whose points are spans.
    Traces,
}

impl Signal {
    /// As people call it: `metrics`, `traces`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Metrics => "metrics",
            Self::Traces => "traces",
        }
    }

    /// What a payload holds, for people.
    pub(crate) const fn points(self) -> &'static str {
        match self {
            Self::Metrics => "data points",
            Self::Traces => "spans",
        }
    }

    /// What OTLP over HTTP adds to a base URL.
    pub(crate) const fn http_path(self) -> &'static str {
        match self {
            Self::Metrics => "/v1/metrics",
            Self::Traces => "/v1/traces",
        }
    }

    /// The one method that gRPC calls.
    pub(crate) const fn grpc_path(self) -> &'static str {
        match self {
            Self::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
            Self::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
        }
    }
}

/// How requests travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// gRPC: one unary call for each payload, over HTTP/2.
    Grpc,
    /// One `POST` for each payload, over HTTP/1.1.
    HttpProtobuf,
}

impl Protocol {
    /// As `OTEL_EXPORTER_OTLP_PROTOCOL` has it: `grpc`, `http/protobuf`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::HttpProtobuf => "http/protobuf",
        }
    }
}

impl FromStr for Protocol {
    type Err = String;

    /// Reads `grpc` or `http/protobuf`; the error says what is known.
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "grpc" => Ok(Self::Grpc),
            "http/protobuf" => Ok(Self::HttpProtobuf),
            _ => Err("the protocol is grpc or http/protobuf".to_owned()),
        }
    }
}

/// How bodies are compressed. A receiver that refuses one gets the next of zstd, gzip, none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// gzip, which every receiver has to take.
    Gzip,
    /// zstd, which some take.
    Zstd,
}

impl Compression {
    /// As `OTEL_EXPORTER_OTLP_COMPRESSION` has it: `none`, `gzip`, `zstd`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}

impl FromStr for Compression {
    type Err = String;

    /// Reads `none`, `gzip` or `zstd`; the error says what is known.
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(Self::None),
            "gzip" => Ok(Self::Gzip),
            "zstd" => Ok(Self::Zstd),
            _ => Err("the compression is none, gzip or zstd".to_owned()),
        }
    }
}

macro_rules! shown_as_str {
    ($($name:ty),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }
    )*};
}
shown_as_str!(Protocol, Compression);

/// The files of TLS, in PEM. They are read when a client starts and when it is reconfigured.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Tls {
    /// The authorities to trust; `None` trusts those of this machine.
    pub certificate: Option<PathBuf>,
    /// What this client shows of itself; `None` shows nothing.
    pub client: Option<ClientCertificate>,
}

/// The files by which a client shows who it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ClientCertificate {
    /// The certificate, and those between it and its authority.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// All that a [`Client`](crate::Client) is told. [`Values::resolve`](crate::Values::resolve) makes them from
/// environment variables and configuration files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Settings {
    /// Where requests go.
    pub endpoint: Endpoint,
    /// How they travel.
    pub protocol: Protocol,
    /// Headers of every request.
    pub headers: Headers,
    /// How bodies are compressed.
    pub compression: Compression,
    /// The longest that one payload is tried for, waits between tries included.
    pub timeout: Duration,
    /// The files of TLS.
    pub tls: Tls,
    /// The most bytes of payloads, before compression, that wait or are being sent; beyond it the oldest are dropped.
    pub queue_bytes_max: usize,
}

impl Settings {
    /// The timeout that the specification has: ten seconds.
    pub const TIMEOUT: Duration = Duration::from_secs(10);
    /// Room for one of the largest payloads and a little behind it: 4 MiB.
    pub const QUEUE_BYTES_MAX: usize = 4 << 20;

    pub(crate) fn new(endpoint: Endpoint, protocol: Protocol) -> Self {
        Self {
            endpoint,
            protocol,
            headers: Headers::default(),
            compression: Compression::None,
            timeout: Self::TIMEOUT,
            tls: Tls::default(),
            queue_bytes_max: Self::QUEUE_BYTES_MAX,
        }
    }
}

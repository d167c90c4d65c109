//! From what variables and files say to [`Settings`].

use std::{ffi::OsString, path::PathBuf, time::Duration};

use crate::{
    Compression, Endpoint, Headers, Protocol, Settings, SettingsError, SettingsErrorKind, Signal, Tls,
    endpoint::{EndpointKind, shown},
    settings::ClientCertificate,
};

/// A value and who said it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said<T> {
    /// The value.
    pub value: T,
    /// The variable or the key, as errors name it: `OTEL_EXPORTER_OTLP_ENDPOINT`, `otlp.endpoint`.
    pub by: String,
}

impl<T> Said<T> {
    /// A value and who said it.
    pub fn new(value: T, by: impl Into<String>) -> Self {
        Self { value, by: by.into() }
    }
}

/// What one or more places say; `None` where they say nothing. [`or`](Self::or) lays them over each other,
/// [`resolve`](Self::resolve) decides.
#[derive(Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Values {
    /// The URL for metrics as it is; wins over the two below.
    pub metrics_endpoint: Option<Said<String>>,
    /// The URL for traces as it is: what [`resolve_traces`](Self::resolve_traces) has instead of the one for metrics.
    pub traces_endpoint: Option<Said<String>>,
    /// The base URL; by HTTP, `/v1/metrics` or `/v1/traces` is added. Without a protocol http/protobuf is meant. Wins over the one below.
    pub endpoint: Option<Said<String>>,
    /// A base URL that means gRPC where no protocol is set.
    pub grpc_endpoint: Option<Said<String>>,
    /// The protocol.
    pub protocol: Option<Said<Protocol>>,
    /// Whether gRPC to an endpoint without a scheme goes without TLS.
    pub insecure: Option<Said<bool>>,
    /// Headers of every request.
    pub headers: Option<Said<Headers>>,
    /// How bodies are compressed.
    pub compression: Option<Said<Compression>>,
    /// The longest that one payload is tried for.
    pub timeout: Option<Said<Duration>>,
    /// The file of the authorities to trust.
    pub certificate: Option<Said<PathBuf>>,
    /// The file of the client's private key.
    pub client_key: Option<Said<PathBuf>>,
    /// The file of the client's certificate.
    pub client_certificate: Option<Said<PathBuf>>,
    /// The most bytes that wait.
    pub queue_bytes_max: Option<Said<usize>>,
}

/// Endpoints may hold passwords.
impl std::fmt::Debug for Values {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Values").finish_non_exhaustive()
    }
}

impl Values {
    /// Reads `OTEL_EXPORTER_OTLP_METRICS_X` and, where that says nothing, `OTEL_EXPORTER_OTLP_X`. An empty variable says
    /// nothing, and so does one that cannot be used: the second part has an error for each of those. Whether such an
    /// error is fatal is the caller's choice; the specification wants a warning.
    pub fn from_env(lookup: &dyn Fn(&str) -> Option<OsString>) -> (Self, Vec<SettingsError>) {
        let mut env = Env { lookup, errors: Vec::new() };
        let values = Self {
            metrics_endpoint: env.variable("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", text),
            traces_endpoint: None,
            endpoint: env.variable("OTEL_EXPORTER_OTLP_ENDPOINT", text),
            grpc_endpoint: None,
            protocol: env.setting("PROTOCOL", |text| text.trim().parse().map_err(word(text))),
            insecure: env.setting("INSECURE", boolean),
            headers: env.setting("HEADERS", |text| Ok(Headers::parse(text)?)),
            compression: env.setting("COMPRESSION", |text| text.trim().parse().map_err(word(text))),
            timeout: env.setting("TIMEOUT", milliseconds),
            certificate: env.setting("CERTIFICATE", path),
            client_key: env.setting("CLIENT_KEY", path),
            client_certificate: env.setting("CLIENT_CERTIFICATE", path),
            queue_bytes_max: None,
        };
        (values, env.errors)
    }

    /// These values and, where they say nothing, those of `lower`.
    #[must_use]
    pub fn or(self, lower: Self) -> Self {
        Self {
            metrics_endpoint: self.metrics_endpoint.or(lower.metrics_endpoint),
            traces_endpoint: self.traces_endpoint.or(lower.traces_endpoint),
            endpoint: self.endpoint.or(lower.endpoint),
            grpc_endpoint: self.grpc_endpoint.or(lower.grpc_endpoint),
            protocol: self.protocol.or(lower.protocol),
            insecure: self.insecure.or(lower.insecure),
            headers: self.headers.or(lower.headers),
            compression: self.compression.or(lower.compression),
            timeout: self.timeout.or(lower.timeout),
            certificate: self.certificate.or(lower.certificate),
            client_key: self.client_key.or(lower.client_key),
            client_certificate: self.client_certificate.or(lower.client_certificate),
            queue_bytes_max: self.queue_bytes_max.or(lower.queue_bytes_max),
        }
    }

    /// The settings; `None` where no endpoint is set, which means: send nothing.
    ///
    /// # Errors
    ///
    /// An endpoint that cannot be used, or one of certificate and key without the other.
    pub fn resolve(&self) -> Result<Option<Settings>, SettingsError> {
        self.resolve_for(Signal::Metrics, self.metrics_endpoint.as_ref())
    }

    /// The settings of a sender of traces; `None` where neither its own endpoint nor one for all signals is set.
    ///
    /// # Errors
    ///
    /// As [`resolve`](Self::resolve).
    pub fn resolve_traces(&self) -> Result<Option<Settings>, SettingsError> {
        self.resolve_for(Signal::Traces, self.traces_endpoint.as_ref())
    }

    fn resolve_for(
        &self,
        signal: Signal,
        own: Option<&Said<String>>,
    ) -> Result<Option<Settings>, SettingsError> {
        let (said, kind, implied) = match (own, &self.endpoint, &self.grpc_endpoint) {
            (Some(said), ..) => (said, EndpointKind::Signal, Protocol::HttpProtobuf),
            (None, Some(said), _) => (said, EndpointKind::Base, Protocol::HttpProtobuf),
            (None, None, Some(said)) => (said, EndpointKind::Base, Protocol::Grpc),
            (None, None, None) => return Ok(None),
        };
        let protocol = self.protocol.as_ref().map_or(implied, |said| said.value);
        self.settings(signal, said, kind, protocol).map(Some)
    }

    fn settings(
        &self,
        signal: Signal,
        said: &Said<String>,
        kind: EndpointKind,
        protocol: Protocol,
    ) -> Result<Settings, SettingsError> {
        let insecure = self.insecure.as_ref().is_some_and(|said| said.value);
        let endpoint = Endpoint::parse(signal, &said.value, kind, protocol, insecure).map_err(|reason| {
            SettingsError::new(&said.by, SettingsErrorKind::Endpoint { text: shown(&said.value), reason })
        })?;
        let mut settings = Settings::new(endpoint, protocol);
        settings.tls = self.tls()?;
        if let Some(said) = &self.headers {
            settings.headers = said.value.clone();
        }
        if let Some(said) = &self.compression {
            settings.compression = said.value;
        }
        if let Some(said) = &self.timeout {
            settings.timeout = said.value;
        }
        if let Some(said) = &self.queue_bytes_max {
            settings.queue_bytes_max = said.value;
        }
        Ok(settings)
    }

    /// The settings; where no endpoint is set, for a receiver on this machine: port 4317 by gRPC, else 4318.
    ///
    /// # Errors
    ///
    /// As [`resolve`](Self::resolve).
    pub fn resolve_or_local(&self) -> Result<Settings, SettingsError> {
        if let Some(settings) = self.resolve()? {
            return Ok(settings);
        }
        let protocol = self.protocol.as_ref().map_or(Protocol::HttpProtobuf, |said| said.value);
        let local = match protocol {
            Protocol::Grpc => "http://localhost:4317",
            Protocol::HttpProtobuf => "http://localhost:4318",
        };
        let said = Said::new(local.to_owned(), "the default endpoint");
        self.settings(Signal::Metrics, &said, EndpointKind::Base, protocol)
    }

    fn tls(&self) -> Result<Tls, SettingsError> {
        let client = match (&self.client_certificate, &self.client_key) {
            (Some(certificate), Some(key)) => {
                Some(ClientCertificate { certificate: certificate.value.clone(), key: key.value.clone() })
            }
            (Some(said), None) => {
                let missing = SettingsErrorKind::Half("OTEL_EXPORTER_OTLP_CLIENT_KEY");
                return Err(SettingsError::new(&said.by, missing));
            }
            (None, Some(said)) => {
                let missing = SettingsErrorKind::Half("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE");
                return Err(SettingsError::new(&said.by, missing));
            }
            (None, None) => None,
        };
        Ok(Tls { certificate: self.certificate.as_ref().map(|said| said.value.clone()), client })
    }
}

struct Env<'a> {
    lookup: &'a dyn Fn(&str) -> Option<OsString>,
    errors: Vec<SettingsError>,
}

impl Env<'_> {
    /// The variable of metrics or that of all signals.
    fn setting<T>(
        &mut self,
        name: &str,
        read: impl Fn(&str) -> Result<T, SettingsErrorKind>,
    ) -> Option<Said<T>> {
        self.variable(&format!("OTEL_EXPORTER_OTLP_METRICS_{name}"), &read)
            .or_else(|| self.variable(&format!("OTEL_EXPORTER_OTLP_{name}"), &read))
    }

    fn variable<T>(
        &mut self,
        name: &str,
        read: impl Fn(&str) -> Result<T, SettingsErrorKind>,
    ) -> Option<Said<T>> {
        let value = (self.lookup)(name).filter(|value| !value.is_empty())?;
        match value.to_str().ok_or(SettingsErrorKind::NotUtf8).and_then(&read) {
            Ok(value) => Some(Said::new(value, name)),
            Err(kind) => {
                self.errors.push(SettingsError::new(name, kind));
                None
            }
        }
    }
}

#[expect(clippy::unnecessary_wraps, reason = "one of several readers")]
fn text(text: &str) -> Result<String, SettingsErrorKind> {
    Ok(text.to_owned())
}

#[expect(clippy::unnecessary_wraps, reason = "one of several readers")]
fn path(text: &str) -> Result<PathBuf, SettingsErrorKind> {
    Ok(PathBuf::from(text))
}

/// The specification: `true`, in any case, is true; all else is false. What was meant by `yes` or `1` is asked for.
fn boolean(text: &str) -> Result<bool, SettingsErrorKind> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(word(text)("it is true or false".to_owned())),
    }
}

fn milliseconds(text: &str) -> Result<Duration, SettingsErrorKind> {
    match text.trim().parse::<u32>() {
        Ok(number) if number > 0 => Ok(Duration::from_millis(number.into())),
        _ => Err(word(text)("the variable counts milliseconds, in whole numbers above 0".to_owned())),
    }
}

fn word(text: &str) -> impl FnOnce(String) -> SettingsErrorKind {
    let text = text.chars().take(60).collect();
    |expected| SettingsErrorKind::Word { text, expected }
}

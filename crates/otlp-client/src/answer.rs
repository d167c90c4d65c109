//! What receivers answer, and what follows from it.

use std::{
    io::Read as _,
    time::{Duration, SystemTime},
};

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Response, StatusCode, header, response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use crate::{
    Protocol, advice,
    headers::percent_decoded,
    wire::{ExportResponse, Status},
};

/// The longest answer that is read, before and after decompression: 4 MiB.
pub(crate) const ANSWER_BYTES_MAX: usize = 4 << 20;

/// `grpc-status-details-bin` comes with and without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What follows from an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The receiver took the payload, without so many of its points.
    Taken { rejected: u64, message: String },
    /// The receiver was not reached.
    Unreachable { why: String },
    /// The receiver asks to come back, after some time.
    Later { at_least: Option<Duration>, why: String },
    /// The receiver does not know the compression.
    Encoding,
    /// Trying again is not allowed.
    Refused { why: String },
    /// The answer is none.
    Bad { why: String },
}

/// Why a body could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BodyFault {
    /// Longer than [`ANSWER_BYTES_MAX`].
    TooLong,
    /// The connection ended in the middle.
    Cut(String),
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    head: response::Parts,
    body: Result<Bytes, BodyFault>,
    trailers: HeaderMap,
}

impl Answer {
    /// Reads to the end, or to the bound.
    pub(crate) async fn read(response: Response<Incoming>) -> Self {
        let (head, mut incoming) = response.into_parts();
        let (mut bytes, mut trailers) = (BytesMut::new(), HeaderMap::new());
        let body = loop {
            match incoming.frame().await {
                None => break Ok(bytes.freeze()),
                Some(Err(error)) => break Err(BodyFault::Cut(error.to_string())),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if bytes.len() + data.len() > ANSWER_BYTES_MAX => break Err(BodyFault::TooLong),
                    Ok(data) => bytes.extend_from_slice(&data),
                    Err(frame) => trailers.extend(frame.into_trailers().unwrap_or_default()),
                },
            }
        };
        Self { head, body, trailers }
    }

    /// Whether nothing of it is left on the connection.
    pub(crate) const fn is_whole(&self) -> bool {
        self.body.is_ok()
    }

    /// What follows.
    pub(crate) fn verdict(&self, protocol: Protocol, is_compressed: bool) -> Verdict {
        match protocol {
            Protocol::HttpProtobuf => self.of_http(is_compressed),
            Protocol::Grpc => self.of_grpc(is_compressed),
        }
    }

    fn of_http(&self, is_compressed: bool) -> Verdict {
        let status = self.head.status;
        if status.is_success() {
            return self.http_success();
        }
        let message = self.http_message();
        if is_retryable_http(status) {
            let why = format!("it answers {status}{message}");
            return Verdict::Later { at_least: retry_after(&self.head.headers, SystemTime::now()), why };
        }
        if status == StatusCode::UNSUPPORTED_MEDIA_TYPE && is_compressed {
            return Verdict::Encoding;
        }
        let location = self.head.headers.get(header::LOCATION).and_then(|value| value.to_str().ok());
        Verdict::Refused { why: format!("it answers {status}{message}{}", advice::http(status, location)) }
    }

    fn http_success(&self) -> Verdict {
        let taken = Verdict::Taken { rejected: 0, message: String::new() };
        let body = match &self.body {
            Ok(body) => body.clone(),
            Err(fault) => return of_fault(fault),
        };
        let kind =
            self.head.headers.get(header::CONTENT_TYPE).map(|kind| kind.as_bytes().to_ascii_lowercase());
        let kind = kind.as_deref().unwrap_or_default();
        if kind.starts_with(b"text/html") {
            return Verdict::Bad {
                why: "it answers with a web page: nothing takes OTLP there, check host, port and path of the endpoint"
                    .to_owned(),
            };
        }
        let body = match self.head.headers.get(header::CONTENT_ENCODING).map(header::HeaderValue::as_bytes) {
            Some(b"gzip") => match inflated(&body) {
                Ok(body) => body,
                Err(verdict) => return verdict,
            },
            _ => body,
        };
        match ExportResponse::read(&body) {
            Ok(response) => taken_but(response),
            Err(_) if kind.starts_with(b"application/x-protobuf") => malformed(),
            // Some answer with a word, or in JSON.
            Err(_) => taken,
        }
    }

    /// The message of an error, behind a colon: of a `google.rpc.Status`, or the text.
    fn http_message(&self) -> String {
        let Ok(body) = &self.body else { return String::new() };
        let kind = self
            .head
            .headers
            .get(header::CONTENT_TYPE)
            .map(header::HeaderValue::as_bytes)
            .unwrap_or_default();
        let message = match kind {
            kind if kind.starts_with(b"application/x-protobuf") => {
                Status::read(body).map(|status| status.message).unwrap_or_default()
            }
            kind if kind.starts_with(b"text/plain") || kind.starts_with(b"application/json") => {
                String::from_utf8_lossy(body).into_owned()
            }
            _ => String::new(),
        };
        quoted(&message)
    }

    fn of_grpc(&self, is_compressed: bool) -> Verdict {
        let field = |name: &str| self.trailers.get(name).or_else(|| self.head.headers.get(name));
        let status = self.head.status;
        let code = match field("grpc-status")
            .map(|code| code.to_str().ok().and_then(|code| code.parse().ok()))
        {
            Some(code) => code.unwrap_or(UNKNOWN),
            None => {
                return match &self.body {
                    Err(fault) => of_fault(fault),
                    Ok(_) if is_retryable_http(status) => Verdict::Later {
                        at_least: retry_after(&self.head.headers, SystemTime::now()),
                        why: format!("it answers {status}"),
                    },
                    Ok(_) => Verdict::Refused {
                        why: format!("it answers {status} without a gRPC status{}", advice::no_grpc(status)),
                    },
                };
            }
        };
        let details = field("grpc-status-details-bin")
            .and_then(|value| BASE64.decode(value.as_bytes()).ok())
            .and_then(|bytes| Status::read(&bytes).ok())
            .unwrap_or_default();
        let message = field("grpc-message").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let message = quoted(&String::from_utf8_lossy(&percent_decoded(message)));
        match code {
            0 => self.grpc_success(),
            code if is_retryable_grpc(code, details.retry_delay) => Verdict::Later {
                at_least: details.retry_delay,
                why: format!("it answers {}{message}", name(code)),
            },
            UNIMPLEMENTED if is_compressed => Verdict::Encoding,
            code => {
                Verdict::Refused { why: format!("it answers {}{message}{}", name(code), advice::grpc(code)) }
            }
        }
    }

    fn grpc_success(&self) -> Verdict {
        let body = match &self.body {
            Ok(body) => body,
            Err(fault) => return of_fault(fault),
        };
        let Some((prefix, message)) = body.split_at_checked(5) else { return malformed() };
        let len = u32::from_be_bytes([prefix[1], prefix[2], prefix[3], prefix[4]]) as usize;
        if len != message.len() {
            return malformed();
        }
        let message = match prefix[0] {
            0 => Bytes::copy_from_slice(message),
            _ => match inflated(message) {
                Ok(message) => message,
                Err(verdict) => return verdict,
            },
        };
        ExportResponse::read(&message).map_or_else(|_| malformed(), taken_but)
    }
}

fn taken_but(response: ExportResponse) -> Verdict {
    Verdict::Taken { rejected: response.rejected, message: quoted(&response.message) }
}

fn of_fault(fault: &BodyFault) -> Verdict {
    match fault {
        BodyFault::TooLong => too_long(),
        BodyFault::Cut(error) => Verdict::Unreachable { why: format!("its answer broke off: {error}") },
    }
}

fn too_long() -> Verdict {
    let why = format!(
        "its answer is longer than {} MiB: what listens there is no OTLP receiver, check the endpoint",
        ANSWER_BYTES_MAX >> 20
    );
    Verdict::Bad { why }
}

fn malformed() -> Verdict {
    let why = "its answer is none of OTLP: check host, port and path of the endpoint".to_owned();
    Verdict::Bad { why }
}

fn inflated(bytes: &[u8]) -> Result<Bytes, Verdict> {
    let mut plain = Vec::new();
    let bound = ANSWER_BYTES_MAX as u64 + 1;
    match flate2::read::GzDecoder::new(bytes).take(bound).read_to_end(&mut plain) {
        Ok(len) if len > ANSWER_BYTES_MAX => Err(too_long()),
        Ok(_) => Ok(plain.into()),
        Err(_) => Err(malformed()),
    }
}

/// What a receiver wrote, behind a colon, fit for a log: one line, not long; nothing where it wrote nothing.
fn quoted(message: &str) -> String {
    let message = message.trim();
    if message.is_empty() {
        return String::new();
    }
    let cut: String = message.chars().take(200).collect();
    let more = if cut.len() < message.len() { "…" } else { "" };
    format!(": {}{more}", cut.escape_debug().to_string().replace("\\\"", "\"").replace("\\'", "'"))
}

const UNKNOWN: u16 = 2;
const UNIMPLEMENTED: u16 = 12;
const RESOURCE_EXHAUSTED: u16 = 8;

/// The statuses of HTTP after which the specification wants another try.
fn is_retryable_http(status: StatusCode) -> bool {
    matches!(status.as_u16(), 429 | 502 | 503 | 504)
}

/// The codes of gRPC after which the specification wants another try: CANCELLED, DEADLINE_EXCEEDED, ABORTED,
/// OUT_OF_RANGE, UNAVAILABLE, DATA_LOSS, and RESOURCE_EXHAUSTED where the receiver says that it will recover.
const fn is_retryable_grpc(code: u16, retry_delay: Option<Duration>) -> bool {
    matches!(code, 1 | 4 | 10 | 11 | 14 | 15) || (code == RESOURCE_EXHAUSTED && retry_delay.is_some())
}

fn name(code: u16) -> String {
    const NAMES: [&str; 17] = [
        "OK",
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    ];
    NAMES.get(usize::from(code)).map_or_else(|| format!("gRPC status {code}"), |name| (*name).to_owned())
}

/// `Retry-After`: seconds, or a date. A date that has passed means now.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codes_that_allow_another_try_are_exactly_those_of_the_specification() {
        let grpc = |delay| (0..=17).filter(|code| is_retryable_grpc(*code, delay)).collect::<Vec<_>>();
        assert_eq!(grpc(None), [1, 4, 10, 11, 14, 15]);
        assert_eq!(grpc(Some(Duration::ZERO)), [1, 4, 8, 10, 11, 14, 15]);
        let http = (100..1000)
            .filter_map(|status| StatusCode::from_u16(status).ok())
            .filter(|status| is_retryable_http(*status))
            .map(|status| status.as_u16());
        assert_eq!(http.collect::<Vec<_>>(), [429, 502, 503, 504]);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let read = |text: &str| {
            let headers = HeaderMap::from_iter([(header::RETRY_AFTER, text.parse().expect("a value"))]);
            retry_after(&headers, now)
        };
        assert_eq!(read("120"), Some(Duration::from_secs(120)));
        assert_eq!(read("Sun, 09 Sep 2001 01:46:50 GMT"), Some(Duration::from_secs(10)));
        assert_eq!(read("Sun, 09 Sep 2001 01:46:30 GMT"), Some(Duration::ZERO));
        assert_eq!(read("soon"), None);
        assert_eq!(read("-1"), None);
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }

    #[test]
    fn what_receivers_write_is_one_short_line() {
        assert_eq!(quoted(" \n"), "");
        assert_eq!(quoted("it's \"full\"\nnow"), ": it's \"full\"\\nnow");
        assert_eq!(quoted(&"x".repeat(300)).chars().count(), 203);
    }
}

//! What to do when a receiver cannot be reached or refuses: one sentence for each thing that a person can mend.

use std::{error::Error, io};

use http::StatusCode;
use tokio_rustls::rustls::{CertificateError, Error as TlsError};

use crate::{Endpoint, Protocol};

const CHECK_HEADERS: &str = "; check the headers (OTEL_EXPORTER_OTLP_HEADERS)";
const NOTHING_THERE: &str = "; nothing takes what is sent there: check the endpoint, and that the receiver is switched on \
                             (Prometheus 3: --web.enable-otlp-receiver)";

/// After a status of HTTP; begins with a separator.
pub(crate) fn http(status: StatusCode, location: Option<&str>) -> String {
    match (status.as_u16(), location) {
        (301..=308, Some(location)) => {
            format!(
                "; it redirects to {}, name that as the endpoint",
                crate::endpoint::shown(location).escape_debug()
            )
        }
        (401 | 403 | 407, _) => CHECK_HEADERS.to_owned(),
        (404 | 405 | 501, _) => NOTHING_THERE.to_owned(),
        (413, _) => "; it takes smaller requests only: raise its limit to 4 MiB".to_owned(),
        (415, _) => "; it takes no protobuf: check the endpoint's path".to_owned(),
        _ => "; its log says why".to_owned(),
    }
}

/// After a code of gRPC; begins with a separator.
pub(crate) const fn grpc(code: u16) -> &'static str {
    match code {
        7 | 16 => CHECK_HEADERS,
        12 => NOTHING_THERE,
        8 => "; it takes smaller messages only, or no more of them: raise its limits",
        _ => "; its log says why",
    }
}

/// After an answer of something that speaks no gRPC; begins with a separator.
pub(crate) const fn no_grpc(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 | 403 | 407 => CHECK_HEADERS,
        _ => {
            "; what listens there speaks no gRPC: name its gRPC port, often 4317, or set the protocol to http/protobuf"
        }
    }
}

/// For a name without an address, or a connection that was not made or broke: without the endpoint.
pub(crate) fn connection(endpoint: &Endpoint, protocol: Protocol, error: &(dyn Error + 'static)) -> String {
    if let Some(error) = find::<TlsError>(error) {
        return of_tls(endpoint, error);
    }
    if find::<hyper::Error>(error).is_some_and(hyper::Error::is_parse) {
        return "what listens there speaks no HTTP/1: is it the gRPC port? Set the protocol to grpc, or name the port of HTTP, often 4318".to_owned();
    }
    // h2 keeps of an error below it only the words.
    let words = last(error);
    if let Some(alert) = words.strip_prefix("received fatal alert: ") {
        return of_alert(alert);
    }
    let kind = find::<io::Error>(error).map(io::Error::kind);
    match kind {
        Some(io::ErrorKind::ConnectionRefused) => {
            "nobody listens there: start the receiver, or name another endpoint".to_owned()
        }
        Some(io::ErrorKind::TimedOut) => {
            "it does not accept connections: is it up, is a firewall between?".to_owned()
        }
        Some(io::ErrorKind::NotFound) => format!("no address is known for {:?}: check the name", endpoint.host()),
        _ if protocol == Protocol::Grpc && is_of_http2(error) => {
            "what listens there speaks no HTTP/2: name its gRPC port, often 4317, or set the protocol to http/protobuf".to_owned()
        }
        _ if protocol == Protocol::Grpc => {
            format!("the connection broke: {words}; if that stays so, check that its gRPC port is named, often 4317")
        }
        _ => format!("the connection broke: {words}"),
    }
}

fn of_tls(endpoint: &Endpoint, error: &TlsError) -> String {
    match error {
        TlsError::InvalidCertificate(fault) => match fault {
            // Authorities may have one name and different keys.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                "its certificate comes from no authority that is trusted: name its authority's file (OTEL_EXPORTER_OTLP_CERTIFICATE)".to_owned()
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "its certificate has expired: renew it, or set this machine's clock if that is wrong".to_owned()
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "its certificate is not valid yet: set this machine's clock".to_owned()
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                format!("its certificate is for another name than {:?}: write the endpoint with that", endpoint.host())
            }
            fault => format!("its certificate cannot be used: {fault}"),
        },
        TlsError::AlertReceived(alert) => of_alert(&format!("{alert:?}")),
        TlsError::InvalidMessage(_) => "what listens there speaks no TLS: write http:// instead of https://".to_owned(),
        error => format!("TLS failed: {error}"),
    }
}

fn of_alert(alert: &str) -> String {
    format!(
        "it ended TLS ({alert}): does it want another client certificate (OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE and \
         _CLIENT_KEY)?"
    )
}

/// Whether it was the other side's HTTP/2 that was wrong, and no cut connection.
fn is_of_http2(error: &(dyn Error + 'static)) -> bool {
    find::<hyper::Error>(error).is_some()
        && find::<io::Error>(error).is_none()
        && last(error).contains("http2")
}

/// The innermost error's words: the outer ones only say that something failed.
fn last(error: &(dyn Error + 'static)) -> String {
    let mut error = error;
    while let Some(inner) = error.source() {
        error = inner;
    }
    error.to_string()
}

/// The first error of a kind in a chain. An `io::Error` hides the one that it was made of from `source`.
fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = match inner {
            Some(inner) => Some(inner as &(dyn Error + 'static)),
            None => error.source(),
        };
    }
    None
}

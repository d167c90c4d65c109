//! What fuzzing calls: a function panics where the parser breaks a promise.

use crate::{
    Endpoint, Headers, Protocol,
    endpoint::{EndpointKind, shown},
    wire::{ExportResponse, Status},
};

/// The message of an answer: what is read, written again, is read as the same.
pub fn answer(data: &[u8]) {
    if let Ok(response) = ExportResponse::read(data) {
        let mut partial = vec![0x08];
        varint(&mut partial, response.rejected);
        text(&mut partial, 2, &response.message);
        let mut written = Vec::new();
        bytes(&mut written, 1, &partial);
        assert_eq!(ExportResponse::read(&written), Ok(response));
    }
    if let Ok(status) = Status::read(data) {
        let mut written = Vec::new();
        text(&mut written, 2, &status.message);
        if let Some(delay) = status.retry_delay {
            let (mut duration, mut info, mut any) = (vec![0x08], Vec::new(), Vec::new());
            varint(&mut duration, delay.as_secs());
            duration.push(0x10);
            varint(&mut duration, delay.subsec_nanos().into());
            bytes(&mut info, 1, &duration);
            text(&mut any, 1, "type.googleapis.com/google.rpc.RetryInfo");
            bytes(&mut any, 2, &info);
            bytes(&mut written, 3, &any);
        }
        assert_eq!(Status::read(&written), Ok(status));
    }
}

/// `OTEL_EXPORTER_OTLP_HEADERS`: the same, and no value is shown.
pub fn headers(data: &[u8]) {
    let Ok(raw) = std::str::from_utf8(data) else { return };
    let Ok(headers) = Headers::parse(raw) else { return };
    let escaped = |bytes: &[u8]| bytes.iter().map(|byte| format!("%{byte:02x}")).collect::<String>();
    let pair = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        format!("{}={}", escaped(name.as_str().as_bytes()), escaped(value.as_bytes()))
    };
    let written: Vec<String> = headers.iter().map(pair).collect();
    assert_eq!(Headers::parse(&written.join(",")).as_ref(), Ok(&headers), "{raw:?}");
    let expect: Vec<String> = headers.names().map(|name| format!("{name}=<hidden>")).collect();
    assert_eq!(headers.to_string(), expect.join(","));
}

/// `OTEL_EXPORTER_OTLP_ENDPOINT`: what is shown means the same place, without its secrets.
pub fn endpoint(data: &[u8]) {
    let Ok(raw) = std::str::from_utf8(data) else { return };
    let shown = shown(raw);
    assert!(!shown.contains(['?', '#']), "{raw:?}: {shown:?}");
    for (protocol, kind) in [
        (Protocol::Grpc, EndpointKind::Base),
        (Protocol::HttpProtobuf, EndpointKind::Base),
        (Protocol::HttpProtobuf, EndpointKind::Signal),
    ] {
        let Ok(endpoint) = Endpoint::parse(crate::Signal::Metrics, raw, kind, protocol, false) else {
            continue;
        };
        let text = endpoint.to_string();
        assert!(!text.contains(['?', '@']) || endpoint.path().contains('@'), "{raw:?}: {text:?}");
        let again = Endpoint::parse(crate::Signal::Metrics, &text, EndpointKind::Signal, protocol, false)
            .expect("its own text");
        let place = |endpoint: &Endpoint| {
            (endpoint.is_tls(), endpoint.host().to_owned(), endpoint.port(), endpoint.path().to_owned())
        };
        assert_eq!(place(&again), place(&endpoint), "{raw:?}: {text:?}");
    }
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn bytes(out: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    out.push(number << 3 | 2);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn text(out: &mut Vec<u8>, number: u8, text: &str) {
    bytes(out, number, text.as_bytes());
}

//! Requests: their heads, their compression, their bodies.

use std::{
    convert::Infallible,
    io::{self, Write as _},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{BufMut as _, Bytes, BytesMut};
use flate2::write::GzEncoder;
use http::{HeaderMap, HeaderValue, Request, header};
use hyper::body::{Body, Frame, SizeHint};
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

use crate::{Compression, Protocol, Settings};

/// Who is asking, unless a person's headers say otherwise.
const USER_AGENT: &str = concat!("otlp-client/", env!("CARGO_PKG_VERSION"));
/// The most bytes that are compressed before other tasks of the thread have their turn: about a millisecond's work.
const COMPRESSED_AT_ONCE: usize = 64 << 10;

/// What all requests of some settings have in common.
#[derive(Debug)]
pub(crate) struct Head {
    uri: String,
    headers: HeaderMap,
    protocol: Protocol,
}

impl Head {
    pub(crate) fn new(settings: &Settings) -> Self {
        let Settings { endpoint, protocol, .. } = settings;
        let mut headers = HeaderMap::new();
        headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        if let Some(value) = endpoint.authorization() {
            headers.insert(header::AUTHORIZATION, value.clone());
        }
        for (name, value) in settings.headers.iter() {
            headers.insert(name, value.clone());
        }
        let uri = match protocol {
            Protocol::HttpProtobuf => {
                headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
                if let Ok(host) = HeaderValue::try_from(endpoint.authority()) {
                    headers.insert(header::HOST, host);
                }
                endpoint.path_and_query()
            }
            Protocol::Grpc => {
                headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
                headers.insert(header::TE, HeaderValue::from_static("trailers"));
                headers.insert("grpc-accept-encoding", HeaderValue::from_static("identity,gzip"));
                let scheme = if endpoint.is_tls() { "https" } else { "http" };
                format!("{scheme}://{}{}", endpoint.authority(), endpoint.path())
            }
        };
        Self { uri, headers, protocol: *protocol }
    }

    /// One attempt, which has so much time.
    pub(crate) fn request(
        &self,
        body: &Bytes,
        compression: Compression,
        time: Duration,
    ) -> Result<Request<RequestBody>, http::Error> {
        let mut request =
            Request::post(&self.uri).body(RequestBody::new(self.protocol, body, compression))?;
        *request.headers_mut() = self.headers.clone();
        let headers = request.headers_mut();
        let encoding = match self.protocol {
            Protocol::Grpc => {
                // At most eight digits; what is left counts in whole milliseconds.
                let time = format!("{}m", time.as_millis().clamp(1, 99_999_999));
                headers.insert("grpc-timeout", HeaderValue::try_from(time)?);
                header::HeaderName::from_static("grpc-encoding")
            }
            Protocol::HttpProtobuf => header::CONTENT_ENCODING,
        };
        if compression != Compression::None {
            headers.insert(encoding, HeaderValue::from_static(compression.as_str()));
        }
        Ok(request)
    }
}

/// Compresses; other tasks have their turns meanwhile.
pub(crate) async fn compressed(body: Bytes, compression: Compression) -> io::Result<Bytes> {
    match compression {
        Compression::None => Ok(body),
        Compression::Gzip => {
            let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 8), flate2::Compression::fast());
            for piece in body.chunks(COMPRESSED_AT_ONCE) {
                encoder.write_all(piece)?;
                tokio::task::yield_now().await;
            }
            encoder.finish().map(Bytes::from)
        }
        Compression::Zstd => {
            // In one go only, so on a thread where it holds nobody up.
            let work = move || Bytes::from(compress_to_vec(&*body, CompressionLevel::Fastest));
            tokio::task::spawn_blocking(work).await.map_err(io::Error::other)
        }
    }
}

/// The body of a request; by gRPC with the five bytes before the message.
#[derive(Debug)]
pub(crate) struct RequestBody {
    prefix: Bytes,
    message: Bytes,
}

impl RequestBody {
    fn new(protocol: Protocol, message: &Bytes, compression: Compression) -> Self {
        let mut prefix = BytesMut::new();
        if protocol == Protocol::Grpc {
            prefix.put_u8(u8::from(compression != Compression::None));
            // A compressed payload is hardly larger than its bound, which is far below 4 GiB.
            prefix.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
        }
        Self { prefix: prefix.freeze(), message: message.clone() }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let mut next = std::mem::take(&mut self.prefix);
        if next.is_empty() {
            next = std::mem::take(&mut self.message);
        }
        Poll::Ready((!next.is_empty()).then(|| Ok(Frame::data(next))))
    }

    fn is_end_stream(&self) -> bool {
        self.prefix.is_empty() && self.message.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact((self.prefix.len() + self.message.len()) as u64)
    }
}

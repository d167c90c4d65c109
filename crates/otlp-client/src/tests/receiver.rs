//! A receiver that does what it is told to.

use std::{
    collections::VecDeque,
    convert::Infallible,
    io::{self, Read as _},
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_STANDARD_NO_PAD};
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, Full, combinators::UnsyncBoxBody};
use hyper::{
    body::{Frame, Incoming},
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{sync::Notify, time::Instant};

use crate::{
    Endpoint, Protocol,
    link::{Dial, Stream},
};

/// What is done with one request.
#[derive(Debug, Clone)]
pub(super) enum Reply {
    /// An empty answer: everything was taken.
    Taken,
    /// A part was taken.
    Partial { rejected: i64, message: &'static str },
    /// By HTTP.
    Status(u16, Vec<(&'static str, String)>),
    /// The same with five mebibytes.
    LongStatus(u16),
    /// By gRPC; with a `RetryInfo` of so long.
    Code(u16, Option<Duration>),
    /// A success by HTTP, or a message by gRPC, of these bytes.
    Body(Bytes, Vec<(&'static str, String)>),
    /// The connection ends before an answer.
    Cut,
    /// The connection ends within the body of a success.
    CutBody,
    /// This, after some time.
    After(Duration, Box<Reply>),
    /// No answer, ever.
    Silence,
}

/// A request as it came.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) at: Instant,
    pub(super) uri: String,
    pub(super) headers: HeaderMap,
    /// Without gRPC's prefix, decompressed.
    pub(super) message: Bytes,
}

/// What a connection attempt meets.
#[derive(Debug, Clone, Copy)]
pub(super) enum Door {
    /// Nobody listens.
    Refused,
    /// Nothing comes back.
    Blackhole,
}

pub(super) struct Receiver {
    protocol: Protocol,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    replies: VecDeque<Reply>,
    /// After the replies.
    always: Option<Reply>,
    doors: VecDeque<Door>,
    always_door: Option<Door>,
    seen: Vec<Seen>,
    dials: Vec<(Instant, String)>,
    /// The kept connections' ends.
    closers: Vec<Arc<Notify>>,
    /// The far ends of what goes nowhere.
    unread: Vec<tokio::io::DuplexStream>,
}

type Body = UnsyncBoxBody<Bytes, io::Error>;

impl Receiver {
    pub(super) fn new(protocol: Protocol, replies: impl IntoIterator<Item = Reply>) -> Self {
        let state = State { replies: replies.into_iter().collect(), ..State::default() };
        Self { protocol, state: Mutex::new(state) }
    }

    /// Answers this from now on.
    pub(super) fn always(&self, reply: Option<Reply>) {
        self.state.lock().expect("state").always = reply;
    }

    /// What the next connections meet; those after them are made.
    pub(super) fn doors(&self, doors: impl IntoIterator<Item = Door>) {
        self.state.lock().expect("state").doors = doors.into_iter().collect();
    }

    /// What connections meet from now on.
    pub(super) fn always_door(&self, door: Option<Door>) {
        self.state.lock().expect("state").always_door = door;
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.state.lock().expect("state").seen.clone()
    }

    /// When and to where connections were made.
    pub(super) fn dials(&self) -> Vec<(Instant, String)> {
        self.state.lock().expect("state").dials.clone()
    }

    /// Ends the connections that are open.
    pub(super) fn close_all(&self) {
        for closer in self.state.lock().expect("state").closers.drain(..) {
            closer.notify_one();
        }
    }

    /// Serves one connection to its end.
    pub(super) async fn serve(self: Arc<Self>, stream: impl Stream + 'static) {
        let cut = Arc::new(Notify::new());
        self.state.lock().expect("state").closers.push(cut.clone());
        let protocol = self.protocol;
        let service = {
            let cut = cut.clone();
            service_fn(move |request| self.clone().answer(request, cut.clone()))
        };
        let io = TokioIo::new(stream);
        let connection: Pin<Box<dyn Future<Output = ()> + Send>> = match protocol {
            Protocol::HttpProtobuf => Box::pin(async move {
                let _ = http1::Builder::new().serve_connection(io, service).await;
            }),
            Protocol::Grpc => Box::pin(async move {
                let _ = http2::Builder::new(TokioExecutor::new()).serve_connection(io, service).await;
            }),
        };
        tokio::select! {
            () = connection => {}
            () = cut.notified() => {}
        }
    }

    async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
        cut: Arc<Notify>,
    ) -> Result<Response<Body>, Infallible> {
        let (head, body) = request.into_parts();
        let Ok(body) = body.collect().await else {
            // The client is gone.
            return std::future::pending().await;
        };
        let message = message(self.protocol, &head.headers, body.to_bytes());
        let seen = Seen { at: Instant::now(), uri: head.uri.to_string(), headers: head.headers, message };
        let reply = {
            let mut state = self.state.lock().expect("state");
            state.seen.push(seen);
            let next = state.replies.pop_front().or_else(|| state.always.clone());
            next.unwrap_or(Reply::Taken)
        };
        let reply = match reply {
            Reply::After(time, reply) => {
                tokio::time::sleep(time).await;
                *reply
            }
            reply => reply,
        };
        Ok(match self.protocol {
            Protocol::HttpProtobuf => http_response(reply, &cut).await,
            Protocol::Grpc => grpc_response(reply, &cut).await,
        })
    }
}

/// Its connections, within the process.
pub(super) struct Inside(pub(super) Arc<Receiver>);

impl Dial for Inside {
    fn dial<'a>(
        &'a self,
        endpoint: &'a Endpoint,
        _: Duration,
    ) -> Pin<Box<dyn Future<Output = io::Result<Box<dyn Stream>>> + Send + 'a>> {
        let door = {
            let mut state = self.0.state.lock().expect("state");
            state.dials.push((Instant::now(), endpoint.to_string()));
            let next = state.doors.pop_front();
            next.or(state.always_door)
        };
        let receiver = self.0.clone();
        Box::pin(async move {
            match door {
                Some(Door::Refused) => Err(io::ErrorKind::ConnectionRefused.into()),
                Some(Door::Blackhole) => {
                    // Its other end is kept and never read.
                    let (ours, theirs) = tokio::io::duplex(16 << 10);
                    receiver.state.lock().expect("state").unread.push(theirs);
                    Ok(Box::new(ours) as Box<dyn Stream>)
                }
                None => {
                    let (ours, theirs) = tokio::io::duplex(64 << 10);
                    tokio::spawn(receiver.serve(theirs));
                    Ok(Box::new(ours) as Box<dyn Stream>)
                }
            }
        })
    }
}

async fn http_response(reply: Reply, cut: &Notify) -> Response<Body> {
    let (status, headers, body) = match reply {
        Reply::Taken => (200, Vec::new(), full(Bytes::new())),
        Reply::Partial { rejected, message } => (
            200,
            vec![("content-type", "application/x-protobuf".to_owned())],
            full(partial(rejected, message)),
        ),
        Reply::Status(status, headers) => (status, headers, full(Bytes::new())),
        Reply::LongStatus(status) => (status, Vec::new(), full(vec![b' '; 5 << 20].into())),
        Reply::Body(body, headers) => (200, headers, full(body)),
        Reply::Code(..) => panic!("a code of gRPC by HTTP"),
        Reply::After(..) => panic!("one after the other"),
        Reply::Cut => return cut_off(cut).await,
        Reply::CutBody => {
            let pieces =
                [Ok(Frame::data(Bytes::from_static(b"\x0a"))), Err(io::ErrorKind::BrokenPipe.into())];
            (200, vec![("content-length", "100".to_owned())], stream(pieces))
        }
        Reply::Silence => return std::future::pending().await,
    };
    response(status, headers, body)
}

async fn grpc_response(reply: Reply, cut: &Notify) -> Response<Body> {
    let grpc = || vec![("content-type", "application/grpc".to_owned())];
    let with_trailers = |message: &[u8], flag: u8, headers| {
        let mut framed = vec![flag];
        framed.extend_from_slice(&u32::try_from(message.len()).expect("short").to_be_bytes());
        framed.extend_from_slice(message);
        let trailers =
            HeaderMap::from_iter([("grpc-status".parse().expect("a name"), "0".parse().expect("a value"))]);
        response(200, headers, stream([Ok(Frame::data(framed.into())), Ok(Frame::trailers(trailers))]))
    };
    match reply {
        Reply::Taken => with_trailers(b"", 0, grpc()),
        Reply::Partial { rejected, message } => with_trailers(&partial(rejected, message), 0, grpc()),
        Reply::Body(body, headers) => {
            let flag = u8::from(headers.iter().any(|(name, _)| *name == "grpc-encoding"));
            with_trailers(&body, flag, headers)
        }
        Reply::Code(code, delay) => {
            let mut headers = grpc();
            headers.push(("grpc-status", code.to_string()));
            headers.push(("grpc-message", "told%20to".to_owned()));
            if let Some(delay) = delay {
                headers.push((
                    "grpc-status-details-bin",
                    BASE64_STANDARD_NO_PAD.encode(retry_info(code, delay)),
                ));
            }
            response(200, headers, full(Bytes::new()))
        }
        Reply::Status(status, headers) => response(status, headers, full(Bytes::new())),
        Reply::LongStatus(_) => panic!("a body by gRPC is a message"),
        Reply::After(..) => panic!("one after the other"),
        Reply::Cut => cut_off(cut).await,
        Reply::CutBody => {
            let pieces =
                [Ok(Frame::data(Bytes::from_static(b"\0\0"))), Err(io::ErrorKind::BrokenPipe.into())];
            response(200, grpc(), stream(pieces))
        }
        Reply::Silence => std::future::pending().await,
    }
}

async fn cut_off(cut: &Notify) -> Response<Body> {
    cut.notify_one();
    std::future::pending().await
}

fn response(status: u16, headers: Vec<(&'static str, String)>, body: Body) -> Response<Body> {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(name, value);
    }
    response.body(body).expect("a response")
}

fn full(bytes: Bytes) -> Body {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

fn stream<const N: usize>(frames: [io::Result<Frame<Bytes>>; N]) -> Body {
    struct Frames<const N: usize>(std::array::IntoIter<io::Result<Frame<Bytes>>, N>);
    impl<const N: usize> hyper::body::Body for Frames<N> {
        type Data = Bytes;
        type Error = io::Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<io::Result<Frame<Bytes>>>> {
            std::task::Poll::Ready(self.0.next())
        }
    }
    Frames(frames.into_iter()).boxed_unsync()
}

fn message(protocol: Protocol, headers: &HeaderMap, body: Bytes) -> Bytes {
    let (encoding, body) = match protocol {
        Protocol::HttpProtobuf => ("content-encoding", body),
        Protocol::Grpc => {
            let len = u32::from_be_bytes(body[1..5].try_into().expect("four bytes")) as usize;
            assert_eq!(body.len(), len + 5, "one message");
            assert_eq!(body[0] == 1, headers.contains_key("grpc-encoding"), "the flag");
            ("grpc-encoding", body.slice(5..))
        }
    };
    let mut plain = Vec::new();
    match headers.get(encoding).map(|value| value.to_str().expect("text")) {
        None => return body,
        Some("gzip") => flate2::read::GzDecoder::new(&*body).read_to_end(&mut plain).expect("gzip"),
        Some("zstd") => {
            let decoder = ruzstd::decoding::StreamingDecoder::new(&*body);
            decoder.expect("zstd").read_to_end(&mut plain).expect("zstd")
        }
        Some(other) => panic!("{other}"),
    };
    plain.into()
}

/// Protobuf, written by hand: a field of bytes.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    varint(&mut out, bytes.len() as u64);
    out.extend_from_slice(bytes);
    out
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn number(number: u8, value: u64) -> Vec<u8> {
    let mut out = vec![number << 3];
    varint(&mut out, value);
    out
}

/// An `ExportMetricsServiceResponse`.
pub(super) fn partial(rejected: i64, message: &str) -> Bytes {
    field(1, &[number(1, rejected.cast_unsigned()), field(2, message.as_bytes())].concat()).into()
}

/// A `google.rpc.Status` with a `DebugInfo` and a `RetryInfo`.
fn retry_info(code: u16, delay: Duration) -> Vec<u8> {
    let duration = [number(1, delay.as_secs()), number(2, delay.subsec_nanos().into())].concat();
    let any = |name: &str, value: &[u8]| {
        field(
            3,
            &[field(1, format!("type.googleapis.com/google.rpc.{name}").as_bytes()), field(2, value)]
                .concat(),
        )
    };
    [
        number(1, code.into()),
        field(2, b"told to"),
        any("DebugInfo", b""),
        any("RetryInfo", &field(1, &duration)),
    ]
    .concat()
}

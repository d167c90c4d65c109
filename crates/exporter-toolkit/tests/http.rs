//! What every HTTP client may expect: statuses, methods, heads, encodings.

mod common;

use std::io::Read;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use common::{Reply, Running};
use exporter_toolkit::{
    BindErrorKind, Body, Builder, Compression, Method, Refusal, Response, Route, Server, Status,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// 300,000 bytes in pieces of 1,000, of which gzip leaves several pieces.
fn page() -> impl Iterator<Item = Vec<u8>> + Send {
    let line = |n: u32| format!("{:0>9}\n", n.wrapping_mul(2_654_435_761) % 1_000_000_000);
    (0..300_u32).map(move |n| (0..100).map(|m| line(n * 100 + m)).collect::<String>().into_bytes())
}

fn whole_page() -> Vec<u8> {
    page().flatten().collect()
}

fn exporter() -> Builder {
    Server::builder()
        .get("/", async |_| Response::text("hello\n"))
        .get("/chunks", async |_| Response::new(Body::chunks(page())).content_type("text/plain"))
        .route(
            Route::get("/gzip", async |_| Response::new(Body::chunks(page())))
                .compression(Compression::Always),
        )
        .route(
            Route::get("/full", async |_| Response::new(Body::full(whole_page())))
                .compression(Compression::Always),
        )
        .route(
            Route::get("/never", async |_| Response::new(Body::chunks(page())))
                .compression(Compression::Never),
        )
        .get("/empty", async |_| Response::new(Body::Empty).status(Status::new(204).unwrap_or(Status::OK)))
        .get("/holes", async |_| Response::new(Body::chunks(["a", "", "", "b"])))
        .get("/echo", async |request| {
            let pairs: Vec<String> = request.query.iter().map(|(k, v)| format!("{k}→{v}")).collect();
            let agent = request.headers.get("User-Agent").unwrap_or("nobody").to_owned();
            Response::text(format!(
                "{:?} {} {pairs:?} {agent} {}",
                request.method,
                request.path,
                request.peer.ip()
            ))
        })
        .get("/header", async |_| Response::text("x").header("x-one", "1").header("bad\r\nname", "2"))
        .get("/boom", async |request| {
            // Not known to the compiler, or it would complain about what follows.
            if request.method == Method::Get {
                panic!("a handler's mistake")
            }
            Response::text("no")
        })
        .get("/late-boom", async |_| {
            Response::new(Body::chunks((0..10).map(|n| {
                assert!(n < 5, "a body's mistake");
                vec![b'x'; 100_000]
            })))
        })
}

#[tokio::test]
async fn statuses_by_path_and_method() {
    let server = Running::start(exporter());
    let check = async |method: &str, target: &str, status: u16| {
        let reply = server.request(method, target, "").await;
        assert_eq!(reply.status(), Some(status), "{method} {target}: {reply:?}");
        reply
    };
    assert_eq!(check("GET", "/", 200).await.text(), "hello\n");
    check("GET", "/nowhere", 404).await;
    check("GET", "/chunks/", 404).await;
    check("GET", "//", 404).await;
    check("GET", "http://elsewhere/chunks", 200).await;
    check("OPTIONS", "*", 404).await;
    check("CONNECT", "host:1", 404).await;
    check("POST", "/nowhere", 404).await;
    assert_eq!(check("POST", "/", 405).await.header("allow").as_deref(), Some("GET, HEAD"));
    check("BREW", "/", 405).await;
    check("GET", "/empty", 204).await;
    check("GET", "/header", 500).await;
    assert_eq!(check("GET", "/holes", 200).await.text(), "ab");
    assert_eq!(
        check("GET", "/echo?a=1&b=%20x&&c", 200).await.text(),
        r#"Get /echo ["a→1", "b→ x", "c→"] nobody 127.0.0.1"#
    );
    let stats = server.stats.snapshot();
    let by_class =
        |path: Option<&str>| stats.routes.iter().find(|r| r.path.as_deref() == path).map(|r| r.by_class);
    assert_eq!(by_class(Some("/")), Some([0, 1, 0, 2, 0]));
    assert_eq!(by_class(None), Some([0, 0, 0, 6, 0]));
    assert_eq!(by_class(Some("/header")), Some([0, 0, 0, 0, 1]));
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let server = Running::start(exporter());
    for target in ["/", "/chunks", "/gzip", "/full", "/nowhere"] {
        let (get, head) = (server.request("GET", target, "").await, server.request("HEAD", target, "").await);
        // RFC 9112 section 6.1 lets an answer to HEAD leave transfer-encoding out, and hyper does.
        let same: Vec<String> =
            get.head().into_iter().filter(|line| !line.starts_with("transfer-encoding")).collect();
        assert_eq!(head.head(), same, "{target}");
        assert_eq!(
            head.0.len(),
            head.head().join("\r\n").len() + 4 + "\r\ndate: ".len() + 29,
            "{target}: {head:?}"
        );
    }
    assert_eq!(server.request("HEAD", "/", "").await.header("content-length").as_deref(), Some("6"));
}

#[tokio::test]
async fn a_panic_costs_one_response() {
    let server = Running::start(exporter());
    assert_eq!(server.request("GET", "/boom", "").await.status(), Some(500));
    let broken = server.request("GET", "/late-boom", "").await;
    assert_eq!((broken.status(), broken.body()), (Some(200), None), "a client must see that it broke off");
    assert_eq!(server.stats.snapshot().panics, 2);
    assert_eq!(server.request("GET", "/", "").await.text(), "hello\n");
}

#[tokio::test]
async fn gzip_comes_back_as_the_page() {
    let server = Running::start(exporter());
    let gunzip = |reply: &Reply| {
        let mut out = Vec::new();
        let body = reply.body().expect("a whole body");
        flate2::read::GzDecoder::new(&body[..]).read_to_end(&mut out).expect("a gzip stream");
        out
    };
    // Several times, since the compressor's state is used again.
    for target in ["/gzip", "/full", "/gzip", "/full"] {
        let reply = server.request("GET", target, "accept-encoding: gzip\r\n").await;
        assert_eq!(reply.header("content-encoding").as_deref(), Some("gzip"), "{target}");
        assert_eq!(reply.header("content-length"), None);
        assert_eq!(reply.header("vary").as_deref(), Some("Accept-Encoding"));
        assert!((100_000..200_000).contains(&reply.0.len()), "{}", reply.0.len());
        assert_eq!(gunzip(&reply), whole_page(), "{target}");
    }
    let plain = async |target: &str, headers: &str, vary: Option<&str>| {
        let reply = server.request("GET", target, headers).await;
        assert_eq!(reply.header("content-encoding"), None, "{target} {headers}");
        assert_eq!(reply.header("vary").as_deref(), vary, "{target} {headers}");
        assert_eq!(reply.body(), Some(whole_page()), "{target} {headers}");
    };
    plain("/gzip", "", Some("Accept-Encoding")).await;
    plain("/gzip", "accept-encoding: gzip;q=0, identity\r\n", Some("Accept-Encoding")).await;
    plain("/never", "accept-encoding: gzip\r\n", None).await;
    // The peer is on loopback, which the default spares.
    plain("/chunks", "accept-encoding: gzip\r\n", Some("Accept-Encoding")).await;
    // Nothing to gain on a line of text.
    let small = server.request("GET", "/", "accept-encoding: gzip\r\n").await;
    assert_eq!(small.header("content-encoding"), None);
}

#[tokio::test]
async fn connections_are_kept_and_requests_pipelined() {
    let server = Running::start(exporter());
    let one = "GET / HTTP/1.1\r\nhost: test\r\n\r\n";
    let reply =
        server.talk(format!("{one}{one}GET /chunks HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")).await;
    let text = String::from_utf8_lossy(&reply.0);
    assert_eq!(text.matches("HTTP/1.1 200 OK").count(), 3);
    assert_eq!(text.matches("hello\n").count(), 2);
    assert_eq!(server.stats.snapshot().connections_total, 1);
}

#[tokio::test]
async fn a_client_that_closes_its_side_is_answered() {
    let server = Running::start(exporter());
    let mut stream = server.connect().await;
    stream.write_all(b"GET /chunks HTTP/1.1\r\nhost: test\r\n\r\n").await.expect("writing");
    stream.shutdown().await.expect("closing one side");
    assert_eq!(Reply::read(&mut stream).await.body(), Some(whole_page()));
    // And one that closes between requests is forgotten.
    let mut idle = server.connect().await;
    idle.write_all(b"GET / HTTP/1.1\r\nhost: test\r\n\r\n").await.expect("writing");
    let mut first = [0; 8];
    idle.read_exact(&mut first).await.expect("an answer");
    drop(idle);
    server.until("all connections closed", |stats| stats.connections_open == 0).await;
}

#[tokio::test]
async fn old_clients_get_a_body_that_ends_with_the_connection() {
    let server = Running::start(exporter());
    let reply = server.talk("GET /chunks HTTP/1.0\r\n\r\n").await;
    assert_eq!((reply.status(), reply.header("transfer-encoding")), (Some(200), None));
    assert_eq!(reply.body(), Some(whole_page()));
}

#[tokio::test]
async fn the_hook_sees_headers_of_what_is_handled() {
    let seen = Arc::new(AtomicU64::new(0));
    let counter = seen.clone();
    let server = Running::start(exporter().on_request(move |request| {
        counter
            .fetch_add(request.headers.joined("traceparent").map_or(0, |value| value.len() as u64), Relaxed);
    }));
    server.request("GET", "/", "traceparent: 00-ab\r\ntraceparent: c\r\n").await;
    server.request("GET", "/nowhere", "traceparent: 00-ab\r\n").await;
    server.stop().await;
    assert_eq!(seen.load(Relaxed), "00-ab, c".len() as u64);
}

#[tokio::test]
async fn the_later_route_of_a_path_wins() {
    let server = Running::start(exporter().get("/", async |_| Response::text("second")));
    assert_eq!(server.request("GET", "/", "").await.text(), "second");
}

#[tokio::test]
async fn bytes_and_own_counters_are_seen_by_handlers() {
    let server = Running::start(
        exporter()
            .get("/own", async |request| Response::text(request.stats.snapshot().bytes_out.to_string())),
    );
    let first = server.request("GET", "/chunks", "").await;
    let counted: usize = server.request("GET", "/own", "").await.text().parse().expect("a number");
    assert_eq!(counted, first.0.len());
}

#[test]
fn a_port_in_use_is_one_sentence() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = taken.local_addr().expect("an address");
    let error = exporter().bind(addr).expect_err("the port is taken");
    assert_eq!((error.kind(), error.addr()), (BindErrorKind::InUse, addr));
    assert_eq!(
        error.to_string(),
        format!(
            "failed to listen on {addr}: port {} is in use; stop the process that has it or choose another port",
            addr.port()
        )
    );
    // From the range that is reserved for documentation.
    let foreign: SocketAddr = "192.0.2.7:0".parse().expect("an address");
    let error = exporter().bind(foreign).expect_err("not ours");
    assert_eq!(error.kind(), BindErrorKind::NoSuchAddress);
    assert!(error.to_string().contains("192.0.2.7"), "{error}");
}

#[test]
fn a_listening_socket_can_be_handed_over() {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = socket.local_addr().expect("an address");
    assert_eq!(exporter().listener(socket).expect("a socket").local_addr(), addr);
    let refusals: Vec<&str> = Refusal::ALL.iter().map(|refusal| refusal.as_str()).collect();
    assert!(refusals.is_sorted_by(|a, b| a != b), "distinct names: {refusals:?}");
}

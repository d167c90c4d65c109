//! What a server gives away at most, and what it survives. Limits are short here; nothing sleeps.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use common::{Reply, Running};
use exporter_toolkit::{Body, Builder, Limits, Refusal, Response, Route, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;

const SHORT: Duration = Duration::from_millis(100);
const ASK: &[u8] = b"GET /endless HTTP/1.1\r\nhost: test\r\n\r\n";

fn limits(change: impl FnOnce(&mut Limits)) -> Limits {
    let mut limits = Limits::default();
    change(&mut limits);
    limits
}

/// `/` answers at once; `/endless` never ends; `/long` is 20 MB, more than the kernel's buffers hold.
fn exporter(change: impl FnOnce(&mut Limits)) -> Builder {
    Server::builder()
        .limits(limits(change))
        .get("/", async |request| Response::text(request.query.len().to_string()))
        .route(
            Route::get("/endless", async |_| Response::new(Body::chunks(std::iter::repeat(piece()))))
                .expensive(),
        )
        .get("/long", async |_| Response::new(Body::chunks(std::iter::repeat_n(piece(), 320))))
        .get("/never", async |_| std::future::pending().await)
}

fn piece() -> Vec<u8> {
    vec![b'x'; 64 << 10]
}

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n")
}

#[tokio::test]
async fn malformed_requests_are_refused_and_counted() {
    let server = Running::start(exporter(|_| {}));
    let mut refused = 0;
    let mut check = async |bytes: &[u8], status: Option<u16>| {
        let reply = server.talk(bytes).await;
        assert_eq!(reply.status(), status, "{:?}: {reply:?}", String::from_utf8_lossy(bytes));
        refused += 1;
        server.until("refused", |stats| stats.refused(Refusal::Malformed) == refused).await;
    };
    check(b"\0\0\0\0\r\n\r\n", Some(400)).await;
    check(b"GET\r\n\r\n", Some(400)).await;
    check(b"GET / HTTP/9.9\r\n\r\n", Some(400)).await;
    check(b"GET / HTTP/1.1\r\nhost: a\r\nno colon\r\n\r\n", Some(400)).await;
    check(b"GET / HTTP/1.1\r\nhost : a\r\n\r\n", Some(400)).await;
    check(b"GET / HTTP/1.1\r\nhost: a\r\ncontent-length: x\r\n\r\n", Some(400)).await;
    check(b"GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n", Some(400)).await;
    check(b"GET / HTTP/1.1\r\nconnection: close\r\n\r\n", Some(400)).await;
    check(b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\nconnection: close\r\n\r\n", Some(400)).await;
    check(b"GET /\xff\xfe HTTP/1.1\r\nhost: a\r\n\r\n", Some(400)).await;
    check(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a TLS greeting\r\n\r\n", Some(400)).await;
    check(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", None).await;
    assert_eq!(server.talk(get("/")).await.text(), "0", "the server goes on");
}

#[tokio::test]
async fn garbage_behind_a_good_request_does_not_spoil_its_answer() {
    let server = Running::start(exporter(|_| {}));
    let mut bytes = b"GET / HTTP/1.1\r\nhost: test\r\n\r\n".to_vec();
    bytes.extend((0..200_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8));
    let reply = server.talk(bytes).await;
    assert_eq!(reply.status(), Some(200), "{reply:?}");
    server
        .until("the garbage is refused", |stats| {
            stats.connections_open == 0
                && stats.refused(Refusal::Malformed) + stats.refused(Refusal::HeadersTooLarge) == 1
        })
        .await;
}

#[tokio::test]
async fn heads_are_bounded_in_bytes() {
    let server = Running::start(exporter(|limits| limits.header_bytes = 10_000));
    let with_header = |bytes: usize| {
        format!("GET / HTTP/1.1\r\nhost: test\r\nconnection: close\r\nx: {}\r\n\r\n", "y".repeat(bytes))
    };
    assert_eq!(server.talk(with_header(9_900)).await.status(), Some(200));
    assert_eq!(server.talk(with_header(10_000)).await.status(), Some(431));
    assert_eq!(server.talk(with_header(1_000_000)).await.status(), Some(431));
    let many = "a: b\r\n".repeat(1_000);
    assert_eq!(server.request("GET", "/", &many).await.status(), Some(431));
    let endless = format!("GET /{}", "x".repeat(100_000));
    assert_eq!(server.talk(endless).await.status(), Some(431));
    server.until("all counted", |stats| stats.refused(Refusal::HeadersTooLarge) == 4).await;
}

#[tokio::test]
async fn queries_are_bounded() {
    let parameters = |count: usize| format!("/?{}", "collect[]=cpu&".repeat(count));
    let check = async |server: &Running, target: &str, status: u16| {
        assert_eq!(server.talk(get(target)).await.status(), Some(status), "{} bytes", target.len());
    };
    let strict = Running::start(exporter(|_| {}));
    check(&strict, &parameters(10_000), 431).await;
    check(&strict, &format!("/?{}", "x".repeat(9_000)), 414).await;
    check(&strict, "/?x=%zz", 400).await;
    strict.until("counted", |stats| stats.refused(Refusal::Query) == 2).await;

    // However much the other limits let through, the number of parameters has its own.
    let lax =
        Running::start(exporter(|limits| (limits.header_bytes, limits.query_bytes) = (1 << 20, 1 << 20)));
    assert_eq!(lax.talk(get(&parameters(1_000))).await.text(), "1000");
    check(&lax, &parameters(1_001), 400).await;
    check(&lax, &format!("/?{}", "a&".repeat(10_000)), 400).await;
    check(&lax, &parameters(10_000), 414).await;
}

#[tokio::test]
async fn slow_heads_are_cut_off() {
    let server = Running::start(exporter(|limits| limits.header_time = SHORT));
    // Half a head, however it dribbles in: the time counts from the opening.
    let half = server.talk("GET / HTTP/1.1\r\nhost: te").await;
    assert_eq!(half.status(), Some(408), "{half:?}");
    let (mut reader, mut writer) = server.connect().await.into_split();
    let dribble = tokio::spawn(async move {
        // The pace of the peer, ten times faster than the limit; not a wait for anything.
        let mut pace = tokio::time::interval(SHORT / 10);
        let mut bytes = b"GET / HTTP/1.1\r\nx: ".iter().copied().chain(std::iter::repeat(b'y'));
        while writer.write_all(&[bytes.next().unwrap_or(b'y')]).await.is_ok() {
            pace.tick().await;
        }
    });
    let mut answer = [0; 12];
    reader.read_exact(&mut answer).await.expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 408");
    dribble.await.expect("the socket closes");
    // A connection that asks nothing is closed without a word, and nobody is blamed.
    let nothing = server.talk("").await;
    assert_eq!(nothing.0, b"");
    // A body counts as part of the request.
    let body = server.talk("GET / HTTP/1.1\r\nhost: test\r\ncontent-length: 5\r\n\r\nab").await;
    assert_eq!(body.status(), Some(408), "{body:?}");
    server
        .until("closed and counted", |stats| {
            let answered = stats.routes.last().is_some_and(|nowhere| nowhere.by_class[3] == 3);
            stats.connections_open == 0 && stats.refused(Refusal::HeadersTooSlow) == 3 && answered
        })
        .await;
}

#[tokio::test]
async fn a_kept_connection_has_no_more_time_for_its_later_heads() {
    let server = Running::start(exporter(|limits| limits.header_time = SHORT));
    let mut stream = server.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: test\r\n\r\n").await.expect("asking");
    assert!(stream.read(&mut [0; 512]).await.is_ok_and(|read| read > 0));
    stream.write_all(b"GET / HTTP/1.1\r\nhost: te").await.expect("half of another");
    assert_eq!(Reply::read(&mut stream).await.status(), Some(408));
}

#[tokio::test]
async fn a_pipelined_body_has_the_time_of_any_other() {
    let server = Running::start(exporter(|limits| limits.header_time = SHORT));
    let one = "GET / HTTP/1.1\r\nhost: test\r\n";
    let reply = server.talk(format!("{one}\r\n{one}content-length: 5\r\n\r\nab")).await;
    let text = String::from_utf8_lossy(&reply.0);
    assert!(text.starts_with("HTTP/1.1 200 ") && text.contains("HTTP/1.1 408 "), "{text}");
}

/// A reset would overtake the answer, and a client that is still sending would not learn what was wrong.
#[tokio::test]
async fn refused_peers_may_go_on_sending_for_a_while() {
    let server = Running::start(exporter(|_| {}));
    let filler = "x".repeat(100_000);
    for (request, status) in [
        (format!("GET / HTTP/1.1\r\nhost: t\r\nx: {filler}"), 431),
        (format!("GET / HTTP/1.1\r\nhost: t\r\ncontent-length: 999999\r\n\r\n{filler}"), 413),
        ("GET / HTTP/1.1\r\nhost: t\r\ncontent-length: 999999\r\n\r\n".to_owned(), 413),
        (format!("nonsense\r\n{filler}"), 400),
    ] {
        let mut stream = server.connect().await;
        stream.write_all(request.as_bytes()).await.expect("everything is taken");
        let mut reply = vec![0; 12];
        stream.read_exact(&mut reply).await.expect("an answer");
        for _ in 0..100 {
            stream.write_all(&filler.as_bytes()[..1_000]).await.expect("the rest is taken too");
            tokio::task::yield_now().await;
        }
        stream.shutdown().await.expect("and its end");
        stream.read_to_end(&mut reply).await.expect("an end without a reset");
        assert_eq!(Reply(reply).status(), Some(status));
    }
    server.until("all closed", |stats| stats.connections_open == 0).await;
}

#[tokio::test]
async fn idle_connections_are_closed() {
    let server = Running::start(exporter(|limits| limits.keep_alive = SHORT));
    let reply = server.talk("GET / HTTP/1.1\r\nhost: test\r\n\r\n").await;
    assert_eq!(reply.text(), "0");
    server.until("closed", |stats| stats.connections_open == 0).await;
    assert!(server.stop().await.refused.iter().all(|(_, count)| *count == 0), "that is nobody's fault");
}

#[tokio::test]
async fn bodies_are_thrown_away_within_bounds() {
    let server = Running::start(exporter(|limits| limits.body_bytes = 1_000));
    let with_body = |bytes: usize| {
        format!(
            "GET / HTTP/1.1\r\nhost: t\r\nconnection: close\r\ncontent-length: {bytes}\r\n\r\n{}",
            "b".repeat(bytes)
        )
    };
    let chunked = |bytes: usize| {
        format!(
            "GET / HTTP/1.1\r\nhost: t\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n{bytes:x}\r\n{}\r\n0\r\n\r\n",
            "b".repeat(bytes)
        )
    };
    for (request, status) in [
        (with_body(1_000), 200),
        (with_body(1_001), 413),
        (with_body(5_000_000), 413),
        (chunked(1_000), 200),
        (chunked(1_001), 413),
        (chunked(5_000_000), 413),
        (with_body(1_000).replace("GET / ", "POST / "), 405),
        ("GET / HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n".to_owned(), 400),
    ] {
        let reply = server.talk(&request).await;
        assert_eq!(reply.status(), Some(status), "{}: {reply:?}", &request[..80]);
    }
    server.until("counted", |stats| stats.refused(Refusal::Body) == 5).await;
}

#[tokio::test]
async fn a_peer_that_does_not_read_is_cut_off() {
    let pulled = Arc::new(AtomicUsize::new(0));
    let counter = pulled.clone();
    let server = Running::start(
        exporter(|limits| limits.write_stall_time = SHORT).route(
            Route::get("/endless", move |_| {
                let counter = counter.clone();
                async move {
                    Response::new(Body::chunks(std::iter::repeat_with(move || {
                        counter.fetch_add(1, Relaxed);
                        piece()
                    })))
                }
            })
            .expensive(),
        ),
    );
    let mut stream = server.connect().await;
    stream.write_all(ASK).await.expect("asking");
    server
        .until("freed", |stats| {
            stats.refused(Refusal::SlowReader) == 1 && stats.connections_open == 0 && stats.scrapes_open == 0
        })
        .await;
    // What was made is what the kernel's buffers took, not what could have been made.
    let (made, sent) = (pulled.load(Relaxed) * piece().len(), server.stats.snapshot().bytes_out as usize);
    assert!(made <= sent + 3 * piece().len(), "made {made}, sent {sent}");
    // The peer is told by a reset, so it does not take what it has for the whole.
    let mut rest = Vec::new();
    assert!(stream.read_to_end(&mut rest).await.is_err());
}

#[tokio::test]
async fn a_peer_that_reads_in_drops_is_cut_off() {
    let server = Running::start(exporter(|limits| limits.response_time = 3 * SHORT));
    let mut stream = server.connect().await;
    stream.write_all(ASK).await.expect("asking");
    let started = Instant::now();
    let mut drop = [0; 1_000];
    while let Ok(1..) = stream.read(&mut drop).await {
        tokio::task::yield_now().await;
        assert!(started.elapsed() < Duration::from_secs(8), "still being served");
    }
    server.until("counted", |stats| stats.refused(Refusal::SlowReader) == 1 && stats.scrapes_open == 0).await;
}

#[tokio::test]
async fn a_handler_that_hangs_is_given_up() {
    let server = Running::start(exporter(|limits| limits.handler_time = SHORT));
    let reply = server.talk(get("/never")).await;
    assert_eq!((reply.status(), reply.header("retry-after").as_deref()), (Some(503), Some("1")));
    assert_eq!(server.stop().await.refused(Refusal::HandlerTooSlow), 1);
}

#[tokio::test]
async fn of_200_scrapes_at_once_8_are_served_and_the_rest_told_to_return() {
    let gate = Arc::new(Semaphore::new(0));
    let (entered, closed) = (Arc::new(AtomicUsize::new(0)), gate.clone());
    let counter = entered.clone();
    let server = Running::start(
        exporter(|limits| limits.connections = 300).route(
            Route::get("/metrics", move |_| {
                counter.fetch_add(1, Relaxed);
                let gate = closed.clone();
                async move {
                    let _pass = gate.acquire().await;
                    Response::text("up 1\n")
                }
            })
            .expensive(),
        ),
    );
    let server = Arc::new(server);
    let started = Instant::now();
    let scrapes: Vec<_> = (0..200)
        .map(|_| {
            let server = server.clone();
            tokio::spawn(async move { server.talk(get("/metrics")).await })
        })
        .collect();
    // The refused ones do not wait for those that are served.
    server.until("192 refused", |stats| stats.refused(Refusal::Scrapes) == 192).await;
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    assert_eq!((entered.load(Relaxed), server.stats.snapshot().scrapes_open), (8, 8));
    // Cheap routes are served meanwhile.
    assert_eq!(server.talk(get("/")).await.status(), Some(200));
    gate.add_permits(8);
    let mut served = 0;
    for scrape in scrapes {
        let reply = scrape.await.expect("no panic");
        if reply.status() == Some(200) {
            served += 1;
            assert_eq!(reply.text(), "up 1\n");
        } else {
            assert_eq!((reply.status(), reply.header("retry-after").as_deref()), (Some(503), Some("1")));
        }
    }
    assert_eq!((served, entered.load(Relaxed)), (8, 8));
    server.until("free again", |stats| stats.scrapes_open == 0).await;
}

#[tokio::test]
async fn connections_past_the_limit_are_told_so() {
    let server = Running::start(exporter(|limits| limits.connections = 2));
    let mut kept = [server.connect().await, server.connect().await];
    for stream in &mut kept {
        stream.write_all(b"GET / HTTP/1.1\r\nhost: test\r\n\r\n").await.expect("asking");
        assert!(stream.read(&mut [0; 512]).await.is_ok_and(|read| read > 0));
    }
    let mut third = server.connect().await;
    server.until("refused", |stats| stats.refused(Refusal::Connections) == 1).await;
    // The answer waits for the question.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    let early = third.try_read(&mut [0; 1]);
    assert!(early.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock), "{early:?}");
    third.write_all(get("/").as_bytes()).await.expect("asking");
    let third = Reply::read(&mut third).await;
    assert_eq!((third.status(), third.header("retry-after").as_deref()), (Some(503), Some("1")));
    // Many that say nothing hold nothing either.
    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(server.connect().await);
    }
    server.until("refused", |stats| stats.refused(Refusal::Connections) == 101).await;
    assert_eq!(server.stats.snapshot().connections_open, 2);
    drop(kept);
    server.until("places free", |stats| stats.connections_open == 0).await;
    assert_eq!(server.talk(get("/")).await.status(), Some(200));
}

#[tokio::test]
async fn shutdown_lets_a_running_response_end() {
    let server = Running::start(exporter(|_| {}));
    let mut idle = server.connect().await;
    idle.write_all(b"GET / HTTP/1.1\r\nhost: test\r\n\r\n").await.expect("asking");
    assert!(idle.read(&mut [0; 512]).await.is_ok_and(|read| read > 0));
    let mut silent = server.connect().await;
    let mut busy = server.connect().await;
    busy.write_all(b"GET /long HTTP/1.1\r\nhost: test\r\n\r\n").await.expect("asking");
    let mut first = [0; 1];
    busy.read_exact(&mut first).await.expect("the response has begun");
    server.until("all are accepted", |stats| stats.connections_open == 3).await;

    let addr = server.addr;
    let stopping = tokio::spawn(server.stop());
    // Connections without a request end at once, without waiting for the busy one.
    assert_eq!(Reply::read(&mut idle).await.0, b"");
    assert_eq!(Reply::read(&mut silent).await.0, b"");
    assert!(tokio::net::TcpStream::connect(addr).await.is_err(), "nothing new is accepted");
    assert!(!stopping.is_finished());
    let mut reply = first.to_vec();
    reply.append(&mut Reply::read(&mut busy).await.0);
    assert_eq!(Reply(reply).body().map(|body| body.len()), Some(320 * piece().len()));
    let counted = stopping.await.expect("no panic");
    assert_eq!((counted.refused(Refusal::Drain), counted.connections_open), (0, 0));
}

#[tokio::test]
async fn shutdown_is_bounded_while_a_response_streams() {
    let server = Running::start(exporter(|limits| limits.drain = 2 * SHORT));
    let mut stream = server.connect().await;
    stream.write_all(ASK).await.expect("asking");
    stream.read_exact(&mut [0; 100]).await.expect("the response has begun");
    let reader = tokio::spawn(async move {
        let mut buffer = vec![0; 1 << 20];
        while let Ok(1..) = stream.read(&mut buffer).await {}
    });
    let never = server.connect().await;
    let started = Instant::now();
    let counted = server.stop().await;
    assert!(
        started.elapsed() >= 2 * SHORT && started.elapsed() < Duration::from_secs(3),
        "{:?}",
        started.elapsed()
    );
    assert_eq!(counted.refused(Refusal::Drain), 1);
    assert_eq!((counted.connections_open, counted.scrapes_open), (0, 0));
    reader.await.expect("the reader sees the end");
    drop(never);
}

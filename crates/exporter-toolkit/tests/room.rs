//! Peers that only hold places have to go when somebody else comes.

mod common;

use std::time::{Duration, Instant};

use common::Running;
use exporter_toolkit::{Body, Builder, Limits, Refusal, Response, Route, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Long enough that no deadline helps those who come later.
const LONG: Duration = Duration::from_secs(120);

fn exporter(change: impl FnOnce(&mut Limits)) -> Builder {
    let mut limits = Limits::default();
    limits.header_time = LONG;
    limits.write_stall_time = LONG;
    limits.response_time = LONG;
    change(&mut limits);
    Server::builder()
        .limits(limits)
        .get("/", async |_| Response::text("here"))
        .route(Route::get("/metrics", async |_| Response::text("up 1\n")).expensive())
        .route(
            Route::get("/endless", async |_| Response::new(Body::chunks(std::iter::repeat(piece()))))
                .expensive(),
        )
}

fn piece() -> Vec<u8> {
    vec![b'x'; 64 << 10]
}

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n")
}

/// Asks until the answer is 200; all before it are 503.
async fn ask_until_served(server: &Running, target: &str) {
    let begun = Instant::now();
    loop {
        let status = server.talk(get(target)).await.status();
        if status == Some(200) {
            return;
        }
        assert_eq!(status, Some(503));
        assert!(begun.elapsed() < Duration::from_secs(10), "nobody had to go");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn connections_that_say_nothing_make_room() {
    let server = Running::start(exporter(|limits| limits.connections = 3));
    let mut silent = Vec::new();
    for _ in 0..2 {
        silent.push(server.connect().await);
    }
    let mut half = server.connect().await;
    half.write_all(b"GET / HTTP/1.1\r\nho").await.expect("asking");
    server.until("all are there", |stats| stats.connections_open == 3).await;
    ask_until_served(&server, "/").await;
    // The longest waiting went; nobody else.
    assert_eq!(silent[0].read(&mut [0; 1]).await.ok(), Some(0));
    assert_eq!(server.stats.snapshot().refused(Refusal::Displaced), 1);
    half.write_all(b"st: test\r\n\r\n").await.expect("asking");
    let mut answer = [0; 12];
    half.read_exact(&mut answer).await.expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 200");
}

#[tokio::test]
async fn readers_that_do_not_read_make_room() {
    let server = Running::start(exporter(|limits| limits.scrapes = 2));
    let mut slow = Vec::new();
    for _ in 0..2 {
        let mut stream = server.connect().await;
        stream.write_all(get("/endless").as_bytes()).await.expect("asking");
        slow.push(stream);
    }
    server.until("both are taken", |stats| stats.scrapes_open == 2).await;
    ask_until_served(&server, "/metrics").await;
    ask_until_served(&server, "/metrics").await;
    // One place is enough for all who come one after another.
    assert_eq!(server.stats.snapshot().refused(Refusal::Displaced), 1);
    let mut rest = Vec::new();
    let ended = slow[0].read_to_end(&mut rest).await;
    assert!(
        ended.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset),
        "what it did not read is gone"
    );
}

#[tokio::test]
async fn who_reads_stays() {
    let server = Running::start(exporter(|limits| limits.scrapes = 1));
    let mut stream = server.connect().await;
    stream.write_all(get("/endless").as_bytes()).await.expect("asking");
    server.until("it is taken", |stats| stats.scrapes_open == 1).await;
    let begun = Instant::now();
    let mut room = vec![0; 256 << 10];
    while begun.elapsed() < Duration::from_millis(1500) {
        stream.read_exact(&mut room).await.expect("it goes on");
        assert_eq!(server.talk(get("/metrics")).await.status(), Some(503));
    }
    assert_eq!(server.stats.snapshot().refused(Refusal::Displaced), 0);
}

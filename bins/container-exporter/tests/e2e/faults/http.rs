//! Peers that ask too much, send rubbish, or never finish: the exporter's memory stays, and who asks decently is answered.

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::Held;
use crate::harness::{Exporter, Page, Setup, await_until, get, is_tried_here, say};

const GARBAGE_BYTES: u64 = 1 << 30;
/// What all of it may cost in memory at most.
const BYTES_MAX: f64 = 50e6;
const REFUSED: &str = "container_exporter_http_refused_total";

fn refused(page: &Page, reason: &str) -> f64 {
    page.expect(REFUSED, &[("reason", reason)])
}

/// A connection that waits for nobody for long.
fn connect(to: SocketAddr) -> Option<TcpStream> {
    let stream = TcpStream::connect_timeout(&to, Duration::from_secs(20)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(20))).ok()?;
    stream.set_write_timeout(Some(Duration::from_secs(20))).ok()?;
    Some(stream)
}

/// Connections that have sent something and are left alone; an exporter that is full closes one here and there.
fn leave_open(to: SocketAddr, count: usize, sent: &[u8]) -> Vec<TcpStream> {
    let open = |_| {
        let mut stream = connect(to)?;
        stream.write_all(sent).ok()?;
        Some(stream)
    };
    (0..count).filter_map(open).collect()
}

/// Sends the same bytes again and again, over new connections where one is closed, until `bytes` have gone out in all.
/// What is answered is read and thrown away: nobody may keep the sender waiting.
fn pour(to: SocketAddr, piece: &[u8], bytes: u64, sent: &AtomicU64) {
    while sent.load(Ordering::Relaxed) < bytes {
        let Some(mut stream) = connect(to) else { continue };
        let answers = stream.try_clone().expect("a descriptor");
        let drain = std::thread::spawn(move || std::io::copy(&mut &answers, &mut std::io::sink()));
        while sent.load(Ordering::Relaxed) < bytes {
            let Ok(count) = stream.write(piece) else { break };
            sent.fetch_add(count as u64, Ordering::Relaxed);
        }
        _ = stream.shutdown(std::net::Shutdown::Both);
        _ = drain.join();
    }
}

/// Bytes that are no HTTP, the same in every run.
fn noise() -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[0]
    };
    (0..256 << 10).map(next).collect()
}

/// Requests one behind the other: good ones, each with a long header, and something that is none behind every tenth.
fn pipeline() -> Vec<u8> {
    let mut bytes = Vec::new();
    for number in 0..20 {
        let pad = "x".repeat(12 << 10);
        bytes.extend_from_slice(
            format!("GET /nowhere HTTP/1.1\r\nHost: x\r\nX-Pad: {pad}\r\n\r\n").as_bytes(),
        );
        if number % 10 == 9 {
            bytes.extend_from_slice(&[0xff; 4096]);
        }
    }
    bytes
}

/// Scrapes that others make all the while, one after the other.
struct Ordinary {
    over: AtomicBool,
    answered: AtomicU64,
}

impl Ordinary {
    /// A scrape is answered by a page or by a 503, and never by a page that is cut off.
    fn run(&self, exporter: &Exporter) {
        while !self.over.load(Ordering::Relaxed) {
            if let Ok(answer) = get(exporter.address, "/metrics", &[]) {
                assert!(matches!(answer.status, 200 | 503), "{}", answer.status);
                if answer.status == 200 {
                    assert!(!Page::parse(answer.text()).lines.is_empty());
                    self.answered.fetch_add(1, Ordering::Relaxed);
                }
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Waits until two more were answered with a page: one may have begun before.
    #[track_caller]
    fn await_two(&self, what: &str) {
        let before = self.answered.load(Ordering::Relaxed);
        await_until(&format!("ordinary scrapes are answered beside {what}"), || {
            (self.answered.load(Ordering::Relaxed) >= before + 2).then_some(())
        });
    }
}

/// Ends the ordinary scrapes also when the test fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn play_all(exporter: &Exporter, ordinary: &Ordinary) {
    let to = exporter.address;
    let get_page = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";
    let silent = leave_open(to, 100, b"");
    let half = leave_open(to, 100, b"GET /metrics HTTP/1.1\r\nHost:");
    ordinary.await_two("half-open connections");
    let slow = leave_open(to, 40, get_page);
    ordinary.await_two("readers that do not read");
    drop((silent, half, slow));

    // More than is taken of a body, and the end never comes.
    let mut endless = b"POST /metrics HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    (0..64).for_each(|_| endless.extend_from_slice(format!("400\r\n{}\r\n", "x".repeat(0x400)).as_bytes()));
    let bodies = leave_open(to, 40, &endless);
    ordinary.await_two("bodies that do not end");
    drop(bodies);

    let sent = AtomicU64::new(0);
    std::thread::scope(|threads| {
        for piece in [noise(), pipeline(), noise(), pipeline()] {
            let sent = &sent;
            threads.spawn(move || pour(to, &piece, GARBAGE_BYTES, sent));
        }
        ordinary.await_two("garbage");
    });

    let answers: Vec<u16> = std::thread::scope(|threads| {
        let scrapes: Vec<_> = (0..200).map(|_| threads.spawn(move || get(to, "/metrics", &[]))).collect();
        // A connection past the limit may be closed before its request was read.
        let status =
            |answer: std::io::Result<crate::harness::Answer>| answer.map_or(503, |answer| answer.status);
        scrapes.into_iter().map(|scrape| status(scrape.join().expect("it ends"))).collect()
    });
    assert!(answers.iter().all(|status| matches!(status, 200 | 503)), "{answers:?}");
    let served = answers.iter().filter(|status| **status == 200).count();
    assert!((1..200).contains(&served), "{served} of 200 at once were served");
    ordinary.await_two("nothing");
}

#[test]
fn nothing_that_peers_do_costs_50_mb_or_holds_up_a_scrape() {
    if !is_tried_here("hostile peers of the server") {
        return;
    }
    let exporter = Setup::new().arg("--source=sim:300").start();
    let page = || await_until("a page", || exporter.try_scrape());
    for _ in 0..5 {
        page();
    }
    let idle = Held::by(&exporter);
    let ordinary = Ordinary { over: AtomicBool::new(false), answered: AtomicU64::new(0) };
    std::thread::scope(|threads| {
        threads.spawn(|| ordinary.run(&exporter));
        let _stop = Stop(&ordinary.over);
        play_all(&exporter, &ordinary);
    });
    let after = Held::by(&exporter);
    let rise = after.resident_bytes_max - idle.resident_bytes;
    say(&format!("memory rose by {:.1} MB at most", rise / 1e6));
    assert!(rise <= BYTES_MAX, "{rise} bytes more than the {} of an idle one", idle.resident_bytes);
    let page = page();
    let log = exporter.log();
    for reason in ["scrapes", "displaced", "body", "malformed"] {
        assert!(refused(&page, reason) >= 1.0, "{reason}: {:#?}", page.all(REFUSED, &[]));
        let told = log.lines().filter(|line| line.contains(&format!("reason=\"{reason}\""))).count();
        assert_eq!(told, 1, "one line of {reason}: {log}");
    }
    await_until("all connections are closed again", || {
        let page = exporter.try_scrape()?;
        (page.expect("container_exporter_http_connections", &[]) <= 2.0).then_some(())
    });
    let left = Held::by(&exporter);
    assert!(left.descriptors() <= idle.descriptors() + 2, "{left:?} after {idle:?}");
}

//! Collections without end over containers that stay: memory is what it was after the first ones.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;

use super::Held;
use super::made::Made;
use crate::harness::{Exporter, await_until, is_tried_here, say};

const COLLECTIONS: &str = "container_exporter_collections_total";

/// Bytes that an allocator may take and give back on its own account.
const SLACK_BYTES: f64 = 1e6;

/// Scrapes over one connection, one after the other, as a scraper does.
struct Scraper(BufReader<TcpStream>);

impl Scraper {
    fn connect(exporter: &Exporter) -> Self {
        let stream = TcpStream::connect(exporter.address).expect("it listens");
        stream.set_nodelay(true).expect("a socket");
        Self(BufReader::new(stream))
    }

    /// One page, thrown away.
    #[track_caller]
    fn scrape(&mut self) {
        self.0.get_mut().write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").expect("it reads");
        let mut line = String::new();
        self.0.read_line(&mut line).expect("it answers");
        assert!(line.starts_with("HTTP/1.1 200 "), "{line}");
        while line != "\r\n" {
            line.clear();
            self.0.read_line(&mut line).expect("a head");
        }
        loop {
            line.clear();
            self.0.read_line(&mut line).expect("the length of a chunk");
            let length = u64::from_str_radix(line.trim(), 16).expect("it is chunked");
            let whole = length + 2;
            let read =
                std::io::copy(&mut self.0.by_ref().take(whole), &mut std::io::sink()).expect("a chunk");
            assert_eq!(read, whole);
            if length == 0 {
                return;
            }
        }
    }
}

/// So many collections over three cgroups; what memory does from the first tenth on.
pub(super) fn collections(count: u32) {
    let Some(mut made) = Made::new() else { return };
    (0..3).for_each(|_| _ = made.start());
    let exporter = made.setup().all_groups().start();
    let mut scraper = Scraper::connect(&exporter);
    for _ in 0..count / 10 {
        scraper.scrape();
    }
    let warm = Held::by(&exporter);
    for _ in count / 10..count {
        scraper.scrape();
    }
    let after = Held::by(&exporter);
    let made_of_them = await_until("a page", || exporter.try_scrape()).expect(COLLECTIONS, &[]);
    assert!(made_of_them >= f64::from(count), "{made_of_them} collections");
    say(&format!(
        "figures: {count} collections, {:.2} MB resident, {:.2} MB when warm",
        after.resident_bytes / 1e6,
        warm.resident_bytes / 1e6
    ));
    assert!(after.resident_bytes <= warm.resident_bytes + SLACK_BYTES, "{after:?} after {warm:?}");
    after.assert_holds_no_more_than(&warm);
}

#[test]
fn memory_is_flat_over_thousands_of_collections() {
    if !is_tried_here("5,000 collections") {
        return;
    }
    // 100,000 take minutes where nothing is optimised: `cargo xtask soak` makes them.
    collections(5_000);
}

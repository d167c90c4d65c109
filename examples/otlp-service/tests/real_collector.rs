//! A real OpenTelemetry Collector takes the spans, is frozen, killed and started again: what it has is what the page says is exported,
//! and every other span is in its place, too.
//!
//! `cargo xtask test --only peers` builds it and runs this.

mod client;
mod page;

use std::collections::{BTreeMap, BTreeSet};

use client::{ORDER, options, orders};
use otlp_service::Service;
use page::{Page, Places, fill_the_queue, until};
use test_support::peers::{Otelcol, Peer};

/// Spans that may wait.
const QUEUE: usize = 50;

/// The spans that the Collector has taken over all its lives: how many by name. No span comes twice.
fn taken(collector: &Otelcol) -> BTreeMap<String, usize> {
    let said = collector.said();
    let mut ids = BTreeSet::new();
    let mut names = BTreeMap::new();
    let mut id = "";
    // `Span #0`, and below it `    ID             : 5fb397be34d26b51`.
    for (key, value) in said.lines().filter_map(|line| line.split_once(':')) {
        match (key.trim_end(), value.trim()) {
            ("    ID", value) => id = value,
            ("    Name", value) => {
                assert!(ids.insert(id), "{value} {id} came twice");
                *names.entry(value.to_owned()).or_default() += 1;
            }
            _ => {}
        }
    }
    names
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_collector_is_killed_and_comes_back() {
    let Some(program) = Peer::Otelcol.program() else { return };
    let mut collector = Otelcol::start(program, None).await;
    let service = Service::start(options(collector.grpc, QUEUE)).await.expect("free ports");

    orders(&service, 10).await;
    service.flush().await.expect("taken");
    let mut places = Places { exported: 10 * ORDER, ..Places::default() };
    Page::of(&service).await.check(places);
    assert_eq!(taken(&collector), [("GET", 10), ("price", 10), ("store", 10)].map(own).into());

    // It reads nothing more: what was sent is in flight, what ends meanwhile waits, and one request goes on.
    collector.freeze();
    orders(&service, 4).await;
    let (flushed, ()) = tokio::join!(service.flush(), async {
        until(&service, |counts| counts.in_flight > 0).await;
        places.in_flight = 4 * ORDER;
        fill_the_queue(&service, &mut places).await;
        collector.kill();
    });
    flushed.expect_err("it was killed before it had read");
    // On a very slow machine the processor gave up waiting earlier than the exporter.
    until(&service, |counts| counts.in_flight == 0).await;
    places.failed += places.in_flight;
    places.in_flight = 0;
    let cut_off = places.failed;
    let page = Page::of(&service).await;
    page.check(places);
    assert_eq!(page.errors("internal"), cut_off);

    // Nobody listens.
    orders(&service, 1).await;
    service.flush().await.expect_err("it is down");
    places.failed += places.queued + ORDER;
    places.queued = 0;
    let page = Page::of(&service).await;
    page.check(places);
    assert_eq!(page.errors("unavailable"), places.failed - cut_off);

    // More than may wait: the rest is dropped, and counted.
    orders(&service, 20).await;
    places.queued = QUEUE;
    places.dropped = 20 * ORDER - QUEUE;
    Page::of(&service).await.check(places);

    collector.start_again().await;
    service.flush().await.expect("taken");
    places.exported += QUEUE;
    places.queued = 0;
    Page::of(&service).await.check(places);
    assert_eq!(taken(&collector).values().sum::<usize>(), places.exported);

    orders(&service, 1).await;
    let counts = service.stop().await.expect("taken");
    assert_eq!(counts.exported as usize, places.exported + ORDER);
    assert_eq!((counts.failed as usize, counts.dropped as usize), (places.failed, places.dropped));
    assert!(counts.is_balanced(), "{counts:?}");
    assert_eq!(taken(&collector).values().sum::<usize>(), places.exported + ORDER);
}

fn own((name, count): (&str, usize)) -> (String, usize) {
    (name.to_owned(), count)
}

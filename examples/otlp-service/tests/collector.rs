//! The numbers on the page are those of the spans that the collector has, and of those that it has not.

mod client;
mod page;
mod stand_in;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use client::{ANY, ORDER, options, orders};
use otlp_service::Service;
use page::{Page, Places, fill_the_queue};
use stand_in::{Mood, StandIn};
use tonic::Code;

/// Spans that may wait.
const QUEUE: usize = 50;

async fn start(collector: SocketAddr) -> Service {
    Service::start(options(collector, QUEUE)).await.expect("free ports")
}

fn orders_taken(count: usize) -> BTreeMap<String, usize> {
    ["GET", "price", "store"].into_iter().map(|name| (name.to_owned(), count)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_collector_has_is_what_the_page_says() {
    let collector = StandIn::listen(ANY).await;
    let service = start(collector.addr).await;
    Page::of(&service).await.check(Places::default());
    orders(&service, 10).await;
    Page::of(&service).await.check(Places { queued: 10 * ORDER, ..Places::default() });
    service.flush().await.expect("taken");
    let page = Page::of(&service).await;
    page.check(Places { exported: 10 * ORDER, ..Places::default() });
    assert_eq!(collector.taken(), orders_taken(10));
    assert_eq!(Vec::from_iter(collector.services()), ["otlp-service"]);
    for (kind, count) in [("server", 10), ("internal", 10), ("client", 10), ("producer", 0), ("consumer", 0)]
    {
        assert_eq!(page.created(kind), count, "{kind}");
        let durations = r#"otlp_spans_duration_seconds_count{service_name="otlp-service",span_kind="#;
        assert_eq!(page.value(&format!(r#"{durations}"{kind}"}}"#)), count, "{kind}");
    }
    assert_eq!(page.value("otlp_exporter_batch_size_count"), 1);
    assert_eq!(page.value("otlp_exporter_batch_size_sum"), 10 * ORDER);
    assert_eq!(page.value(r#"otlp_exporter_latency_seconds_count{exporter="otlp",protocol="grpc"}"#), 1);

    // The rest of the page is there, too.
    assert_eq!(page.value("tokio_runtime_workers"), 2);
    assert_eq!(page.value(r#"tokio_task_instrumented_total{task="connections"}"#), 10);
    assert!(page.value("otlp_system_tasks_count") > 0);
    if cfg!(target_os = "linux") {
        assert!(page.value("process_resident_memory_bytes") > 0);
        assert!(
            page.value("otlp_system_memory_usage_bytes") > page.value("process_resident_memory_bytes") / 2
        );
    }
    let counts = service.stop().await.expect("nothing waits");
    assert!(counts.is_balanced(), "{counts:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_goes_away_and_comes_back() {
    let collector = StandIn::listen(ANY).await;
    let service = start(collector.addr).await;
    orders(&service, 2).await;
    service.flush().await.expect("taken");
    let mut places = Places { exported: 2 * ORDER, ..Places::default() };
    Page::of(&service).await.check(places);

    let addr = collector.go_away().await;
    orders(&service, 5).await;
    service.flush().await.expect_err("nobody listens");
    places.failed += 5 * ORDER;
    let page = Page::of(&service).await;
    page.check(places);
    assert_eq!(page.errors("unavailable"), 5 * ORDER);

    // More than may wait: the rest is dropped, and counted.
    orders(&service, 20).await;
    places.queued = QUEUE;
    places.dropped = 20 * ORDER - QUEUE;
    Page::of(&service).await.check(places);

    let collector = StandIn::listen(addr).await;
    service.flush().await.expect("taken");
    places.exported += QUEUE;
    places.queued = 0;
    Page::of(&service).await.check(places);
    assert_eq!(collector.taken().values().sum::<usize>(), QUEUE);

    orders(&service, 1).await;
    let counts = service.stop().await.expect("taken");
    assert_eq!(counts.exported as usize, places.exported + ORDER);
    assert_eq!(counts.failed as usize, places.failed);
    assert_eq!(counts.dropped as usize, places.dropped);
    assert!(counts.is_balanced(), "{counts:?}");
    assert_eq!(collector.taken().values().sum::<usize>(), QUEUE + ORDER);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_refuses_and_keeps_waiting() {
    let collector = StandIn::listen(ANY).await;
    let service = start(collector.addr).await;
    let refusals = [
        (Code::ResourceExhausted, "throttled"),
        (Code::Unauthenticated, "unauthenticated"),
        (Code::Internal, "internal"),
    ];
    for (code, error) in refusals {
        collector.set(Mood::Refuses(code));
        orders(&service, 1).await;
        service.flush().await.expect_err("refused");
        assert_eq!(Page::of(&service).await.errors(error), ORDER, "{error}");
    }
    let mut places = Places { failed: refusals.len() * ORDER, ..Places::default() };
    Page::of(&service).await.check(places);

    collector.set(Mood::Waits);
    orders(&service, 2).await;
    let (flushed, ()) = tokio::join!(service.flush(), async {
        collector.waits().await;
        places.in_flight = 2 * ORDER;
        fill_the_queue(&service, &mut places).await;
        collector.set(Mood::Takes);
    });
    flushed.expect("taken in the end");
    service.flush().await.expect("taken");
    places.exported = places.in_flight + places.queued;
    (places.in_flight, places.queued) = (0, 0);
    Page::of(&service).await.check(places);
    service.stop().await.expect("nothing waits");
}

//! What is served: pages, health, JSON.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use collector_core::{Absence, Groups, Reading, Request as Collect, Snapshot, SourceStatus, catalogue::ids};
use exporter_toolkit::{Body, Builder, Compression, Request, Response, Route, Status};
use sink_prometheus::PageRequest;
use tracing::{Instrument as _, Span};

use super::{json, serve::App, serve::is_settled, traces};

/// How long the first page may wait for the first list of containers.
const FIRST_LIST: Duration = Duration::from_secs(2);
/// `/health` looks at a snapshot no older than this.
const HEALTH_AGE: Duration = Duration::from_secs(5);

/// Adds the routes.
pub(super) fn routes(builder: Builder, app: &Arc<App>, compression: Compression) -> Builder {
    let metrics = Arc::clone(app);
    let health = Arc::clone(app);
    let containers = Arc::clone(app);
    builder
        .get("/", async |_| landing())
        .route(
            Route::get("/metrics", move |request| page(Arc::clone(&metrics), request))
                .expensive()
                .compression(compression),
        )
        .get("/health", move |_| is_healthy(Arc::clone(&health)))
        .get("/livez", async |_| Response::text("alive\n"))
        .route(
            Route::get("/api/v1/containers", move |request| list(Arc::clone(&containers), request))
                .expensive()
                .compression(compression),
        )
}

/// How long a request leaves for the collection.
fn deadline(app: &App, request: &Request) -> Duration {
    let timeout =
        request.headers.get("x-prometheus-scrape-timeout-seconds").and_then(|seconds| seconds.parse().ok());
    Collect::deadline_of_scrape(timeout).min(app.live().settings.metrics.timeout)
}

/// The snapshot that a request wants. The first requests after the start wait for the first list.
async fn snapshot(app: &App, groups: Groups, root: bool, deadline: Duration) -> Arc<Snapshot> {
    if !app.settled.load(Relaxed) {
        let settled = app.collector.wait_until(|collector| is_settled(&collector.sources()));
        if tokio::time::timeout(FIRST_LIST.min(deadline / 2), settled).await.is_ok() {
            app.settled.store(true, Relaxed);
        }
    }
    let max_age = app.live().settings.metrics.max_age;
    app.collector.collect(Collect::new(groups).with_root(root).max_age(max_age).deadline(deadline)).await
}

/// A page, in a span that ends when its last byte is made.
async fn page(app: Arc<App>, request: Request) -> Response {
    let span = traces::of_request("GET /metrics", &request);
    page_within(app, request, span.clone()).instrument(span).await
}

async fn page_within(app: Arc<App>, request: Request, span: Span) -> Response {
    let live = app.live();
    let query: Vec<(String, String)> =
        request.query.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let groups = match live.sink.groups(&query) {
        Ok(groups) => groups,
        Err(error) => return Response::text(format!("{error}\n")).status(Status::BAD_REQUEST),
    };
    let root = live.sink.shows_root(&query).unwrap_or(false);
    let snapshot = snapshot(&app, groups, root, deadline(&app, &request)).await;
    let accept = request.headers.joined("accept");
    match live.sink.page(&snapshot, &PageRequest { accept: accept.as_deref(), query: &query }) {
        Ok(page) => {
            tracing::debug!(containers = snapshot.containers.len(), peer = %request.peer, "answering a scrape");
            span.record("http.response.status_code", 200);
            let mut chunks = page.chunks;
            let body = std::iter::from_fn(move || span.in_scope(|| chunks.next()));
            Response::new(Body::chunks(body)).content_type(page.content_type)
        }
        Err(error) => {
            span.record("http.response.status_code", 400);
            Response::text(format!("{error}\n")).status(Status::BAD_REQUEST)
        }
    }
}

async fn list(app: Arc<App>, request: Request) -> Response {
    let groups = app.live().settings.metrics.groups;
    let snapshot = snapshot(&app, groups, false, deadline(&app, &request)).await;
    Response::new(Body::chunks(json::chunks(snapshot))).content_type("application/json")
}

/// 200 while numbers can be read; the body says how each source is.
async fn is_healthy(app: Arc<App>) -> Response {
    let request =
        Collect::new(app.live().settings.metrics.groups).max_age(HEALTH_AGE).deadline(Duration::from_secs(2));
    let snapshot = app.collector.collect(request).await;
    let running = || snapshot.containers.iter().filter(|one| one.container.state.has_processes());
    let stuck =
        running().filter(|one| one.sample.get(ids::CPU_USAGE) == Reading::Absent(Absence::Timeout)).count();
    let running = running().count();
    let well = running == 0 || stuck < running;
    let mut sources = Vec::new();
    for source in app.collector.sources().into_iter().filter(|source| !source.dormant) {
        let (up, detail) = match &source.status {
            Some(SourceStatus::Up(engine)) => (true, format!("{} {}", engine.engine, engine.version)),
            Some(SourceStatus::Down(reason)) => (false, reason.clone()),
            _ => (false, "has not answered yet".to_owned()),
        };
        sources.push(serde_json::json!({
            "source": source.name, "up": up, "detail": detail.trim(), "containers": source.containers,
        }));
    }
    let body = serde_json::json!({
        "status": if well { "ok" } else { "failing" },
        "running": running,
        "not_read_in_time": stuck,
        "sources": sources,
    });
    let response = Response::new(Body::full(format!("{body}\n"))).content_type("application/json");
    if well { response } else { response.status(Status::SERVICE_UNAVAILABLE) }
}

fn landing() -> Response {
    let mut html = String::from(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>container-exporter</title>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <style>body{font:16px/1.6 system-ui,sans-serif;max-width:42rem;margin:3rem auto;padding:0 1rem;color:#222;\
         background:#fff}code{background:#eee;padding:.1em .3em}a{color:#0645ad}\
         @media(prefers-color-scheme:dark){body{background:#181818;color:#ddd}code{background:#333}a{color:#8ab4f8}}\
         </style>\n</head>\n<body>\n<h1>container-exporter</h1>\n",
    );
    _ = writeln!(
        html,
        "<p>Version {}. What every container on this host uses, for Prometheus.</p>\n<ul>",
        env!("CARGO_PKG_VERSION")
    );
    for (path, what) in [
        ("/metrics", "all metrics"),
        ("/metrics?profile=cadvisor", "the same under cAdvisor's names and labels"),
        ("/metrics?collect[]=cpu&amp;collect[]=memory", "some groups only"),
        ("/api/v1/containers", "the containers as JSON"),
        ("/health", "whether collecting works, and how each source is"),
        ("/livez", "whether the process answers"),
    ] {
        _ = writeln!(html, "<li><a href=\"{path}\"><code>{path}</code></a> – {what}</li>");
    }
    html.push_str("</ul>\n</body>\n</html>\n");
    Response::new(Body::full(html)).content_type("text/html; charset=utf-8")
}

//! Sending: every interval a snapshot becomes OTLP requests, which a client delivers.
//!
//! One task owns sink and client. A reload hands it other settings, the end of the process tells it to flush; scrapes
//! share nothing with it but the collector.

use std::pin::pin;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use collector_core::{Request as Collect, Snapshot};
use otlp_client::{Client, Payload, SettingsError, Stats};
use runtime_metrics::RuntimeMetrics;
use sink_otlp::{AttributeValue, Options, OtlpSink};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout, timeout_at};
use tracing::Instrument as _;

use super::meter::Meter;
use super::resource;
use super::serve::{App, is_settled};
use crate::config::settings::{Otlp, Settings};

/// The largest request, before compression. Receivers take 4 MiB; a smaller one is encoded in a millisecond, for which others
/// wait, and takes less memory in the making and in the sending.
const REQUEST_BYTES_MAX: usize = 1 << 19;
/// How long the last requests may take at the end of the process, those of traces included.
pub(super) const FLUSH: Duration = Duration::from_secs(5);
/// How long the first export waits for the engines' first lists.
const FIRST_LIST: Duration = Duration::from_secs(2);

/// The counts of the client, while there is one.
pub(super) type Shown = Arc<RwLock<Option<Arc<Stats>>>>;

/// What the task is told.
#[derive(Clone)]
enum Order {
    /// These settings hold.
    Run(Arc<Settings>),
    /// The process ends.
    Stop,
}

/// The task's handle.
pub(super) struct Export {
    orders: watch::Sender<Order>,
    /// Ends with the last collection.
    collected: oneshot::Receiver<()>,
    task: JoinHandle<()>,
}

impl Export {
    /// Starts the task; where no endpoint is set it waits for a reload that sets one.
    ///
    /// # Errors
    /// A file of TLS that the settings name cannot be used.
    pub(super) fn start(
        app: &Arc<App>,
        settings: &Arc<Settings>,
        own: Arc<RuntimeMetrics>,
        shown: Shown,
    ) -> Result<Self, SettingsError> {
        let own = Arc::new(Own { metrics: own, meter: OnceLock::new() });
        let start = |otlp| Running::start(settings, otlp, Arc::clone(&own));
        let running = settings.otlp.as_ref().map(start).transpose()?;
        let (orders, received) = watch::channel(Order::Run(Arc::clone(settings)));
        let (collecting, collected) = oneshot::channel();
        let task = Task { app: Arc::clone(app), running, own, orders: received, shown, collecting };
        Ok(Self { orders, collected, task: tokio::spawn(task.run()) })
    }

    /// What a reload tells.
    pub(super) fn reloads(&self) -> Reloads {
        Reloads(self.orders.clone())
    }

    /// Has the last numbers sent, while open requests are still being answered.
    pub(super) fn stopper(&self) -> impl FnOnce() + use<> {
        let orders = self.orders.clone();
        move || drop(orders.send_replace(Order::Stop))
    }

    /// Waits for the last collection of what [`stopper`](Self::stopper) began: no span of the task begins after it.
    pub(super) async fn collected(&mut self) {
        self.orders.send_replace(Order::Stop);
        // An error is the sender's end.
        _ = (&mut self.collected).await;
    }

    /// Waits for the end.
    pub(super) async fn ended(self) {
        self.orders.send_replace(Order::Stop);
        // A bug in it was told by its panic.
        _ = self.task.await;
    }
}

/// Hands other settings to the task.
pub(super) struct Reloads(watch::Sender<Order>);

impl Reloads {
    /// These settings hold from now on.
    pub(super) fn apply(&self, settings: &Arc<Settings>) {
        self.0.send_if_modified(|order| {
            let is_running = matches!(order, Order::Run(_));
            if is_running {
                *order = Order::Run(Arc::clone(settings));
            }
            is_running
        });
    }
}

/// A client and what feeds it.
struct Running {
    settings: Arc<Settings>,
    interval: Duration,
    client: Client,
    sink: OtlpSink,
    own: Arc<Own>,
    /// Of the exporter.
    resource: Vec<(String, AttributeValue)>,
}

/// The process's own metrics, and the meter that shows them once something is sent.
struct Own {
    metrics: Arc<RuntimeMetrics>,
    meter: OnceLock<Meter>,
}

impl Running {
    fn start(settings: &Arc<Settings>, otlp: &Otlp, own: Arc<Own>) -> Result<Self, SettingsError> {
        let client = Client::start(otlp.client.clone())?;
        let options = options(settings, otlp);
        let resource = options.resource.clone();
        let sink = OtlpSink::new(options);
        let Otlp { interval, client: to, .. } = otlp;
        tracing::info!("sending metrics to {} by {} every {interval:?}", to.endpoint, to.protocol);
        Ok(Self { settings: Arc::clone(settings), interval: *interval, client, sink, own, resource })
    }

    /// Other settings; a sink that would stay the same keeps what it knows of ended series.
    fn apply(&mut self, settings: &Arc<Settings>, otlp: &Otlp) -> Result<(), SettingsError> {
        let old = self.settings.otlp.as_ref();
        if old.map(|old| &old.client) != Some(&otlp.client) || otlp.client.endpoint.is_tls() {
            self.client.reconfigure(otlp.client.clone())?;
        }
        let options = options(settings, otlp);
        if old.is_none_or(|old| self::options(&self.settings, old) != options) {
            self.end_series();
            self.resource.clone_from(&options.resource);
            self.sink = OtlpSink::new(options);
        }
        self.interval = otlp.interval;
        self.settings = Arc::clone(settings);
        Ok(())
    }

    /// Tells the receiver that all series have ended: from now on they have other names, or are not sent.
    fn end_series(&mut self) {
        for batch in self.sink.export(Arc::new(Snapshot::empty(SystemTime::now()))) {
            self.client.submit(Payload { body: batch.body, points: batch.points });
        }
    }

    async fn collect(&self, app: &App) -> Arc<Snapshot> {
        let metrics = &self.settings.metrics;
        let deadline = metrics.timeout.min(self.interval);
        let request = Collect::new(metrics.groups).max_age(metrics.max_age).deadline(deadline);
        app.collector.collect(request).await
    }

    /// One export of a snapshot. Requests are made as there is room for them, so that few are held; what a receiver has not taken by
    /// `until` is left to the queue, which drops the oldest. Where the process ends meanwhile the rest is left out: the
    /// last export has it.
    async fn export(&mut self, snapshot: Arc<Snapshot>, until: Instant, end: impl Future<Output = ()>) {
        let meter = self.own.meter.get_or_init(|| Meter::new(&self.own.metrics));
        if let Some(payload) = meter.payload(&self.resource) {
            self.client.submit(payload);
        }
        let mut end = pin!(end);
        let mut batches = self.sink.export(snapshot);
        loop {
            // Before the next is made: what is held is what the queue holds.
            tokio::select! {
                _ = timeout_at(until, self.client.has_room(REQUEST_BYTES_MAX)) => {}
                () = &mut end => return,
            }
            let Some(batch) = batches.next() else { return };
            self.client.submit(Payload { body: batch.body, points: batch.points });
            // Each took about a millisecond to encode.
            tokio::task::yield_now().await;
        }
    }
}

fn options(settings: &Settings, otlp: &Otlp) -> Options {
    let mut options = Options::default();
    options.identity = otlp.identity;
    options.names = otlp.names;
    options.groups = settings.metrics.groups;
    options.batch_bytes_max = REQUEST_BYTES_MAX;
    options.labels_max = settings.labels.max_per_container;
    options.label_value_bytes_max = settings.labels.max_value_bytes;
    options.resource = resource::of_sink(&otlp.resource);
    let of_containers = options.resource.iter().filter(|(key, _)| says_where(key)).cloned().collect();
    options.container_resource = of_containers;
    options
}

/// Waits for the last order.
async fn stopped(mut orders: watch::Receiver<Order>) {
    _ = orders.wait_for(|order| matches!(order, Order::Stop)).await;
}

/// Whether an attribute of ours is one of every container here as well.
fn says_where(key: &str) -> bool {
    ["host.", "cloud.", "deployment.", "k8s.cluster.", "k8s.node."]
        .iter()
        .any(|prefix| key.starts_with(prefix))
}

struct Task {
    app: Arc<App>,
    running: Option<Running>,
    own: Arc<Own>,
    orders: watch::Receiver<Order>,
    shown: Shown,
    /// Dropped after the last collection.
    collecting: oneshot::Sender<()>,
}

impl Task {
    async fn run(mut self) {
        self.show();
        let settled = self.app.collector.wait_until(|collector| is_settled(&collector.sources()));
        _ = timeout(FIRST_LIST, settled).await;
        loop {
            if self.serve().await {
                return self.finish().await;
            }
        }
    }

    /// Until there is an order: whether it is the last.
    async fn serve(&mut self) -> bool {
        if let Some(running) = &mut self.running {
            let mut ticks = interval(running.interval);
            // After a pause of the whole machine, one export and not all that were missed.
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            // An order may come during an export.
            while matches!(self.orders.has_changed(), Ok(false)) {
                let tick = tokio::select! {
                    tick = ticks.tick() => tick,
                    _ = self.orders.changed() => break,
                };
                // Its own receiver: one that looked for the end would pass over a reload.
                let end = stopped(self.orders.clone());
                let until = tick + running.interval;
                let export = async {
                    // While nobody takes anything, no numbers are held that would be old by then.
                    tokio::select! {
                        _ = timeout_at(until, running.client.has_room(REQUEST_BYTES_MAX)) => {}
                        () = stopped(self.orders.clone()) => return,
                    }
                    let snapshot = running.collect(&self.app).await;
                    running.export(snapshot, until, end).await;
                };
                export.instrument(tracing::info_span!("export")).await;
            }
        } else {
            _ = self.orders.changed().await;
        }
        if self.orders.has_changed().is_err() {
            return true;
        }
        let order = self.orders.borrow_and_update().clone();
        match order {
            Order::Stop => true,
            Order::Run(settings) => {
                self.apply(&settings).await;
                false
            }
        }
    }

    async fn apply(&mut self, settings: &Arc<Settings>) {
        let applied = match (&mut self.running, &settings.otlp) {
            (None, None) => Ok(()),
            (Some(running), Some(otlp)) => running.apply(settings, otlp),
            (None, Some(otlp)) => Running::start(settings, otlp, Arc::clone(&self.own))
                .map(|running| self.running = Some(running)),
            (Some(running), None) => {
                tracing::info!("no metrics are sent any more");
                running.end_series();
                _ = running.client.shutdown(FLUSH).await;
                self.running = None;
                Ok(())
            }
        };
        if let Err(error) = applied {
            tracing::error!("SIGHUP: what was sent by OTLP stays as it was: {error}");
        }
        self.show();
    }

    /// Hands the counts to whoever shows them.
    fn show(&self) {
        let stats = self.running.as_ref().map(|running| Arc::clone(running.client.stats()));
        *self.shown.write().unwrap_or_else(PoisonError::into_inner) = stats;
    }

    /// The last numbers, and what still waits.
    async fn finish(self) {
        let Some(mut running) = self.running else { return };
        let until = Instant::now() + FLUSH;
        let snapshot = timeout_at(until, running.collect(&self.app)).await;
        drop(self.collecting);
        if let Ok(snapshot) = snapshot {
            _ = timeout_at(until, running.export(snapshot, until, std::future::pending())).await;
        }
        running.client.shutdown(until.saturating_duration_since(Instant::now())).await;
    }
}

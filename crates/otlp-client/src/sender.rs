//! The one task that sends: a payload after the other, each for so long as it may be tried.

use std::{
    hash::{BuildHasher as _, RandomState},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until, timeout_at},
};

use crate::{
    Compression, DropReason, Payload, Settings, SettingsError, Stats, advice,
    answer::{Answer, Verdict},
    health::{Health, Trouble},
    link::{Dial, Link, TlsLayer},
    queue::Queue,
    request::{Head, compressed},
};

/// The longest wait that a receiver is granted: who asks for a year is asked again after this.
const WAIT_MAX: Duration = Duration::from_secs(3600);

/// Settings and what follows from them.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) settings: Settings,
    head: Head,
    tls: Option<TlsLayer>,
}

impl Target {
    /// Reads the files of TLS.
    pub(crate) fn new(settings: Settings) -> Result<Self, SettingsError> {
        Ok(Self { head: Head::new(&settings), tls: TlsLayer::new(&settings)?, settings })
    }
}

/// Waits between attempts: twice as long each time, up to a bound, a random part of it left out so that the clients of
/// a receiver that comes back do not all come at one time.
#[derive(Debug, Default)]
struct Backoff {
    failures: u32,
}

impl Backoff {
    fn next(&mut self, timeout: Duration) -> Duration {
        let first = (timeout / 10).clamp(Duration::from_millis(10), Duration::from_secs(1));
        let longest = (timeout / 2).min(Duration::from_secs(5));
        let whole = first.saturating_mul(1 << self.failures.min(8)).min(longest);
        self.failures += 1;
        // The keys of a new hash map are the standard library's random numbers.
        let random = RandomState::new().hash_one(self.failures) % 1024;
        whole / 2 + whole / 2 * u32::try_from(random).unwrap_or(0) / 1024
    }
}

/// How a payload ended.
enum End {
    Exported { rejected: usize },
    Dropped(DropReason),
}

pub(crate) struct Sender {
    queue: Arc<Queue>,
    stats: Arc<Stats>,
    targets: watch::Receiver<Arc<Target>>,
    target: Arc<Target>,
    link: Link,
    /// Nothing is sent before: the receiver's wish, or our backoff.
    not_before: Option<Instant>,
    backoff: Backoff,
    compression: Negotiation,
    health: Health,
}

/// Which compression is used, and which a receiver does not know.
#[derive(Debug)]
struct Negotiation {
    wanted: Compression,
    now: Compression,
    /// The receiver refuses plain bodies as well, so it was not the compression.
    is_innocent: bool,
}

impl Negotiation {
    const fn new(wanted: Compression) -> Self {
        Self { wanted, now: wanted, is_innocent: false }
    }

    /// After a refusal: whether there is another to try.
    const fn fall_back(&mut self) -> bool {
        if self.is_innocent {
            return false;
        }
        self.now = match self.now {
            Compression::Zstd => Compression::Gzip,
            Compression::Gzip => Compression::None,
            Compression::None => return false,
        };
        true
    }
}

impl Sender {
    pub(crate) fn new(
        queue: Arc<Queue>,
        stats: Arc<Stats>,
        mut targets: watch::Receiver<Arc<Target>>,
        dial: Arc<dyn Dial>,
    ) -> Self {
        let target = targets.borrow_and_update().clone();
        let compression = Negotiation::new(target.settings.compression);
        Self {
            queue,
            stats,
            targets,
            target,
            link: Link::new(dial),
            not_before: None,
            backoff: Backoff::default(),
            compression,
            health: Health::default(),
        }
    }

    /// Until the queue is closed and empty.
    pub(crate) async fn run(mut self) {
        while self.queue.has_some().await {
            // What waits for its turn can still make room for newer.
            self.turn().await;
            let Some(payload) = self.queue.take() else { continue };
            let started = Instant::now();
            let end = self.export(&payload).await;
            self.stats.operation(started.elapsed());
            match end {
                End::Exported { rejected } => {
                    let rejected = rejected.min(payload.points);
                    self.stats.exported(payload.points - rejected);
                    self.stats.failed(DropReason::Rejected, rejected);
                }
                End::Dropped(reason) => self.stats.failed(reason, payload.points),
            }
            self.queue.done();
        }
    }

    /// Waits until something may be sent; other settings end the wait.
    async fn turn(&mut self) {
        self.take_new_target();
        while let Some(not_before) = self.not_before.take() {
            if not_before <= Instant::now() {
                return;
            }
            tokio::select! {
                () = sleep_until(not_before) => return,
                Ok(()) = self.targets.changed() => self.change_target(),
            }
        }
    }

    fn take_new_target(&mut self) {
        if self.targets.has_changed().unwrap_or(false) {
            self.change_target();
        }
    }

    /// Nothing that was learned of the old receiver holds for the new.
    fn change_target(&mut self) {
        self.target = self.targets.borrow_and_update().clone();
        self.link.close();
        self.not_before = None;
        self.backoff = Backoff::default();
        self.compression = Negotiation::new(self.target.settings.compression);
        self.health = Health::default();
    }

    /// One payload that is no part of the queue, with all the tries it may have: how many of its points were taken.
    pub(crate) async fn deliver(&mut self, payload: &Payload) -> Result<usize, DropReason> {
        self.take_new_target();
        let latest = Instant::now() + self.target.settings.timeout;
        // The receiver's wish goes before; whoever waits for the result does not wait for so long.
        if self.not_before.is_some_and(|not_before| not_before > latest) {
            return Err(DropReason::Timeout);
        }
        self.turn().await;
        let started = Instant::now();
        let end = self.export(payload).await;
        self.stats.operation(started.elapsed());
        match end {
            End::Exported { rejected } => Ok(payload.points - rejected.min(payload.points)),
            End::Dropped(reason) => Err(reason),
        }
    }

    async fn export(&mut self, payload: &Payload) -> End {
        let deadline = Instant::now() + self.target.settings.timeout;
        let mut body: Option<(Compression, Bytes)> = None;
        let mut is_told = false;
        loop {
            let begun = Instant::now();
            let attempt = timeout_at(deadline, self.attempt(payload, &mut body, deadline)).await;
            let (at_least, trouble, why) = match attempt {
                Ok(Verdict::Taken { rejected, message }) => return self.taken(rejected, &message),
                Ok(Verdict::Encoding) if self.compression.fall_back() => continue,
                // Without compression that is no verdict.
                Ok(Verdict::Encoding) => return End::Dropped(DropReason::NotRetryable),
                Ok(Verdict::Refused { why }) => {
                    self.is_not_the_compression();
                    self.trouble(Trouble::Refused, &why);
                    return End::Dropped(DropReason::NotRetryable);
                }
                Ok(Verdict::Bad { why }) => {
                    self.trouble(Trouble::Bad, &why);
                    return End::Dropped(DropReason::BadAnswer);
                }
                Ok(Verdict::Later { at_least, why }) => (at_least, Trouble::Later, why),
                Ok(Verdict::Unreachable { why }) => (None, Trouble::Unreachable, why),
                Err(_) => {
                    self.link.close();
                    let timeout = self.target.settings.timeout;
                    (None, Trouble::Slow, format!("it does not answer within {timeout:?}: is it overloaded?"))
                }
            };
            // A try that hardly had time says nothing of the receiver; those before it have.
            let had_time = begun.elapsed() >= self.target.settings.timeout / 2;
            if trouble != Trouble::Slow || had_time || !is_told {
                self.trouble(trouble, &why);
            }
            is_told = true;
            let wait = self.backoff.next(self.target.settings.timeout);
            let not_before = Instant::now() + at_least.map_or(wait, |least| wait.max(least.min(WAIT_MAX)));
            self.not_before = Some(not_before);
            self.take_new_target();
            // To wait beyond the deadline would help nobody; the next payload waits in the queue.
            if self.not_before.is_some_and(|not_before| not_before >= deadline) || Instant::now() >= deadline
            {
                return End::Dropped(DropReason::Timeout);
            }
            self.turn().await;
        }
    }

    fn trouble(&mut self, trouble: Trouble, why: &str) {
        self.health.trouble(&self.target.settings.endpoint, trouble, why);
    }

    fn taken(&mut self, rejected: u64, message: &str) -> End {
        self.backoff = Backoff::default();
        let Negotiation { wanted, now, .. } = self.compression;
        if wanted != now {
            let endpoint = &self.target.settings.endpoint;
            tracing::warn!("{endpoint} refuses {wanted}; compression is {now} from now on");
        }
        self.compression = Negotiation::new(now);
        if rejected == 0 && message.is_empty() {
            self.health.good(&self.target.settings.endpoint);
        } else {
            let points = self.target.settings.endpoint.signal().points();
            let why = format!("it rejects {rejected} {points}{message}");
            self.trouble(Trouble::Partial, &why);
        }
        End::Exported { rejected: usize::try_from(rejected).unwrap_or(usize::MAX) }
    }

    /// A refusal without compression after one with it.
    const fn is_not_the_compression(&mut self) {
        let Negotiation { wanted, .. } = self.compression;
        let was_tried = !matches!(
            (wanted, self.compression.now),
            (Compression::None, _)
                | (Compression::Gzip, Compression::Gzip)
                | (Compression::Zstd, Compression::Zstd)
        );
        if was_tried {
            self.compression = Negotiation { wanted, now: wanted, is_innocent: true };
        }
    }

    async fn attempt(
        &mut self,
        payload: &Payload,
        body: &mut Option<(Compression, Bytes)>,
        deadline: Instant,
    ) -> Verdict {
        let compression = self.compression.now;
        let encoded = match body {
            Some((of, encoded)) if *of == compression => encoded.clone(),
            _ => match compressed(payload.body.clone(), compression).await {
                Ok(encoded) => body.insert((compression, encoded)).1.clone(),
                Err(error) => {
                    return Verdict::Refused { why: format!("failed to compress by {compression}: {error}") };
                }
            },
        };
        self.stats.attempt(encoded.len());
        let Target { settings, head, tls } = &*self.target;
        let time = deadline.saturating_duration_since(Instant::now());
        let request = || head.request(&encoded, compression, time);
        let response = match self.link.send(settings, tls.as_ref(), time, request).await {
            Ok(response) => response,
            Err(error) => {
                return Verdict::Unreachable {
                    why: advice::connection(&settings.endpoint, settings.protocol, &*error),
                };
            }
        };
        let answer = Answer::read(response).await;
        if !answer.is_whole() {
            self.link.close();
        }
        answer.verdict(settings.protocol, compression != Compression::None)
    }
}

//! The sampling threads.
//!
//! A job is a list of items to be done, each by itself; threads take the next until none is left. A thread that hangs in
//! an item keeps it; a further thread is started in its stead, within a bound, and ends when the other has come back.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{
            AtomicBool, AtomicU64, AtomicUsize,
            Ordering::{Relaxed, SeqCst},
        },
    },
    thread,
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use super::lock;

/// What the threads do with item `n`.
type Work = Box<dyn Fn(usize) + Send + Sync>;

/// Items per thread that is woken, which are read within some 10 ms: two threads take the CPU time of one and a tenth to a fifth more,
/// since processors that are woken are cold, and many share a core.
const ITEMS_PER_THREAD: usize = 256;
/// Threads at most, as a multiple of the wanted number.
const THREADS_MAX_FACTOR: usize = 4;

/// A thread that has been in one item for so long hangs there: reading a container takes some hundred microseconds.
pub(super) const STUCK_AFTER: Duration = Duration::from_millis(200);
/// From then on a person is told: on a busy machine a thread may wait for a processor as long as others hang.
const TOLD_AFTER: Duration = Duration::from_secs(4);

/// A list of items that threads work off.
pub(super) struct Job {
    work: Work,
    items: usize,
    next: AtomicUsize,
    left: AtomicUsize,
    done: Notify,
}

impl Job {
    /// Waits until every item is done.
    pub(super) async fn finished(&self) {
        while self.left.load(SeqCst) > 0 {
            let done = self.done.notified();
            if self.left.load(SeqCst) == 0 {
                return;
            }
            done.await;
        }
    }

    /// Items that nobody has begun are not begun any more.
    pub(super) fn cancel(&self) {
        self.next.fetch_max(self.items, SeqCst);
    }

    fn take(&self) -> Option<usize> {
        let item = self.next.fetch_add(1, SeqCst);
        (item < self.items).then_some(item)
    }

    fn complete_one(&self) {
        if self.left.fetch_sub(1, SeqCst) == 1 {
            self.done.notify_waiters();
            // A waiter that looked just before the last item was done finds this permit.
            self.done.notify_one();
        }
    }
}

/// One thread: when it began its item, in milliseconds since the pool began, plus one; 0 while it has none.
#[derive(Default)]
struct Worker(AtomicU64);

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Arc<Job>>,
    /// Threads alive.
    workers: Vec<Arc<Worker>>,
    /// Threads that wait for a job.
    idle: usize,
    closed: bool,
}

struct State {
    wanted: usize,
    began: Instant,
    queue: Mutex<Queue>,
    wake: Condvar,
    /// A thread that hangs was told of.
    told: AtomicBool,
}

/// The threads and their queue.
pub(super) struct Pool(Arc<State>);

impl Pool {
    pub(super) fn new(wanted: usize) -> Self {
        let state = State {
            wanted: wanted.max(1),
            began: Instant::now(),
            queue: Mutex::default(),
            wake: Condvar::new(),
            told: AtomicBool::new(false),
        };
        Self(Arc::new(state))
    }

    /// Has items 0 to `items` done.
    pub(super) fn submit(&self, items: usize, work: impl Fn(usize) + Send + Sync + 'static) -> Arc<Job> {
        let job = Arc::new(Job {
            work: Box::new(work),
            items,
            next: AtomicUsize::new(0),
            left: AtomicUsize::new(items),
            done: Notify::new(),
        });
        if items > 0 {
            let mut queue = lock(&self.0.queue);
            queue.jobs.push_back(Arc::clone(&job));
            let wanted = items.div_ceil(ITEMS_PER_THREAD).min(self.0.wanted);
            self.0.ensure(&mut queue, wanted);
            drop(queue);
            for _ in 0..wanted {
                self.0.wake.notify_one();
            }
        }
        job
    }

    /// Lets others take over what waits behind threads that hang. Whoever waits for a job calls this now and then.
    pub(super) fn replace_stuck(&self) {
        let mut queue = lock(&self.0.queue);
        let stuck = self.0.stuck(&queue);
        if queue.idle > 0 {
            self.0.wake.notify_one();
        } else if stuck > 0 {
            self.0.spawn(&mut queue);
        }
    }

    /// Threads that hang.
    pub(super) fn stuck(&self) -> usize {
        self.0.stuck(&lock(&self.0.queue))
    }

    /// Says once that a thread hangs. Each collection calls this.
    pub(super) fn tell_of_stuck(&self) {
        let threads = self.0.in_one_item_for(TOLD_AFTER, &lock(&self.0.queue));
        if threads > 0 && !self.0.told.swap(true, Relaxed) {
            tracing::warn!(
                threads,
                "a read of the kernel's files does not return: its container has no numbers until it does, the others go on; \
                 later ones are only counted"
            );
        }
    }

    /// Ends the threads once they are idle.
    pub(super) fn close(&self) {
        lock(&self.0.queue).closed = true;
        self.0.wake.notify_all();
    }
}

impl State {
    fn millis(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX - 1) + 1
    }

    fn stuck(&self, queue: &Queue) -> usize {
        self.in_one_item_for(STUCK_AFTER, queue)
    }

    fn in_one_item_for(&self, time: Duration, queue: &Queue) -> usize {
        let now = self.millis();
        let hangs = |worker: &&Arc<Worker>| match worker.0.load(Relaxed) {
            0 => false,
            began => u128::from(now.saturating_sub(began)) >= time.as_millis(),
        };
        queue.workers.iter().filter(hangs).count()
    }

    fn ensure(self: &Arc<Self>, queue: &mut Queue, wanted: usize) {
        let stuck = self.stuck(queue);
        while queue.idle < wanted && queue.workers.len() < self.wanted + stuck {
            if !self.spawn(queue) {
                return;
            }
        }
    }

    fn spawn(self: &Arc<Self>, queue: &mut Queue) -> bool {
        if queue.workers.len() >= self.wanted * THREADS_MAX_FACTOR || queue.closed {
            return false;
        }
        let state = Arc::clone(self);
        let worker = Arc::new(Worker::default());
        let known = Arc::clone(&worker);
        let thread = thread::Builder::new().name("sampler".into()).stack_size(256 * 1024);
        match thread.spawn(move || state.run(&worker)) {
            Ok(_) => {
                queue.workers.push(known);
                queue.idle += 1;
                true
            }
            Err(error) => {
                tracing::error!(%error, "failed to start a sampling thread: raise the limit of threads (RLIMIT_NPROC, pids.max)");
                false
            }
        }
    }

    fn run(&self, worker: &Arc<Worker>) {
        let mut queue = lock(&self.queue);
        loop {
            if let Some(job) = queue.jobs.front().cloned() {
                match job.take() {
                    Some(item) => {
                        queue.idle -= 1;
                        drop(queue);
                        self.work_off(worker, &job, item);
                        queue = lock(&self.queue);
                        queue.idle += 1;
                    }
                    None => {
                        queue.jobs.retain(|other| !Arc::ptr_eq(other, &job));
                    }
                }
            } else if queue.closed || queue.workers.len() > self.wanted + self.stuck(&queue) {
                queue.workers.retain(|other| !Arc::ptr_eq(other, worker));
                queue.idle -= 1;
                return;
            } else {
                queue = self.wake.wait(queue).unwrap_or_else(std::sync::PoisonError::into_inner);
            }
        }
    }

    /// Does this item and then others, until none is left.
    fn work_off(&self, worker: &Worker, job: &Job, first: usize) {
        let mut next = Some(first);
        while let Some(item) = next {
            worker.0.store(self.millis(), Relaxed);
            // A sampler that panics loses its container, not the thread.
            if catch_unwind(AssertUnwindSafe(|| (job.work)(item))).is_err() {
                tracing::error!("a sampler panicked, which is a fault of this program: please report it");
            }
            worker.0.store(0, Relaxed);
            job.complete_one();
            next = job.take();
        }
    }
}

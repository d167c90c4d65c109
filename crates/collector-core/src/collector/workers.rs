//! The sampling threads.
//!
//! A job is a list of items to be done, each by itself; threads take the next until none is left. A thread that hangs in
//! an item keeps it; a further thread is started in its stead, within a bound, and threads beyond the wanted number end
//! when they come back.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
};

use tokio::sync::Notify;

use super::lock;

/// What the threads do with item `n`.
type Work = Box<dyn Fn(usize) + Send + Sync>;

/// Items per thread that is woken: waking one costs as much as reading a few containers.
const ITEMS_PER_THREAD: usize = 64;
/// Threads at most, as a multiple of the wanted number.
const THREADS_MAX_FACTOR: usize = 4;

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

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Arc<Job>>,
    /// Threads alive.
    threads: usize,
    /// Threads that wait for a job.
    idle: usize,
    closed: bool,
}

struct State {
    wanted: usize,
    queue: Mutex<Queue>,
    wake: Condvar,
}

/// The threads and their queue.
pub(super) struct Pool(Arc<State>);

impl Pool {
    pub(super) fn new(wanted: usize) -> Self {
        let state = State { wanted: wanted.max(1), queue: Mutex::default(), wake: Condvar::new() };
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

    /// Threads that are in an item although its job's deadline has passed cannot be told from busy ones here; whoever
    /// waited in vain calls this, and a thread is added if none is idle.
    pub(super) fn replace_stuck(&self) {
        let mut queue = lock(&self.0.queue);
        if queue.idle == 0 {
            self.0.spawn(&mut queue);
        }
    }

    /// Threads above the wanted number: as many hang.
    pub(super) fn stuck(&self) -> usize {
        let queue = lock(&self.0.queue);
        queue.threads.saturating_sub(self.0.wanted)
    }

    /// Ends the threads once they are idle.
    pub(super) fn close(&self) {
        lock(&self.0.queue).closed = true;
        self.0.wake.notify_all();
    }
}

impl State {
    fn ensure(self: &Arc<Self>, queue: &mut Queue, wanted: usize) {
        while queue.idle < wanted && queue.threads < self.wanted {
            if !self.spawn(queue) {
                return;
            }
        }
    }

    fn spawn(self: &Arc<Self>, queue: &mut Queue) -> bool {
        if queue.threads >= self.wanted * THREADS_MAX_FACTOR || queue.closed {
            return false;
        }
        let state = Arc::clone(self);
        let spawned =
            thread::Builder::new().name("sampler".into()).stack_size(256 * 1024).spawn(move || state.run());
        match spawned {
            Ok(_) => {
                queue.threads += 1;
                queue.idle += 1;
                true
            }
            Err(error) => {
                tracing::error!(%error, "failed to start a sampling thread: raise the limit of threads (RLIMIT_NPROC, pids.max)");
                false
            }
        }
    }

    fn run(self: Arc<Self>) {
        let mut queue = lock(&self.queue);
        loop {
            if let Some(job) = queue.jobs.front().cloned() {
                match job.take() {
                    Some(item) => {
                        queue.idle -= 1;
                        drop(queue);
                        (job.work)(item);
                        job.complete_one();
                        while let Some(item) = job.take() {
                            (job.work)(item);
                            job.complete_one();
                        }
                        queue = lock(&self.queue);
                        queue.idle += 1;
                    }
                    None => {
                        queue.jobs.retain(|other| !Arc::ptr_eq(other, &job));
                    }
                }
            } else if queue.closed || queue.threads > self.wanted {
                queue.threads -= 1;
                queue.idle -= 1;
                return;
            } else {
                queue = self.wake.wait(queue).unwrap_or_else(std::sync::PoisonError::into_inner);
            }
        }
    }
}

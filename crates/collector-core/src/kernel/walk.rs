//! The slow walks over writable layers and mounts: one thread, which is replaced if a file system never answers.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::{
        Arc, Condvar, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use super::{
    lock,
    tree::{Found, Target, measure},
};

/// The nice value of the threads: the lowest, from which the kernel takes the priority of their I/O, too.
const NICE: i32 = 19;
/// A walk begins again after this many times as long as it took at the least, so that it is at most a tenth of the time on its
/// way.
const REST_FACTOR: u32 = 10;
/// A walk that has not got further for so long hangs: another thread takes over the rest.
const STUCK_AFTER: Duration = Duration::from_secs(60);
/// Threads at most, those that hang included.
const THREADS_MAX: u64 = 4;

/// When a walk last got further: milliseconds since the beginning, 0 while there is none.
#[derive(Debug)]
pub(super) struct Beat {
    began: Instant,
    at: AtomicU64,
}

impl Beat {
    pub(super) fn new(began: Instant) -> Arc<Self> {
        Arc::new(Self { began, at: AtomicU64::new(0) })
    }

    /// It got further.
    pub(super) fn note(&self) {
        let millis = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
        self.at.store(millis + 1, Relaxed);
    }

    fn is_stuck(&self, stuck_after: Duration) -> bool {
        let at = self.at.load(Relaxed);
        at > 0 && self.began.elapsed().saturating_sub(Duration::from_millis(at - 1)) >= stuck_after
    }
}

/// What measures.
type Walk = dyn Fn(&Target, &Beat) -> Found + Send + Sync;

/// What is walked: a container's number, and 0 for its layer or the number of a mount.
pub(super) type JobId = (u64, u32);

#[derive(Debug)]
struct Job {
    target: Target,
    found: Option<Found>,
    /// `None` while a thread is in it.
    next: Option<Instant>,
}

struct State {
    interval: Duration,
    stuck_after: Duration,
    began: Instant,
    walk: Box<Walk>,
    queue: Mutex<Queue>,
    changed: Condvar,
}

struct Queue {
    jobs: BTreeMap<JobId, Job>,
    /// The thread on duty, by number, and its beat. Others hang, and end when they come back.
    on_duty: (u64, Arc<Beat>),
    /// The device that the thread on duty walks on.
    device: Option<u64>,
    /// Devices on which threads hang: nobody else goes there.
    hung: BTreeSet<u64>,
    threads: u64,
    closed: bool,
}

/// Walks whichever layer is due first, again and again.
pub(super) struct Walker(Arc<State>);

impl std::fmt::Debug for Walker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Walker").finish_non_exhaustive()
    }
}

impl Walker {
    /// Starts the thread.
    pub(super) fn start(interval: Duration) -> io::Result<Self> {
        Self::with(interval, STUCK_AFTER, Box::new(measure))
    }

    fn with(interval: Duration, stuck_after: Duration, walk: Box<Walk>) -> io::Result<Self> {
        let began = Instant::now();
        let beat = Beat::new(began);
        let queue = Queue {
            jobs: BTreeMap::new(),
            on_duty: (0, Arc::clone(&beat)),
            device: None,
            hung: BTreeSet::new(),
            threads: 1,
            closed: false,
        };
        let queue = Mutex::new(queue);
        let state = Arc::new(State { interval, stuck_after, began, walk, queue, changed: Condvar::new() });
        spawn(&state, 0, beat)?;
        Ok(Self(state))
    }

    /// Something to be walked soon, and again after each interval.
    pub(super) fn add(&self, id: JobId, target: Target) {
        let job = Job { target, found: None, next: Some(Instant::now()) };
        lock(&self.0.queue).jobs.insert(id, job);
        self.0.changed.notify_all();
    }

    /// Forgets all of one container.
    pub(super) fn remove(&self, token: u64) {
        let mut queue = lock(&self.0.queue);
        let gone: Vec<JobId> = queue.jobs.range((token, 0)..=(token, u32::MAX)).map(|(id, _)| *id).collect();
        for id in gone {
            queue.jobs.remove(&id);
        }
    }

    /// What the last walk found; none where none has ended. Whoever asks also sees to it that a walk that hangs does not keep
    /// the others waiting.
    pub(super) fn found(&self, id: JobId) -> Option<Found> {
        let mut queue = lock(&self.0.queue);
        self.replace_stuck(&mut queue);
        queue.jobs.get(&id)?.found
    }

    fn replace_stuck(&self, queue: &mut Queue) {
        if queue.threads >= THREADS_MAX || !queue.on_duty.1.is_stuck(self.0.stuck_after) {
            return;
        }
        let (number, beat) = (queue.on_duty.0 + 1, Beat::new(self.0.began));
        match spawn(&self.0, number, Arc::clone(&beat)) {
            Ok(()) => {
                queue.on_duty = (number, beat);
                queue.threads += 1;
                let device = queue.device.take();
                queue.hung.extend(device);
            }
            Err(error) => {
                tracing::warn!(%error, "failed to start a thread that walks writable layers and mounts")
            }
        }
    }
}

impl Drop for Walker {
    fn drop(&mut self) {
        lock(&self.0.queue).closed = true;
        self.0.changed.notify_all();
    }
}

fn spawn(state: &Arc<State>, number: u64, beat: Arc<Beat>) -> io::Result<()> {
    let state = Arc::clone(state);
    let thread = thread::Builder::new().name("layer-walk".into()).stack_size(256 * 1024);
    thread.spawn(move || state.run(number, &beat)).map(drop)
}

impl State {
    /// One thread: until it is not the one on duty any more.
    fn run(&self, number: u64, beat: &Beat) {
        // Of this thread alone. Where it may not be lowered it is as it is.
        let _ = rustix::process::setpriority_process(None, NICE);
        let mut queue = lock(&self.queue);
        while !queue.closed && queue.on_duty.0 == number {
            let due = |(id, job): (&JobId, &Job)| Some((job.next?, *id));
            let first = queue.jobs.iter().filter(|(_, job)| !queue.hung.contains(&job.target.device));
            let first = first.filter_map(due).min();
            let wait = first.map(|(at, _)| at.saturating_duration_since(Instant::now()));
            queue = match (first, wait) {
                (Some((_, id)), Some(Duration::ZERO)) => self.walk_one(queue, id, number, beat),
                (_, Some(wait)) => {
                    let waited = self.changed.wait_timeout(queue, wait);
                    waited.unwrap_or_else(std::sync::PoisonError::into_inner).0
                }
                (_, None) => self.changed.wait(queue).unwrap_or_else(std::sync::PoisonError::into_inner),
            };
        }
        queue.threads -= 1;
    }

    fn walk_one<'a>(
        &'a self,
        mut queue: MutexGuard<'a, Queue>,
        id: JobId,
        number: u64,
        beat: &Beat,
    ) -> MutexGuard<'a, Queue> {
        let Some(job) = queue.jobs.get_mut(&id) else { return queue };
        job.next = None;
        let target = job.target.clone();
        queue.device = Some(target.device);
        drop(queue);
        let began = Instant::now();
        beat.note();
        let found = (self.walk)(&target, beat);
        beat.at.store(0, Relaxed);
        let mut queue = lock(&self.queue);
        if queue.on_duty.0 == number {
            queue.device = None;
        } else if queue.hung.remove(&target.device) {
            // It answers again: the others there have their turn.
            self.changed.notify_all();
        }
        if let Some(job) = queue.jobs.get_mut(&id) {
            job.found = Some(found);
            job.next = Some(Instant::now() + self.interval.max(began.elapsed() * REST_FACTOR));
        }
        queue
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::{Absence, kernel::tree::Way};

    fn target(directory: &str, device: u64) -> Target {
        Target { ways: vec![Way { from: directory.into(), to: "".into() }], device }
    }

    fn found(used: Result<u64, Absence>) -> Found {
        Found { used, space: Err(Absence::NotCollected), at: Instant::now() }
    }

    /// Asks until the walk has ended; the test's own time limit bounds it.
    fn await_used(walker: &Walker, token: u64) -> Result<u64, Absence> {
        loop {
            match walker.found((token, 0)) {
                None => thread::yield_now(),
                Some(found) => return found.used,
            }
        }
    }

    const LONG: Duration = Duration::from_secs(600);

    #[test]
    fn a_walk_that_hangs_does_not_stop_the_others() {
        let (release, hold) = mpsc::channel::<()>();
        let hold = Mutex::new(hold);
        let (entered, has_entered) = mpsc::channel();
        let walk = move |target: &Target, _: &Beat| {
            let directory = &target.ways[0].from;
            if target.device == 1 {
                let _ = entered.send(());
                let _ = lock(&hold).recv();
            }
            found(Ok(directory.as_os_str().len() as u64))
        };
        let walker = Walker::with(LONG, Duration::ZERO, Box::new(walk)).expect("a walker");
        walker.add((1, 0), target("/hangs", 1));
        has_entered.recv().expect("the walk");
        // Others on the device that hangs are not tried: each would cost a thread.
        walker.add((2, 0), target("/there", 1));
        walker.add((3, 0), target("/good", 2));
        assert_eq!(await_used(&walker, 3), Ok(5));
        assert_eq!(walker.found((1, 0)), None);
        assert_eq!(walker.found((2, 0)), None);
        assert!(has_entered.try_recv().is_err());
        drop(release);
        assert_eq!(await_used(&walker, 1), Ok(6));
        assert_eq!(await_used(&walker, 2), Ok(6), "it answers again");
        walker.remove(1);
        assert_eq!(walker.found((1, 0)), None);
    }

    #[test]
    fn threads_that_hang_are_bounded_and_come_back() {
        let (release, hold) = mpsc::channel::<()>();
        let hold = Arc::new(Mutex::new(hold));
        let (entered, has_entered) = mpsc::channel();
        let walk = move |_: &Target, _: &Beat| {
            let _ = entered.send(());
            let _ = lock(&hold).recv();
            found(Err(Absence::TooMany))
        };
        let walker = Walker::with(LONG, Duration::ZERO, Box::new(walk)).expect("a walker");
        for token in 0..8 {
            walker.add((token, 0), target("/hangs", token));
        }
        for _ in 0..THREADS_MAX {
            has_entered.recv().expect("a walk");
            walker.found((0, 0));
        }
        for _ in 0..10 {
            walker.found((0, 0));
        }
        assert_eq!(lock(&walker.0.queue).threads, THREADS_MAX);
        assert!(has_entered.try_recv().is_err(), "no more threads than that");
        drop(release);
        for token in 0..8 {
            assert_eq!(await_used(&walker, token), Err(Absence::TooMany));
        }
    }
}

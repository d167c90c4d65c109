//! The slow walks over writable layers: one thread, which is replaced if a file system never answers.

use std::{
    collections::{BTreeMap, HashSet},
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use super::lock;

/// Entries looked at between two pauses.
const BATCH: usize = 512;
/// A pause lasts this many times as long as the batch before it took.
const PAUSE_FACTOR: u32 = 4;
/// A pause at most.
const PAUSE_MAX: Duration = Duration::from_millis(250);
/// Bounds on one walk: entries, hard-linked files among them, directories still to be looked into. A larger layer is absent.
const ENTRIES_MAX: usize = 10_000_000;
const LINKS_MAX: usize = 1_000_000;
const PENDING_MAX: usize = 200_000;
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
    fn new(began: Instant) -> Arc<Self> {
        Arc::new(Self { began, at: AtomicU64::new(0) })
    }

    fn note(&self) {
        let millis = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
        self.at.store(millis + 1, Relaxed);
    }

    fn is_stuck(&self, stuck_after: Duration) -> bool {
        let at = self.at.load(Relaxed);
        at > 0 && self.began.elapsed().saturating_sub(Duration::from_millis(at - 1)) >= stuck_after
    }
}

/// Bytes below a directory on one device; `None` past the bounds.
type Walk = dyn Fn(&Path, u64, &Beat) -> Option<u64> + Send + Sync;

/// What the last walk over a layer found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Used {
    /// None has ended yet.
    Unknown,
    /// It is too large to be walked.
    TooLarge,
    /// So many bytes.
    Bytes(u64),
}

#[derive(Debug)]
struct Job {
    directory: PathBuf,
    device: u64,
    used: Used,
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
    jobs: BTreeMap<u64, Job>,
    /// The thread on duty, by number, and its beat. Others hang, and end when they come back.
    on_duty: (u64, Arc<Beat>),
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
        Self::with(interval, STUCK_AFTER, Box::new(walk))
    }

    fn with(interval: Duration, stuck_after: Duration, walk: Box<Walk>) -> io::Result<Self> {
        let began = Instant::now();
        let beat = Beat::new(began);
        let queue =
            Queue { jobs: BTreeMap::new(), on_duty: (0, Arc::clone(&beat)), threads: 1, closed: false };
        let queue = Mutex::new(queue);
        let state = Arc::new(State { interval, stuck_after, began, walk, queue, changed: Condvar::new() });
        spawn(&state, 0, beat)?;
        Ok(Self(state))
    }

    /// A layer to be walked soon, and again after each interval.
    pub(super) fn add(&self, token: u64, directory: PathBuf, device: u64) {
        let job = Job { directory, device, used: Used::Unknown, next: Some(Instant::now()) };
        lock(&self.0.queue).jobs.insert(token, job);
        self.0.changed.notify_all();
    }

    pub(super) fn remove(&self, token: u64) {
        lock(&self.0.queue).jobs.remove(&token);
    }

    /// What the last walk found. Whoever asks also sees to it that a walk that hangs does not keep the others waiting.
    pub(super) fn used(&self, token: u64) -> Used {
        let mut queue = lock(&self.0.queue);
        self.replace_stuck(&mut queue);
        queue.jobs.get(&token).map_or(Used::Unknown, |job| job.used)
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
            }
            Err(error) => tracing::warn!(%error, "failed to start a thread that walks writable layers"),
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
        let mut queue = lock(&self.queue);
        while !queue.closed && queue.on_duty.0 == number {
            let first = queue.jobs.iter().filter_map(|(token, job)| Some((job.next?, *token))).min();
            let wait = first.map(|(at, _)| at.saturating_duration_since(Instant::now()));
            queue = match (first, wait) {
                (Some((_, token)), Some(Duration::ZERO)) => self.walk_one(queue, token, beat),
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
        mut queue: std::sync::MutexGuard<'a, Queue>,
        token: u64,
        beat: &Beat,
    ) -> std::sync::MutexGuard<'a, Queue> {
        let Some(job) = queue.jobs.get_mut(&token) else { return queue };
        job.next = None;
        let (directory, device) = (job.directory.clone(), job.device);
        drop(queue);
        beat.note();
        let used = (self.walk)(&directory, device, beat);
        beat.at.store(0, Relaxed);
        let mut queue = lock(&self.queue);
        if let Some(job) = queue.jobs.get_mut(&token) {
            job.used = used.map_or(Used::TooLarge, Used::Bytes);
            job.next = Some(Instant::now() + self.interval);
        }
        queue
    }
}

/// Bytes of allocated blocks below a directory, each hard link once; symbolic links and other file systems are not
/// followed. What vanishes meanwhile is gone.
fn walk(directory: &Path, device: u64, beat: &Beat) -> Option<u64> {
    let mut used = fs::symlink_metadata(directory).map_or(0, |metadata| metadata.blocks() * 512);
    let mut linked: HashSet<u64> = HashSet::new();
    let mut directories = vec![directory.to_owned()];
    let (mut entries, mut batch) = (0_usize, Instant::now());
    while let Some(directory) = directories.pop() {
        let Ok(listing) = fs::read_dir(&directory) else { continue };
        for entry in listing.flatten() {
            entries += 1;
            if entries > ENTRIES_MAX || linked.len() > LINKS_MAX || directories.len() > PENDING_MAX {
                return None;
            }
            if entries.is_multiple_of(BATCH) {
                beat.note();
                thread::sleep((batch.elapsed() * PAUSE_FACTOR).min(PAUSE_MAX));
                batch = Instant::now();
            }
            // Of the entry itself: a symbolic link is not followed.
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.dev() != device {
                continue;
            }
            let first = metadata.is_dir() || metadata.nlink() == 1 || linked.insert(metadata.ino());
            if first {
                used = used.saturating_add(metadata.blocks().saturating_mul(512));
            }
            if metadata.is_dir() {
                directories.push(entry.path());
            }
        }
    }
    Some(used)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn walked(directory: &Path, device: u64) -> u64 {
        walk(directory, device, &Beat::new(Instant::now())).expect("a walk")
    }

    #[test]
    fn a_walk_counts_blocks_and_each_link_once() {
        let directory = tempfile::tempdir().expect("a directory");
        let device = fs::metadata(directory.path()).expect("metadata").dev();
        let empty = walked(directory.path(), device);
        let below = directory.path().join("a");
        fs::create_dir(&below).expect("a directory");
        let with_directory = walked(directory.path(), device);
        fs::write(below.join("file"), vec![7_u8; 1 << 20]).expect("a file");
        fs::File::open(below.join("file")).and_then(|file| file.sync_all()).expect("written");
        fs::hard_link(below.join("file"), below.join("again")).expect("a link");
        std::os::unix::fs::symlink("/usr", below.join("elsewhere")).expect("a link");
        let full = walked(directory.path(), device);
        assert!(empty <= with_directory);
        let file = fs::metadata(below.join("file")).expect("metadata").blocks() * 512;
        assert!(file >= 1 << 20);
        let rest = full - with_directory - file;
        assert!(rest <= 8192, "{rest} bytes more than the file: a link was followed or counted twice");
    }

    #[test]
    fn other_file_systems_and_what_is_gone_count_nothing() {
        let directory = tempfile::tempdir().expect("a directory");
        let device = fs::metadata(directory.path()).expect("metadata").dev();
        let alone = walked(directory.path(), device);
        fs::write(directory.path().join("file"), vec![7_u8; 1 << 20]).expect("a file");
        assert_eq!(walked(directory.path(), device + 1), alone, "its entries are on another device");
        let gone = directory.path().join("gone");
        assert_eq!(walked(&gone, device), 0);
    }

    /// Asks until the walk over a layer has ended; the test's own time limit bounds it.
    fn await_used(walker: &Walker, token: u64) -> Used {
        loop {
            match walker.used(token) {
                Used::Unknown => thread::yield_now(),
                used => return used,
            }
        }
    }

    #[test]
    fn a_walk_that_hangs_does_not_stop_the_others() {
        let (release, hold) = mpsc::channel::<()>();
        let hold = Mutex::new(hold);
        let (entered, has_entered) = mpsc::channel();
        let walk = move |directory: &Path, _: u64, _: &Beat| {
            if directory == Path::new("/hangs") {
                let _ = entered.send(());
                let _ = lock(&hold).recv();
            }
            Some(directory.as_os_str().len() as u64)
        };
        let walker =
            Walker::with(Duration::from_secs(600), Duration::ZERO, Box::new(walk)).expect("a walker");
        walker.add(1, "/hangs".into(), 0);
        has_entered.recv().expect("the walk");
        walker.add(2, "/good".into(), 0);
        assert_eq!(await_used(&walker, 2), Used::Bytes(5));
        assert_eq!(walker.used(1), Used::Unknown);
        drop(release);
        assert_eq!(await_used(&walker, 1), Used::Bytes(6));
        walker.remove(1);
        assert_eq!(walker.used(1), Used::Unknown);
    }

    #[test]
    fn threads_that_hang_are_bounded_and_come_back() {
        let (release, hold) = mpsc::channel::<()>();
        let hold = Arc::new(Mutex::new(hold));
        let (entered, has_entered) = mpsc::channel();
        let walk = move |_: &Path, _: u64, _: &Beat| {
            let _ = entered.send(());
            let _ = lock(&hold).recv();
            None
        };
        let walker =
            Walker::with(Duration::from_secs(600), Duration::ZERO, Box::new(walk)).expect("a walker");
        for token in 0..8 {
            walker.add(token, "/hangs".into(), 0);
        }
        for _ in 0..THREADS_MAX {
            has_entered.recv().expect("a walk");
            walker.used(0);
        }
        for _ in 0..10 {
            walker.used(0);
        }
        assert_eq!(lock(&walker.0.queue).threads, THREADS_MAX);
        assert!(has_entered.try_recv().is_err(), "no more threads than that");
        drop(release);
        for token in 0..8 {
            assert_eq!(await_used(&walker, token), Used::TooLarge);
        }
    }
}

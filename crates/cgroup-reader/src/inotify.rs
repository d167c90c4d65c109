//! What the two watches share: one inotify instance, drained into plain values, and a thread that can be told to stop.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::thread::{self, JoinHandle};

use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags};
use rustix::io::Errno;

/// An event, without its borrow.
pub(crate) struct Event {
    pub(crate) watch: i32,
    pub(crate) flags: ReadFlags,
    /// The entry of the watched directory; empty for the watched thing itself.
    pub(crate) name: String,
}

pub(crate) fn create() -> io::Result<OwnedFd> {
    Ok(inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?)
}

/// Takes what is pending. Names that are not UTF-8 belong to no container and are left out.
pub(crate) fn drain(fd: &OwnedFd, events: &mut Vec<Event>) {
    let mut buffer = [MaybeUninit::uninit(); 16 << 10];
    let mut reader = inotify::Reader::new(fd, &mut buffer);
    loop {
        match reader.next() {
            Ok(event) => {
                let Ok(name) = event.file_name().map_or(Ok(""), |name| name.to_str()) else { continue };
                events.push(Event { watch: event.wd(), flags: event.events(), name: name.to_owned() });
            }
            Err(Errno::INTR) => {}
            // Nothing is left; any other error would come back on every turn.
            Err(_) => return,
        }
    }
}

/// A thread, and the means to wake it for its end.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) stop: OwnedFd,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// Starts `run` on a thread; it has to return once the descriptor it is given becomes readable.
    pub(crate) fn start(name: &str, run: impl FnOnce(OwnedFd) + Send + 'static) -> io::Result<Worker> {
        let stop = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let copy = stop.as_fd().try_clone_to_owned()?;
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || run(copy))?;
        Ok(Worker { stop, thread: Some(thread) })
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // An eventfd takes a write of eight bytes unless its counter is full, and then it is readable anyhow.
        let _ = rustix::io::write(&self.stop, &1_u64.to_ne_bytes());
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != thread::current().id()
        {
            let _ = thread.join();
        }
    }
}

//! What every test here stands on: the engine, containers that go away again, a running exporter, its pages, and the
//! kernel's own files.

mod alone;
mod daemon;
mod engine;
mod exporter;
mod http;
mod kernel;
mod page;

use std::fmt::Debug;
use std::time::{Duration, Instant};

pub(crate) use alone::Alone;
pub(crate) use daemon::{Daemon, LiveRestore};
pub(crate) use engine::{Container, IMAGE, Scope, pack_image};
pub(crate) use exporter::{Exporter, Setup, program};
pub(crate) use http::{Answer, exchange, get};
pub(crate) use kernel::{Kernel, key, number};
pub(crate) use page::{Line, Page};

/// How long anything may take that has to happen.
pub(crate) fn patience() -> Duration {
    Duration::from_secs(if is_emulated() { 180 } else { 30 })
}

/// Whether this is an emulated guest (User-mode Linux, or QEMU without the processor's help), where engines take seconds for
/// what takes them a tenth elsewhere. Values hold there, times do not.
pub(crate) fn is_emulated() -> bool {
    static IS: std::sync::LazyLock<bool> = std::sync::LazyLock::new(|| {
        let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        ["User Mode Linux", "QEMU TCG"].iter().any(|emulated| text.contains(emulated))
    });
    *IS
}

/// Whether statements about time may be made here; where not, it is said what is left to other hosts.
pub(crate) fn tells_time(what: &str) -> bool {
    if is_emulated() {
        leave_out("times do not hold in an emulated guest", what);
    }
    !is_emulated()
}

/// Whether this is the host on which is tried what no engine and no kernel changes: what others make of pages, and what takes hostile
/// requests. On other hosts it is said that it is left out.
pub(crate) fn is_tried_here(what: &str) -> bool {
    let is_here = std::env::var("CONTAINER_EXPORTER_E2E_HOST").map_or(true, |host| host == "native");
    if !is_here {
        leave_out("the same on every host, so tried on `native` only", what);
    }
    is_here
}

/// Says which statement of a test is left to other hosts, and why. `docs/compatibility.md` has it from here, so a host says it in every
/// run or in none.
pub(crate) fn leave_out(why: &str, what: &str) {
    say(&format!("left out, {why}: {what}"));
}

/// Asks again and again until there is an answer; panics after [`patience`], naming what was awaited.
#[track_caller]
pub(crate) fn await_until<T>(what: &str, ask: impl FnMut() -> Option<T>) -> T {
    await_within(patience(), what, ask)
}

/// [`await_until`] with a time of its own.
#[track_caller]
pub(crate) fn await_within<T>(limit: Duration, what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + limit;
    // What is asked for is mostly a scrape. Where one takes the only CPU a tenth of a second, who asks without end holds up what it
    // waits for.
    let longest = Duration::from_millis(if is_emulated() { 500 } else { 50 });
    let mut pause = Duration::from_millis(50);
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < end, "not within {limit:?}: {what}");
        std::thread::sleep(pause);
        pause = longest.min(pause.mul_f64(1.5));
    }
}

/// Panics unless `got` is within `tolerance` of `expected`.
#[track_caller]
pub(crate) fn assert_near(what: &str, got: f64, expected: f64, tolerance: f64) {
    assert!((got - expected).abs() <= tolerance, "{what}: {got}, which is not {expected} ± {tolerance}");
}

/// What a missing thing means: with `CI=true` a failure, else a test that is skipped in so many words.
#[track_caller]
pub(crate) fn skip<T>(why: impl Debug + AsRef<str>) -> Option<T> {
    let why = why.as_ref();
    assert!(
        !matches!(std::env::var("CI").as_deref(), Ok("true" | "1")),
        "CI=true, and there a skip is a failure: {why}"
    );
    say(&format!("skipped: {why}"));
    None
}

/// A line for whoever reads the test's output.
#[expect(clippy::print_stderr, reason = "a test has nothing else to say it with")]
pub(crate) fn say(line: &str) {
    eprintln!("{line}");
}

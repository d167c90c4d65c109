//! A real engine that is killed, stopped and started again, while its containers run and others come and go.

use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::{EXITS, USED, exits, losses, source};
use crate::harness::{Daemon, Exporter, Kernel, LiveRestore, Page, Scope, await_until, say};

const RESTARTS: &str = "container_restarts_total";
const STARTED: &str = "container_start_time_seconds";
const USED_ON_HOST: &str = "host_containers_cpu_usage_seconds_total";

/// Starts containers with `--rm`, one after the other, until it is told to end or the engine does not answer.
struct Load<'a> {
    scope: &'a Scope,
    over: AtomicBool,
    /// Runs of which the engine has told the end.
    done: AtomicU32,
}

impl<'a> Load<'a> {
    fn new(scope: &'a Scope) -> Self {
        Self { scope, over: AtomicBool::new(false), done: AtomicU32::new(0) }
    }

    fn run(&self) {
        while !self.over.load(Ordering::Relaxed) {
            let name = self.scope.name(&format!("load{}", self.done()));
            let words = ["run", "--rm", "--network", "none", "--name", &name, "busybox:local", "true"];
            if !self.scope.try_cli(&words).0 {
                return;
            }
            self.done.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn done(&self) -> u32 {
        self.done.load(Ordering::Relaxed)
    }
}

/// Ends a load also when the test fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Awaits a page with `source_up` as it should be. No counter of the host's or of the container's falls meanwhile.
fn await_up(exporter: &Exporter, expected: f64, busy: &str, last: &mut (f64, Option<f64>)) -> Page {
    exporter.await_page(&format!("source_up is {expected}"), |page| {
        let on_host = page.expect(USED_ON_HOST, &[]);
        let used = page.of(USED, busy);
        assert!(on_host >= last.0, "{on_host} after {}", last.0);
        assert!(used.is_none() || used >= last.1, "{used:?} after {:?}", last.1);
        *last = (on_host, used.or(last.1));
        (source(page, "up") == expected).then(|| page.clone())
    })
}

/// The numbers of `busy` rise from page to page.
fn assert_fresh(exporter: &Exporter, busy: &str) {
    let before = exporter.scrape().of(USED, busy).expect("its cgroup is still there");
    exporter.await_page("its numbers are fresh", |page| (page.of(USED, busy)? > before).then_some(()));
}

/// The number of `busy` on a page lies between two of the kernel's own; the page.
#[track_caller]
fn assert_true(exporter: &Exporter, kernel: &Kernel, busy: &str) -> Page {
    let before = kernel.cpu_seconds().expect("it runs");
    let page = exporter.scrape();
    let after = kernel.cpu_seconds().expect("it runs");
    let used = page.of(USED, busy).expect("it is measured");
    assert!((before..=after).contains(&used), "{used} is not between {before} and {after}");
    page
}

/// One line of the loss, and one when the engine is back.
fn assert_told_once(exporter: &Exporter) {
    let greetings = || exporter.log().lines().filter(|line| line.contains(" INFO docker ")).count();
    await_until("the log tells that the engine is back", || (greetings() >= 2).then_some(()));
    assert_eq!((greetings(), losses(exporter)), (2, 1), "{}", exporter.log());
}

/// Kills dockerd under load, lets so much time pass, and starts it again.
pub(super) fn killed_and_restarted(live_restore: LiveRestore, outage: Duration) {
    let Some(mut daemon) = Daemon::start(live_restore) else { return };
    let scope = daemon.scope("killed");
    let busy = scope.run("busy", &["--cpus", "0.2"], "while :; do :; done");
    let always = scope.sleeper("always", &["--restart", "always"]);
    let ending = scope.sleeper("ending", &[]);
    let exporter = scope.exporter().start();
    for container in [&busy, &always, &ending] {
        exporter.await_container(&container.name);
    }
    let (ending_pid, started) = (ending.pid().to_string(), exporter.scrape().of(STARTED, &busy.name));
    let kernel = busy.kernel();
    let load = Load::new(&scope);
    let mut last = (0.0, None);
    std::thread::scope(|threads| {
        let running = threads.spawn(|| load.run());
        let _stop = Stop(&load.over);
        await_until("containers come and go", || (load.done() >= 3).then_some(()));
        daemon.kill();
        running.join().expect("the load ends with the engine");
    });
    // One whose end no engine sees.
    assert!(Command::new("kill").args(["-9", &ending_pid]).status().is_ok_and(|status| status.success()));
    let gone = Instant::now();
    await_up(&exporter, 0.0, &busy.name, &mut last);
    let mut scrapes = 1;
    assert_fresh(&exporter, &busy.name);
    while gone.elapsed() < outage {
        assert_true(&exporter, &kernel, &busy.name);
        scrapes += 1;
        std::thread::sleep(Duration::from_secs(1));
    }
    say(&format!("figures: {:.0?} without an engine, {scrapes} scrapes", gone.elapsed()));
    let page = exporter.scrape();
    assert_eq!(source(&page, "up"), 0.0, "that was without an engine");
    assert!(page.of(RESTARTS, &busy.name) == Some(0.0) && page.of(RESTARTS, &always.name) == Some(0.0));

    daemon.launch();
    let page = await_up(&exporter, 1.0, &busy.name, &mut last);
    assert_eq!(source(&page, "reconnects_total"), 1.0);
    assert_told_once(&exporter);
    // `ending` has ended; without live-restore the new engine ends the other two as well, and starts one of them again.
    let (ended, restarts) = if live_restore == LiveRestore::On { (1, 0.0) } else { (3, 1.0) };
    let least = f64::from(load.done() + ended);
    let page = exporter.await_page("the ends are counted, and the one is restarted", |page| {
        let runs = page.of(USED, &always.name).is_some();
        let counted = exits(page) >= least && page.of(RESTARTS, &always.name) == Some(restarts);
        (runs && counted).then(|| page.clone())
    });
    // The run of the load that the kill interrupted may have begun, and then its end counts.
    let counted = exits(&page);
    assert!(counted <= least + 1.0, "{counted} ends of {least} and one that was interrupted");
    assert!(page.expect(EXITS, &[("outcome", "success")]) >= f64::from(load.done()), "those of the load");
    if live_restore == LiveRestore::On {
        assert_eq!(page.of(RESTARTS, &busy.name), Some(0.0));
        assert_eq!(page.of(STARTED, &busy.name), started, "it is the same run");
        let before = kernel.cpu_seconds().expect("it runs on");
        let used = exporter.scrape().of(USED, &busy.name).expect("it runs on");
        assert!((before..=kernel.cpu_seconds().expect("it runs on")).contains(&used), "{used}");
    } else {
        assert_eq!(page.of(USED, &busy.name), None, "it was ended");
    }
    // What is told from now on counts once, too.
    let name = scope.name("after");
    let words = ["run", "--rm", "--network", "none", "--name", &name, "busybox:local", "sh", "-c", "exit 7"];
    scope.try_cli(&words);
    let failed = |page: &Page| page.expect(EXITS, &[("outcome", "error")]);
    exporter.await_page("its end is counted", |page| (failed(page) >= 1.0).then_some(()));
    let page = exporter.scrape();
    assert_eq!((failed(&page), page.of(RESTARTS, &always.name)), (1.0, Some(restarts)));
    let ends = least + 1.0..=least + 2.0;
    assert!(ends.contains(&exits(&page)), "{} ends, not {ends:?}", exits(&page));
    assert!(page.expect(USED_ON_HOST, &[]) >= last.0);
}

#[test]
fn an_engine_killed_and_restarted_under_load_loses_nothing_with_live_restore() {
    killed_and_restarted(LiveRestore::On, Duration::ZERO);
}

#[test]
fn an_engine_killed_and_restarted_under_load_loses_nothing_without_live_restore() {
    killed_and_restarted(LiveRestore::Off, Duration::ZERO);
}

/// Stops dockerd for so long; every scrape meanwhile must answer with numbers that are not older than it.
pub(super) fn stopped_for(time: Duration) {
    let Some(daemon) = Daemon::start(LiveRestore::Off) else { return };
    let scope = daemon.scope("stopped");
    let busy = scope.run("busy", &["--cpus", "0.2"], "while :; do :; done");
    let ending = scope.sleeper("ending", &[]);
    let exporter = scope.exporter().start();
    exporter.await_container(&busy.name);
    exporter.await_container(&ending.name);
    let (kernel, ending_pid) = (busy.kernel(), ending.pid().to_string());
    daemon.signal("STOP");
    let begun = Instant::now();
    assert!(Command::new("kill").args(["-9", &ending_pid]).status().is_ok_and(|status| status.success()));
    let mut was_down = false;
    let mut scrapes = 0;
    while begun.elapsed() < time {
        let page = assert_true(&exporter, &kernel, &busy.name);
        let is_down = source(&page, "up") == 0.0;
        assert!(is_down || !was_down, "it comes back although it is stopped");
        was_down = is_down;
        scrapes += 1;
        std::thread::sleep(Duration::from_millis(200));
    }
    assert!(was_down, "the loss was never seen in {scrapes} scrapes");
    say(&format!("figures: {time:?} stopped, {scrapes} scrapes"));
    daemon.signal("CONT");
    let page = await_up(&exporter, 1.0, &busy.name, &mut (0.0, None));
    assert!(page.of(USED, &busy.name).is_some());
    let page = exporter.await_page("the end is counted", |page| (exits(page) >= 1.0).then(|| page.clone()));
    assert_eq!(exits(&page), 1.0);
    assert_told_once(&exporter);
}

#[test]
fn an_engine_stopped_for_20_s_leaves_fresh_numbers() {
    stopped_for(Duration::from_secs(20));
}

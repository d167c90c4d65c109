//! The clock is set back an hour. Only guests have a clock that is theirs alone.

use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::{EXITS, USED};
use crate::harness::{Alone, Page, Scope, is_emulated, leave_out};

const RESTARTS: &str = "container_restarts_total";
const STARTED: &str = "container_start_time_seconds";
const BACK: Duration = Duration::from_hours(1);

/// The clock an hour back, until this is dropped.
struct Past {
    was: SystemTime,
    since: Instant,
}

impl Past {
    fn begin() -> Self {
        let past = Self { was: SystemTime::now(), since: Instant::now() };
        set(past.was - BACK);
        past
    }
}

impl Drop for Past {
    fn drop(&mut self) {
        set(self.was + self.since.elapsed());
    }
}

fn set(time: SystemTime) {
    let seconds = time.duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let set = Command::new("date").args(["-s", &format!("@{seconds}")]).output().expect("date runs");
    assert!(set.status.success(), "{}", String::from_utf8_lossy(&set.stderr));
}

/// No counter is less than it was, and no number of ours is below zero.
#[track_caller]
fn assert_none_fell(before: &Page, page: &Page) {
    for line in &before.lines {
        let labels: Vec<(&str, &str)> =
            line.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let is_counter = before.types.get(&line.name).is_some_and(|kind| kind == "counter");
        if let (true, Some(now)) = (is_counter, page.value(&line.name, &labels)) {
            assert!(now >= line.value, "{}{labels:?}: {now} after {}", line.name, line.value);
        }
    }
    // The state of health has one, for a container without a check.
    let is_number = |line: &&crate::harness::Line| line.name != "container_health_state";
    let negative: Vec<_> = page.lines.iter().filter(is_number).filter(|line| line.value < 0.0).collect();
    assert!(negative.is_empty(), "{negative:#?}");
}

#[test]
fn a_clock_set_back_an_hour_makes_nothing_fall_and_counts_every_end() {
    if !is_emulated() {
        leave_out("the clock is the whole machine's", "a clock set back an hour");
        return;
    }
    let _alone = Alone::wait();
    let Some(scope) = Scope::new("clock") else { return };
    let busy = scope.run("busy", &["--cpus", "0.2"], "while :; do :; done");
    let restarted = scope.run(
        "restarted",
        &["--restart", "always"],
        "until [ -e /end ]; do sleep 0.2; done; rm /end; exit 3",
    );
    let exporter = scope.exporter().start();
    exporter.await_container(&restarted.name);
    let before = exporter.await_container(&busy.name);
    let started = before.of(STARTED, &restarted.name).expect("it runs");

    let _past = Past::begin();
    exporter.await_page("numbers are fresh", |page| {
        assert_none_fell(&before, page);
        (page.of(USED, &busy.name) > before.of(USED, &busy.name)).then_some(())
    });
    assert!(restarted.exec("touch /end").0);
    let page = exporter.await_page("the restart by policy is counted", |page| {
        let runs = page.of(USED, &restarted.name).is_some();
        (runs && page.of(RESTARTS, &restarted.name)? >= 1.0).then(|| page.clone())
    });
    assert!(page.of(STARTED, &restarted.name).expect("it runs") < started, "it began an hour ago");
    restarted.cli(&["restart", "-t", "0"]);
    let page = exporter.await_page("the restart by hand is counted", |page| {
        let runs = page.of(USED, &restarted.name).is_some();
        (runs && page.of(RESTARTS, &restarted.name)? >= 2.0).then(|| page.clone())
    });
    assert_eq!(page.of(RESTARTS, &restarted.name), Some(2.0));
    let name = scope.name("new");
    scope.cli(&["run", "--rm", "--network", "none", "--name", &name, "busybox:local", "true"]);
    let count = |page: &Page, outcome: &str| page.expect(EXITS, &[("outcome", outcome)]);
    let page = exporter.await_page("the end of a new one is counted", |page| {
        (count(page, "success") >= 1.0).then(|| page.clone())
    });
    assert_eq!(["success", "error", "signal"].map(|outcome| count(&page, outcome)), [1.0, 1.0, 1.0]);
    // The runs of `restarted` are new ones: what they have used begins at zero again.
    let mut kept = before;
    kept.lines.retain(|line| line.label("container_name") != restarted.name);
    assert_none_fell(&kept, &page);
}

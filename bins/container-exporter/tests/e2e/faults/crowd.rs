//! Many containers, few descriptors, and containers that come and go without end: made cgroups and a recorded engine.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::made::Made;
use super::{Held, USED, exits};
use crate::harness::{Exporter, Page, Scope, is_tried_here, say, tells_time};

/// How many containers have numbers.
fn measured(page: &Page) -> usize {
    page.all(USED, &[]).len()
}

#[test]
fn five_hundred_containers_are_served_with_256_descriptors() {
    let Some(mut made) = Made::new() else { return };
    let count: u16 = if tells_time("five hundred containers, not one hundred") { 500 } else { 100 };
    for _ in 0..count {
        made.start();
    }
    let exporter = made.setup().with_descriptors(256).start();
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", exporter.pid())).expect("it runs");
    let line = limits.lines().find(|line| line.starts_with("Max open files")).expect("the kernel says it");
    assert_eq!(line.split_whitespace().nth(3), Some("256"), "it may not take more: {line}");
    for round in 0..2 {
        let page = exporter.await_page("all are measured", |page| {
            (measured(page) == usize::from(count)).then(|| page.clone())
        });
        let threads = page.all("container_threads", &[]);
        assert!(
            threads.len() == usize::from(count) && threads.iter().all(|line| line.value == 1.0),
            "round {round}"
        );
        assert_eq!(page.all("container_memory_usage_bytes", &[]).len(), usize::from(count), "round {round}");
        assert!(Held::by(&exporter).descriptors() <= 256);
        assert!(page.expect("container_exporter_kept_fds", &[]) < 256.0);
    }
    // Ends are seen and counted of those, too, for whose watch there is no descriptor left.
    made.end_all();
    exporter.await_page("all ends are counted", |page| (exits(page) >= f64::from(count)).then_some(()));
    assert_eq!(exits(&exporter.scrape()), f64::from(count));
}

/// What there is after each round.
struct Rounds(Vec<(Held, usize)>);

impl Rounds {
    /// Waits until all of so many runs are counted, and nothing is shown of them.
    #[track_caller]
    fn end_one(&mut self, exporter: &Exporter, runs: u32) {
        let expected = f64::from(runs);
        let page = exporter.await_page("every end is counted and nobody is left", |page| {
            let left = page.lines.iter().any(|line| !line.label("container_id").is_empty());
            (exits(page) >= expected && !left).then(|| page.clone())
        });
        assert_eq!(exits(&page), expected, "each once: {:#?}", page.all("host_containers_exits_total", &[]));
        let held = match self.0.first() {
            None => Held::by(exporter),
            Some((first, _)) => Held::settled(exporter, first),
        };
        self.0.push((held, page.lines.len()));
    }

    /// Nothing is left of a round, whatever it is.
    #[track_caller]
    fn assert_flat(&self) {
        let (first, series) = &self.0[0];
        for (later, of_later) in &self.0[1..] {
            assert_eq!(of_later, series, "no series is left");
            later.assert_holds_no_more_than(first);
        }
        let [second, last] = [1, self.0.len() - 1].map(|round| self.0[round].0.resident_bytes);
        let rounds = self.0.len();
        let megabytes = [second / 1e6, last / 1e6];
        let watches = self.0.iter().map(|(held, _)| held.inotify_watches()).max().unwrap_or(0);
        say(&format!(
            "figures: {rounds} rounds, {megabytes:.2?} MB resident after the second and the last, at most {watches} watches"
        ));
        assert!(last <= second * 1.1, "{last} bytes resident after {second}");
    }

    /// Plays rounds of so many runs, by their numbers from 1: three, and more until the time is over.
    fn play(exporter: &Exporter, runs: u32, until: Instant, mut play_one: impl FnMut(u32)) {
        let mut rounds = Self(Vec::new());
        for round in 1.. {
            play_one(round);
            rounds.end_one(exporter, round * runs);
            if rounds.0.len() >= 3 && Instant::now() >= until {
                break;
            }
        }
        rounds.assert_flat();
    }
}

/// Rounds of so many made containers, twenty a second: three, and more until the time is over.
pub(super) fn twenty_a_second(containers: u32, until: Instant) {
    const PACE: Duration = Duration::from_millis(50);
    let Some(mut made) = Made::new() else { return };
    let exporter = made.setup().start();
    Rounds::play(&exporter, containers, until, |_| {
        let mut due = Instant::now();
        let mut alive = std::collections::VecDeque::new();
        for _ in 0..containers {
            alive.push_back(made.start());
            if alive.len() > 10 {
                made.end(&alive.pop_front().expect("there are ten"));
            }
            exporter.scrape();
            due += PACE;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
        }
        exporter.await_page("the last ones have numbers", |page| (measured(page) == 10).then_some(()));
        made.end_all();
    });
}

#[test]
fn twenty_containers_a_second_for_a_minute_leave_nothing_behind() {
    let a_round = if is_tried_here("twenty containers a second for a whole minute") { 400 } else { 30 };
    twenty_a_second(a_round, Instant::now());
}

/// Rounds of so many real containers, as fast as the engine can: three, and more until the time is over.
pub(super) fn as_fast_as_the_engine_can(containers: u32, until: Instant) {
    const AT_ONCE: u32 = 8;
    let Some(scope) = Scope::new("churn") else { return };
    let exporter = scope.exporter().all_groups().start();
    Rounds::play(&exporter, containers, until, |round| {
        let next = AtomicU32::new(0);
        std::thread::scope(|threads| {
            let work = || loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= containers {
                    return;
                }
                let name = scope.name(&format!("{round}-{number}"));
                scope.cli(&["run", "--rm", "--network", "none", "--name", &name, "busybox:local", "true"]);
            };
            (0..AT_ONCE).for_each(|_| _ = threads.spawn(work));
        });
    });
}

#[test]
fn three_hundred_real_containers_leave_nothing_behind() {
    let a_round =
        if is_tried_here("all of 300 real containers, as fast as the engine can") { 100 } else { 10 };
    as_fast_as_the_engine_can(a_round, Instant::now());
}

#[test]
fn a_cgroup_removed_behind_the_engines_back_is_gone_and_the_others_stay() {
    let Some(mut made) = Made::new() else { return };
    let [first, second] = [made.start(), made.start()];
    let exporter = made.setup().start();
    exporter.await_page("both are measured", |page| (measured(page) == 2).then_some(()));
    made.end_silently(&first);
    // From the very next scrape on.
    let page = exporter.scrape();
    let of = |id: &str| page.all(USED, &[("container_id", &id[..12])]).len();
    assert_eq!((of(&first), of(&second)), (0, 1));
    // The tree shows what the engine does not tell, and a list that does not have it ends it.
    made.list();
    exporter.await_page("its end is counted", |page| (exits(page) == 1.0).then_some(()));
}

#[test]
fn the_pid_of_another_process_gives_no_numbers_of_its() {
    let Some(mut made) = Made::new() else { return };
    let id = made.start();
    // As if the process had ended and its number were given to somebody else: this test.
    made.describe(&id, std::process::id());
    let exporter = made.setup().start();
    let page =
        exporter.await_page("it is measured by its id", |page| (measured(page) == 1).then(|| page.clone()));
    let threads = page.expect("container_threads", &[("container_id", &id[..12])]);
    assert_eq!(threads, 1.0, "those of its own cgroup");
}

//! The CPU arithmetic against its definition: tables of the cases that matter, and properties over any rhythm.

use std::time::Duration;

use collector_core::cpu::{
    CpuDelta, CpuReading, CpuWindow, EngineCpuReading, MIN_INTERVAL, Monotonic, WINDOW_READINGS,
    cpus_over_interval, docker_cli_percent, percent_of_host, percent_of_limit, percent_of_one_core,
};
use proptest::prelude::*;

const INTERVAL: Duration = Duration::from_secs(15);

fn reading(at_ms: u64, usage_ns: u64) -> CpuReading {
    CpuReading::new(Monotonic::new(Duration::from_millis(at_ms)), usage_ns)
}

/// A reading of a container that keeps `cores` busy.
fn at_load(at_ms: u64, cores: f64) -> CpuReading {
    reading(at_ms, (at_ms as f64 * 1e6 * cores) as u64)
}

#[test]
fn percent_between_two_readings() {
    let second = 1_000_000_000;
    let cases = [
        ("idle", reading(0, 7), reading(1_000, 7), Some(0.0)),
        ("half a core", reading(1_000, 0), reading(11_000, 5 * second), Some(50.0)),
        ("two and a half cores", reading(0, second), reading(2_000, 6 * second), Some(250.0)),
        ("a counter that was reset", reading(0, second), reading(1_000, second - 1), None),
        ("no time between", reading(5, 0), reading(5, second), None),
        ("time went back", reading(6, 0), reading(5, second), None),
        ("both at once", reading(6, second), reading(5, 0), None),
    ];
    for (case, prev, next, expected) in cases {
        assert_eq!(percent_of_one_core(prev, next), expected, "{case}");
        assert_eq!(percent_of_limit(prev, next, 0.5), expected.map(|percent| percent * 2.0), "{case}");
        assert_eq!(percent_of_host(prev, next, 4), expected.map(|percent| percent / 4.0), "{case}");
    }
}

#[test]
fn nothing_is_a_share_of_no_limit() {
    let (prev, next) = (reading(0, 0), reading(1_000, 1_000_000));
    // The last is the smallest number there is: the quotient is none.
    for cores in [0.0, -0.0, -1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 5e-324] {
        assert_eq!(percent_of_limit(prev, next, cores), None, "{cores}");
    }
    assert_eq!(percent_of_host(prev, next, 0), None);
}

#[test]
fn a_host_that_lost_a_cpu_stays_within_100() {
    // All four were busy until one went, just before the second reading.
    let (prev, next) = (reading(0, 0), reading(10_000, 39_000_000_000));
    assert_eq!(percent_of_host(prev, next, cpus_over_interval(4, 3)), Some(97.5));
    assert_eq!(cpus_over_interval(3, 4), 4);
}

#[test]
fn docker_cli_formula() {
    let at = |total_ns, system_ns, online_cpus| EngineCpuReading { total_ns, system_ns, online_cpus };
    let cases = [
        ("one of four CPUs", at(100, 1_000, 4), at(200, 1_400, 4), Some(100.0)),
        ("idle", at(100, 1_000, 4), at(100, 1_400, 4), Some(0.0)),
        ("the first sample, as one-shot sends it", at(0, 0, 0), at(200, 1_400, 4), None),
        ("no system time", at(100, 1_000, 4), at(200, 1_000, 4), None),
        ("a CPU took its system time away", at(100, 1_000, 4), at(200, 900, 3), None),
        ("a counter that was reset", at(100, 1_000, 4), at(99, 1_400, 4), None),
        ("no CPUs", at(100, 1_000, 4), at(200, 1_400, 0), None),
        ("a CPU came: this one's count", at(100, 1_000, 2), at(200, 1_400, 4), Some(100.0)),
    ];
    for (case, prev, next, expected) in cases {
        assert_eq!(docker_cli_percent(prev, next), expected, "{case}");
    }
}

#[test]
fn the_span_begins_at_the_youngest_reading_that_is_old_enough() {
    let mut window = CpuWindow::new(INTERVAL);
    for at_ms in [0, 4_000, 8_000, 12_000, 16_000] {
        window.push(at_load(at_ms, 1.0));
    }
    // (now, the start of the span): 0.8 × 15 s = 12 s.
    let cases = [(16_000, 4_000), (19_999, 4_000), (20_000, 8_000), (27_999, 12_000), (28_000, 16_000)];
    for (now, start) in cases {
        let elapsed = window.delta(at_load(now, 1.0)).map(CpuDelta::elapsed);
        assert_eq!(elapsed, Some(Duration::from_millis(now - start)), "at {now} ms");
    }
}

#[test]
fn a_young_container_has_a_percent_after_900_ms() {
    let mut window = CpuWindow::new(INTERVAL);
    assert_eq!(window.percent(reading(0, 0)), None);
    window.push(reading(0, 0));
    assert_eq!(window.percent(reading(899, 899_000_000)), None);
    assert_eq!(window.percent(reading(900, 900_000_000)), Some(100.0));
    window.push(reading(5_000, 5_000_000_000));
    // From the oldest, for want of one that is 12 s old.
    assert_eq!(
        window.delta(reading(11_000, 6_000_000_000)).map(CpuDelta::elapsed),
        Some(Duration::from_secs(11))
    );
}

#[test]
fn a_reading_is_stored_once_a_quarter_of_the_interval_has_passed() {
    let mut window = CpuWindow::new(INTERVAL);
    assert!(window.is_empty());
    for (at_ms, stored) in [(0, 1), (1, 1), (3_749, 1), (3_750, 2), (7_499, 2), (7_500, 3), (600_000, 4)] {
        window.push(reading(at_ms, 0));
        assert_eq!(window.len(), stored, "after {at_ms} ms");
    }
}

#[test]
fn a_reset_counter_starts_the_window_afresh() {
    let mut window = CpuWindow::new(INTERVAL);
    window.push(reading(0, 1_000));
    window.push(reading(10_000, 9_000));
    // Already past the reading at the start of the span, yet below the last: not a rise of 4,000.
    assert_eq!(window.percent(reading(13_000, 5_000)), None);
    // Too soon to be stored beside the last, but the last counts for nothing now.
    window.push(reading(13_000, 5_000));
    assert_eq!(window.len(), 1);
    assert_eq!(window.percent(reading(14_000, 500_005_000)), Some(50.0));
}

#[test]
fn a_restart_that_the_numbers_hide_is_told_by_reset() {
    let mut window = CpuWindow::new(INTERVAL);
    window.push(reading(0, 1_000));
    window.reset();
    assert_eq!(window.percent(reading(15_000, 1_000_000)), None);
}

#[test]
fn an_overtaken_reading_changes_nothing() {
    let mut window = CpuWindow::new(INTERVAL);
    window.push(at_load(0, 0.5));
    window.push(at_load(15_000, 0.5));
    window.push(at_load(14_990, 0.5));
    assert_eq!(window.len(), 2);
    assert_eq!(window.percent(at_load(14_990, 0.5)), Some(50.0));
    assert_eq!(window.percent(at_load(30_000, 0.5)), Some(50.0));
}

#[test]
fn a_clock_set_back_heals_within_an_interval() {
    let mut window = CpuWindow::new(INTERVAL);
    window.push(reading(3_600_000, 10));
    // An hour back: a fresh start at once.
    assert_eq!(window.observe(reading(1_000, 20)), None);
    assert_eq!(window.observe(reading(2_000, 500_000_020)), Some(50.0));
    // Ten seconds back: absent until the clock has caught up.
    let mut window = CpuWindow::new(INTERVAL);
    window.push(reading(60_000, 0));
    assert_eq!(window.observe(reading(50_000, 1_000)), None);
    assert_eq!(window.observe(reading(65_000, 1_000_000_000)), Some(20.0));
}

#[test]
fn a_clock_set_ahead_gives_too_little_and_never_too_much() {
    let mut window = CpuWindow::new(INTERVAL);
    window.push(reading(0, 0));
    let percent = window.observe(reading(3_600_000, 15_000_000_000));
    assert!(percent.is_some_and(|percent| percent > 0.0 && percent < 1.0), "{percent:?}");
    assert_eq!(window.observe(reading(3_615_000, 30_000_000_000)), Some(100.0));
}

#[test]
fn a_short_interval_is_raised_and_a_changed_one_takes_effect() {
    assert_eq!(CpuWindow::new(Duration::ZERO).interval(), MIN_INTERVAL);
    let mut window = CpuWindow::new(INTERVAL);
    window.set_interval(Duration::ZERO);
    assert_eq!(window.interval(), MIN_INTERVAL);
    window.set_interval(Duration::MAX);
    window.push(reading(0, 0));
    assert_eq!(window.percent(reading(1_000, 1_000_000_000)), Some(100.0));
}

/// The paragraph of the design, word for word, with a list that forgets nothing.
struct Unbounded {
    interval: Duration,
    stored: Vec<CpuReading>,
}

impl Unbounded {
    fn observe(&mut self, now: CpuReading) -> Option<f64> {
        let age = |reading: &CpuReading| now.at.since(reading.at).unwrap();
        let young = self.stored.iter().rfind(|reading| age(reading) >= self.interval * 4 / 5);
        let old = self.stored.iter().find(|reading| age(reading) >= Duration::from_millis(900));
        let percent = young.or(old).and_then(|start| percent_of_one_core(*start, now));
        if self.stored.last().is_none_or(|last| age(last) >= self.interval / 4) {
            self.stored.push(now);
        }
        percent
    }
}

/// Times between collections, in milliseconds, from hasty scrapers to lazy ones.
fn gaps(count: usize) -> impl Strategy<Value = Vec<u64>> {
    let gap = prop_oneof![0_u64..50, 50_u64..1_000, 1_000_u64..5_000, 14_000_u64..16_000, 20_000_u64..90_000];
    prop::collection::vec(gap, 1..count)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_two_readings_give_a_percent_that_is_not_one(
        a: (u64, u32, u64), b: (u64, u32, u64), cores: f64, online: u32
    ) {
        let read = |(s, ns, usage): (u64, u32, u64)| {
            CpuReading::new(Monotonic::new(Duration::new(s, ns % 1_000_000_000)), usage)
        };
        let (a, b) = (read(a), read(b));
        for percent in [percent_of_one_core(a, b), percent_of_limit(a, b, cores), percent_of_host(a, b, online)] {
            prop_assert!(percent.is_none_or(|percent| percent.is_finite() && percent >= 0.0), "{percent:?}");
        }
        prop_assert_eq!(percent_of_one_core(a, b).is_some(), b.at > a.at && b.usage_ns >= a.usage_ns);
    }

    #[test]
    fn a_window_survives_any_readings(
        interval_ms in 0_u64..100_000,
        readings in prop::collection::vec((0_u64..200_000, 0_u64..4), 0..60),
    ) {
        let mut window = CpuWindow::new(Duration::from_millis(interval_ms));
        for (at_ms, usage) in readings {
            let percent = window.observe(reading(at_ms, usage * (u64::MAX / 4)));
            prop_assert!(percent.is_none_or(|percent| percent.is_finite() && percent >= 0.0), "{percent:?}");
            prop_assert!((1..=WINDOW_READINGS).contains(&window.len()));
        }
    }

    #[test]
    fn eight_readings_are_as_good_as_all_of_them(
        gaps in gaps(120), interval_ms in 1_000_u64..60_000, loads in prop::collection::vec(0_u64..8, 1..8),
    ) {
        let interval = Duration::from_millis(interval_ms);
        let mut window = CpuWindow::new(interval);
        let mut unbounded = Unbounded { interval, stored: Vec::new() };
        let (mut at_ms, mut usage) = (0, 0);
        for (gap, load) in gaps.iter().zip(loads.iter().cycle()) {
            at_ms += gap;
            usage += gap * load * 1_000_000;
            let now = reading(at_ms, usage);
            prop_assert_eq!(window.observe(now), unbounded.observe(now), "at {} ms", at_ms);
        }
    }

    #[test]
    fn the_span_is_about_an_interval_whatever_the_rhythm(gaps in gaps(80)) {
        let mut window = CpuWindow::new(INTERVAL);
        window.push(reading(0, 0));
        let longest = Duration::from_millis(*gaps.iter().max().unwrap());
        let mut at_ms = 0;
        for gap in gaps {
            at_ms += gap;
            let now = reading(at_ms, 0);
            let elapsed = window.delta(now).map(CpuDelta::elapsed);
            window.push(now);
            if at_ms < 12_000 {
                prop_assert!(elapsed.is_none_or(|elapsed| elapsed >= Duration::from_millis(900)));
                continue;
            }
            let elapsed = elapsed.unwrap();
            prop_assert!(elapsed >= INTERVAL.mul_f64(0.8), "{elapsed:?} at {at_ms} ms");
            prop_assert!(elapsed < INTERVAL.mul_f64(1.05) + longest, "{elapsed:?} at {at_ms} ms");
        }
    }

    #[test]
    fn two_scrapers_of_different_rhythm_see_the_same_constant_load(
        cores in 0.0_f64..64.0, first_ms in 500_u64..40_000, second_ms in 500_u64..40_000, offset_ms in 0_u64..5_000,
    ) {
        let mut window = CpuWindow::new(INTERVAL);
        window.push(at_load(0, cores));
        let mut scrapes: Vec<_> = (1..=20).map(|n| n * first_ms).chain((1..=20).map(|n| offset_ms + n * second_ms)).collect();
        scrapes.sort_unstable();
        for at_ms in scrapes {
            match window.observe(at_load(at_ms, cores)) {
                Some(percent) => prop_assert!((percent - cores * 100.0).abs() < 0.1, "{percent} at {at_ms} ms"),
                None => prop_assert!(at_ms < 900, "nothing at {at_ms} ms"),
            }
        }
    }

    /// A load that changes each second: a percent since the other's scrape, a moment ago, would be 0 or 100.
    #[test]
    fn a_second_scraper_does_not_shorten_the_first_ones_window(other_ms in 200_u64..20_000) {
        let busy_every_other_second = |at_ms: u64| {
            let usage_ms = at_ms / 2_000 * 1_000 + (at_ms % 2_000).min(1_000);
            reading(at_ms, usage_ms * 1_000_000)
        };
        let mut window = CpuWindow::new(INTERVAL);
        window.push(busy_every_other_second(0));
        let mut scrapes: Vec<_> =
            (1..=8).map(|n| n * 15_000).chain((1..).map(|n| n * other_ms).take_while(|at| *at < 120_000)).collect();
        scrapes.sort_unstable();
        for at_ms in scrapes {
            let percent = window.observe(busy_every_other_second(at_ms));
            if at_ms >= 12_000 {
                // At most half a second's worth of a window of 12 s or more: 4.2 points.
                prop_assert!(percent.is_some_and(|percent| (percent - 50.0).abs() < 4.2), "{percent:?} at {at_ms} ms");
            }
        }
    }
}

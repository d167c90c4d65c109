//! The long forms, for `cargo xtask soak`: each as long as there are minutes to spend.

use std::time::{Duration, Instant};

use super::{crowd, engine, flat, receiver};
use crate::harness::LiveRestore;

/// What the issue of all this asks for is an hour.
fn minutes() -> u32 {
    let given = std::env::var("CONTAINER_EXPORTER_E2E_SOAK_MINUTES");
    given.map_or(60, |minutes| minutes.parse().expect("a number of minutes"))
}

/// Of an hour's form the part that there is time for.
fn part(of_an_hour: Duration) -> Duration {
    of_an_hour * minutes() / 60
}

#[test]
fn an_hour_of_churn() {
    crowd::as_fast_as_the_engine_can(100, Instant::now() + part(Duration::from_hours(1)));
}

#[test]
fn ten_minutes_of_twenty_a_second() {
    crowd::twenty_a_second(400, Instant::now() + part(Duration::from_mins(10)));
}

/// A scrape each second makes 86,400 of them.
#[test]
fn more_collections_than_a_day_has() {
    flat::collections(100_000 * minutes() / 60);
}

#[test]
fn an_engine_away_for_ten_minutes_with_live_restore() {
    engine::killed_and_restarted(LiveRestore::On, part(Duration::from_mins(10)));
}

#[test]
fn an_engine_away_for_ten_minutes_without_live_restore() {
    engine::killed_and_restarted(LiveRestore::Off, part(Duration::from_mins(10)));
}

#[test]
fn no_receiver_of_otlp_for_ten_minutes() {
    receiver::away_for(part(Duration::from_mins(10)));
}

#[test]
fn an_engine_stopped_for_60_s() {
    engine::stopped_for(Duration::from_mins(1));
}

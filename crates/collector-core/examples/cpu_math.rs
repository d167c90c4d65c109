//! The arithmetic alone, without a collector: `cargo run -p collector-core --no-default-features --example cpu_math`.
//!
//! Follows a container with a limit of half a core through a busy spell, as two scrapers of different rhythm see it, and
//! over a restart.
#![expect(clippy::print_stdout, reason = "printing is what an example is for")]

use std::time::Duration;

use collector_core::cpu::{CpuReading, CpuWindow, Monotonic};
use collector_core::effective::{CpuQuota, Limit, effective_cpu_cores};

fn main() {
    // 50 ms in each 100 ms, in a slice that gives all its containers two cores together, on a host with four.
    let own = CpuQuota::new(Limit::Value(50_000), 100_000);
    let slice = CpuQuota::new(Limit::Value(200_000), 100_000);
    let cores = effective_cpu_cores(own.cores(), [slice.cores()], None, Some(4));
    println!("effective limit: {cores:?} cores");

    let mut window = CpuWindow::new(Duration::from_secs(15));
    for second in 0..60 {
        let scraped = second % 15 == 0 || second % 7 == 0;
        if !scraped {
            continue;
        }
        let now = CpuReading::new(Monotonic::new(Duration::from_secs(second)), usage_ns(second));
        let delta = window.delta(now);
        window.push(now);
        match delta {
            Some(delta) => println!(
                "{second:>2} s: {:5.1} % of one core, {:5.1} % of the limit, over {:?}",
                delta.percent_of_one_core(),
                cores.value().and_then(|cores| delta.percent_of_limit(cores)).unwrap_or_default(),
                delta.elapsed(),
            ),
            None => println!("{second:>2} s: nothing to say yet"),
        }
    }
}

/// Idle for 20 s, then throttled at its limit; at 40 s it is restarted and its cgroup counts from 0.
fn usage_ns(second: u64) -> u64 {
    let busy_seconds = if second < 40 { second.saturating_sub(20) } else { second - 40 };
    busy_seconds * 500_000_000
}

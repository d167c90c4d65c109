//! Another exporter beside ours: the same containers, the same scrapes, the same measures.
//!
//! Side by side, but one after the other, because what both cost the engine could not be told apart: a phase without
//! anybody, then ours and theirs, each with and without gzip.

use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use super::exporter::{Exporter, free_address};
use super::figure::quantile;
use super::fleet::{Fleet, Lab};
use super::http::{Page, Scraper};
use super::{Bench, machine, proc, report};
use crate::error::{Error, Result};
use crate::process;

/// Between scrapes.
const INTERVAL: Duration = Duration::from_secs(15);

/// A program, and how it is run.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Peer {
    name: String,
    program: PathBuf,
    /// A collector's configuration.
    config: Option<PathBuf>,
}

impl Peer {
    /// `NAME=PATH` or `NAME=PATH,CONFIGURATION`.
    fn parse(text: &str) -> Result<Self> {
        let wrong = || {
            Error::failed(format!("`--peer {text}` is not of the form NAME=PATH or NAME=PATH,CONFIGURATION"))
        };
        let (name, rest) = text.split_once('=').ok_or_else(wrong)?;
        let (program, config) = match rest.split_once(',') {
            Some((program, config)) => (program, Some(PathBuf::from(config))),
            None => (rest, None),
        };
        if name.is_empty() || program.is_empty() {
            return Err(wrong());
        }
        Ok(Self { name: name.to_owned(), program: program.into(), config })
    }

    /// A collector's configuration finds the engine in `${env:DOCKER_HOST}` and its port in `${env:BENCH_LISTEN}`; anything
    /// without one is taken for cAdvisor, and is given its cheapest settings where its name says `cheapest`.
    fn start(&self, lab: &Lab) -> Result<Exporter> {
        let address = free_address()?;
        let mut command = Command::new(&self.program);
        command.env("DOCKER_HOST", lab.docker_host()).env("BENCH_LISTEN", address.to_string());
        if let Some(config) = &self.config {
            command.arg("--config").arg(config);
        } else {
            command.args(["--listen_ip", "127.0.0.1", "--logtostderr"]);
            command.args([format!("--port={}", address.port()), format!("--docker={}", lab.docker_host())]);
            if self.name.contains("cheapest") {
                command.args([
                    "--docker_only",
                    "--housekeeping_interval=30s",
                    "--store_container_labels=false",
                ]);
                command.arg("--disable_metrics=percpu,sched,tcp,udp,disk,diskIO,hugetlb,referenced_memory,cpu_topology,resctrl,advtcp,memory_numa,process");
            }
        }
        command.stderr(std::process::Stdio::null());
        Exporter::start(command, address, "/metrics")
    }
}

/// What a phase showed.
#[derive(Debug)]
struct Phase {
    seconds: f64,
    own: f64,
    engine: f64,
    resident: f64,
    peak: f64,
    bytes: usize,
    samples: usize,
    ages: Vec<f64>,
    took: Vec<f64>,
}

/// Runs the comparison and prints it.
pub(super) fn compare(bench: &Bench<'_>, lab: &Lab, fleet: &Fleet<'_>, peer: &str) -> Result<()> {
    let peer = Peer::parse(peer)?;
    let scrapes = if bench.options.quick { 3 } else { 12 };
    eprintln!("── nobody, {} s", scrapes * 15);
    let (began, before) = (Instant::now(), lab.cpu_seconds());
    process::wait_for_signal(INTERVAL * scrapes);
    process::check_interrupted()?;
    let idle = (lab.cpu_seconds() - before) / began.elapsed().as_secs_f64();
    let host = lab.docker_host();
    let mut phases = Vec::new();
    for gzip in [false, true] {
        let compression = ("CONTAINER_EXPORTER__SERVER__COMPRESSION", if gzip { "always" } else { "never" });
        let ours = || Exporter::ours(&bench.programs.exporter, &[], &[("DOCKER_HOST", &host), compression]);
        phases.push(("ours", gzip, phase(lab, fleet, ours()?, scrapes, gzip)?));
        phases.push((peer.name.as_str(), gzip, phase(lab, fleet, peer.start(lab)?, scrapes, gzip)?));
    }
    let text = table(&phases, idle, fleet.len());
    println!("{}\n\n{text}", machine::describe());
    if bench.options.write {
        report::write("peers", &format!("{}\n\n{text}", report::caption(&machine::describe())))?;
    }
    Ok(())
}

fn phase(lab: &Lab, fleet: &Fleet<'_>, mut exporter: Exporter, scrapes: u32, gzip: bool) -> Result<Phase> {
    let name = if gzip { "with gzip" } else { "without gzip" };
    eprintln!("── process {}, {name}, {} s", exporter.pid(), scrapes * 15);
    // Until it knows all: by the names of the fleet, which any profile shows.
    let label = format!("bench-{}-", std::process::id());
    let known = |page: &Page| {
        let mut names: Vec<&str> =
            page.lines().filter_map(|line| line.split(&label).nth(1)?.split('"').next()).collect();
        names.sort_unstable();
        names.dedup();
        names.len() >= fleet.len()
    };
    let mut scraper: Scraper = exporter.until(known)?;
    let (own, engine, began) = (exporter.cpu_seconds(), lab.cpu_seconds(), Instant::now());
    let mut phase = Phase {
        seconds: 0.0,
        own: 0.0,
        engine: 0.0,
        resident: 0.0,
        peak: 0.0,
        bytes: 0,
        samples: 0,
        ages: Vec::new(),
        took: Vec::new(),
    };
    for scrape in 1..=scrapes {
        process::wait_for_signal((INTERVAL * scrape).saturating_sub(began.elapsed()));
        let asked = Instant::now();
        let (page, _) = exporter.scrape(&mut scraper, gzip)?;
        phase.took.push(asked.elapsed().as_secs_f64());
        phase.bytes = page.body.len();
        if !gzip {
            phase.samples = page.samples();
            phase.ages.extend(ages(&page));
        }
    }
    thread::sleep(Duration::from_millis(100));
    phase.seconds = began.elapsed().as_secs_f64();
    phase.own = exporter.cpu_seconds() - own;
    phase.engine = lab.cpu_seconds() - engine;
    (phase.resident, phase.peak) = proc::resident_bytes(exporter.pid());
    phase.took.sort_by(f64::total_cmp);
    phase.ages.sort_by(f64::total_cmp);
    Ok(phase)
}

/// Seconds since the samples of memory were read: by the timestamps on the lines, or by `container_last_seen`.
fn ages(page: &Page) -> Vec<f64> {
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs_f64();
    let stamped =
        page.lines().filter(|line| line.starts_with("container_memory_usage_bytes{")).filter_map(|line| {
            let mut words = line.rsplit_once('}')?.1.split_whitespace();
            words.nth(1)?.parse::<f64>().ok()
        });
    let stamped: Vec<f64> = stamped.map(|millis| now - millis / 1e3).collect();
    if !stamped.is_empty() {
        return stamped;
    }
    let seen = page.lines().filter(|line| line.starts_with("container_last_seen{"));
    seen.filter_map(|line| line.rsplit_once("} ")?.1.parse::<f64>().ok()).map(|at| now - at).collect()
}

fn table(phases: &[(&str, bool, Phase)], idle: f64, containers: usize) -> String {
    use std::fmt::Write as _;
    let mut text = format!(
        "{containers} containers, one in twenty writing, scraped every {} s. Engine: dockerd, containerd and shims; idle it takes \
         {:.1} ms of CPU in that time, which is taken off.\n\n",
        INTERVAL.as_secs(),
        idle * INTERVAL.as_secs_f64() * 1e3
    );
    text.push_str("| | gzip | own CPU a scrape | engine's CPU a scrape | both, share of a core | ÷ ours | resident / peak | bytes | series | scrape, median (max) | age of a sample, median (max) |\n");
    text.push_str("|---|---|---|---|---|---|---|---|---|---|---|\n");
    let per_scrape = |seconds: f64, phase: &Phase| seconds / phase.seconds * INTERVAL.as_secs_f64() * 1e3;
    // An engine that does less than when nobody asked has been asked nothing.
    let engine = |phase: &Phase| (phase.engine - idle * phase.seconds).max(0.0);
    for (name, gzip, phase) in phases {
        let both = phase.own + engine(phase);
        let same = phases.iter().find(|(name, other, _)| *name == "ours" && other == gzip);
        let ratio = same.map_or(f64::NAN, |(_, _, ours)| {
            both / phase.seconds / ((ours.own + engine(ours)) / ours.seconds)
        });
        let spread = |sorted: &[f64]| match sorted.last() {
            Some(last) => format!("{:.0} ms ({:.0})", quantile(sorted, 0.5) * 1e3, last * 1e3),
            None => "–".to_owned(),
        };
        let _ = writeln!(
            text,
            "| {name} | {} | {:.1} ms | {:.1} ms | {:.3} % | {ratio:.0} | {:.0} / {:.0} MB | {} | {} | {} | {} |",
            if *gzip { "yes" } else { "no" },
            per_scrape(phase.own, phase),
            per_scrape(engine(phase), phase),
            both / phase.seconds * 100.0,
            phase.resident / 1e6,
            phase.peak / 1e6,
            phase.bytes,
            if *gzip { "–".to_owned() } else { phase.samples.to_string() },
            spread(&phase.took),
            spread(&phase.ages)
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_a_name_a_program_and_perhaps_a_configuration() {
        let peer = Peer::parse("otel=/bin/otelcol,/etc/otel.yaml").expect("parses");
        assert_eq!(peer.config, Some("/etc/otel.yaml".into()));
        assert_eq!(Peer::parse("cadvisor=/bin/cadvisor").expect("parses").config, None);
        assert!(Peer::parse("cadvisor").is_err() && Peer::parse("=x").is_err());
    }

    #[test]
    fn the_age_of_a_sample_is_read_off_the_page() {
        let now = SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_secs_f64();
        let page = |body: String| Page { status: 200, body: body.into_bytes() };
        let stamped =
            page(format!("container_memory_usage_bytes{{id=\"/a b\"}} 4 {:.0}\n", (now - 3.0) * 1e3));
        assert!((ages(&stamped)[0] - 3.0).abs() < 1.0);
        let seen = page(format!(
            "container_memory_usage_bytes{{id=\"a\"}} 4\ncontainer_last_seen{{id=\"a\"}} {}\n",
            now - 2.0
        ));
        assert!((ages(&seen)[0] - 2.0).abs() < 1.0);
    }
}

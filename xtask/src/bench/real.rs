//! The lines on real containers: collection, scrape, response, start, visibility, requests.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use super::counting::Counting;
use super::exporter::Exporter;
use super::figure::{Figure, Row, Shape, quantile};
use super::fleet::{Fleet, Lab};
use super::floor::Floor;
use super::http::{Page, Scraper};
use super::proc::{Threads, kernel_files};
use super::{Bench, figure};
use crate::error::{Error, Result};
use crate::process::{self, When};

/// Containers on which most is measured.
pub(super) const CONTAINERS: usize = 100;
/// Between passes for which all caches shall have cooled.
const GAP: Duration = Duration::from_secs(5);
/// Every scrape is a collection, though they come fast.
const FRESH: (&str, &str) = ("CONTAINER_EXPORTER__METRICS__MAX_AGE_MS", "0");
/// A new or removed container is looked for so often.
const LOOK: Duration = Duration::from_millis(5);
/// How long it is looked for.
const PATIENCE: Duration = Duration::from_secs(10);

/// A page on which all containers are, with their numbers.
fn has_all(page: &Page, containers: usize) -> bool {
    page.lines().filter(|line| line.starts_with("container_memory_usage_bytes{")).count() >= containers
}

/// Ours on the fleet's engine.
pub(super) fn ours(
    bench: &Bench<'_>,
    lab: &Lab,
    fleet: &Fleet<'_>,
    more: &[(&str, &str)],
) -> Result<(Exporter, Scraper)> {
    let host = lab.docker_host();
    let mut environment = vec![("DOCKER_HOST", host.as_str()), FRESH];
    environment.extend_from_slice(more);
    let mut exporter = Exporter::ours(&bench.programs.exporter, &["--source", "docker"], &environment)?;
    let scraper = exporter.until(|page| has_all(page, fleet.len()))?;
    Ok((exporter, scraper))
}

pub(super) fn collection(bench: &Bench<'_>) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    let gap_ms = GAP.as_millis().to_string();
    for (gap, passes, what) in
        [("0", bench.rounds(300, 100), "hot"), (gap_ms.as_str(), bench.rounds(24, 0), "5 s between passes")]
    {
        if passes == 0 {
            continue;
        }
        let arguments = [CONTAINERS.to_string(), passes.to_string(), gap.to_owned()];
        let mut program = process::command(&bench.programs.collection, &[]);
        let text = process::succeed(program.args(arguments), When::Working)?.text();
        let (mut quotients, mut floor, mut files) = (Vec::new(), Vec::new(), 0.0);
        for line in text.lines() {
            let numbers: Vec<f64> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
            let &[bare, ours, number] = numbers.as_slice() else { continue };
            quotients.push(ours / bare);
            floor.push(bare / 1e9);
            files = number;
        }
        let note = format!("{files} files; the loop takes {:.2} ms", figure(floor)?.median * 1e3);
        let what = format!("CPU of a collection ÷ a bare loop of pread, {CONTAINERS} containers, {what}");
        rows.push(Row::new(what, Shape::Ratio, figure(quotients)?, 1.25).note(note));
    }
    Ok(rows)
}

pub(super) fn scrape(bench: &Bench<'_>, lab: &Lab, fleet: &Fleet<'_>) -> Result<Vec<Row>> {
    let compression = [("CONTAINER_EXPORTER__SERVER__COMPRESSION", "always")];
    let (exporter, mut scraper) = ours(bench, lab, fleet, &compression)?;
    for _ in 0..3 {
        exporter.cost(&mut scraper, false)?;
    }
    let mut floor = Floor::open(&bench.programs.floor, &kernel_files(exporter.pid())?)?;
    let mut rows = Vec::new();
    for (gap, rounds, gzip, what) in [
        (Duration::ZERO, bench.rounds(200, 60), false, "hot"),
        (GAP, bench.rounds(12, 0), false, "5 s between scrapes"),
        (Duration::ZERO, bench.rounds(50, 20), true, "hot, gzip"),
    ] {
        let (mut quotients, mut bare, mut whole) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..rounds {
            // Half of the gap before each, so that neither warms the caches for the other.
            process::wait_for_signal(gap / 2);
            let loop_cost = floor.pass()?;
            process::wait_for_signal(gap / 2);
            let cost = exporter.cost(&mut scraper, gzip)?;
            quotients.push(cost / loop_cost);
            bare.push(loop_cost);
            whole.push(cost);
        }
        if rounds == 0 {
            continue;
        }
        let note = format!(
            "{} files; {:.2} ms ÷ {:.2} ms",
            floor.files,
            figure(whole)?.median * 1e3,
            figure(bare)?.median * 1e3
        );
        let what = format!("CPU of a whole scrape ÷ the same loop, {} containers, {what}", fleet.len());
        let row = Row::new(what, Shape::Ratio, figure(quotients)?, 1.6).note(note);
        // The budget is that of a scrape as it is.
        rows.push(if gzip { row.without_budget() } else { row });
    }
    Ok(rows)
}

pub(super) fn response(bench: &Bench<'_>, lab: &Lab, fleet: &Fleet<'_>) -> Result<Vec<Row>> {
    let compression = [("CONTAINER_EXPORTER__SERVER__COMPRESSION", "always")];
    let (exporter, mut scraper) = ours(bench, lab, fleet, &compression)?;
    let (plain, _) = exporter.scrape(&mut scraper, false)?;
    let (packed, _) = exporter.scrape(&mut scraper, true)?;
    let what = |how| format!("response, {} containers, standard groups, {how}", fleet.len());
    let bytes = |page: &Page| Figure::exact(page.body.len() as f64);
    Ok(vec![
        Row::new(what("identity"), Shape::Megabytes, bytes(&plain), 1.4e6)
            .note(format!("{} series", plain.samples())),
        Row::new(what("gzip"), Shape::Megabytes, bytes(&packed), 110e3),
    ])
}

pub(super) fn start(bench: &Bench<'_>, lab: &Lab, fleet: &Fleet<'_>) -> Result<Vec<Row>> {
    let (mut wall, mut cpu) = (Vec::new(), Vec::new());
    let host = lab.docker_host();
    for _ in 0..bench.rounds(20, 5) {
        let began = Instant::now();
        let environment = [("DOCKER_HOST", host.as_str())];
        let mut exporter = Exporter::ours(&bench.programs.exporter, &[], &environment)?;
        exporter.until(|page| has_all(page, fleet.len()))?;
        wall.push(began.elapsed().as_secs_f64());
        cpu.push(Threads::of(exporter.pid()).since(&Threads::default()));
    }
    let what = |of| format!("start to the first full scrape, {} containers, {of}", fleet.len());
    Ok(vec![
        Row::new(what("time"), Shape::Milliseconds, figure(wall)?, 0.150),
        Row::new(what("CPU"), Shape::Milliseconds, figure(cpu)?, 0.060),
    ])
}

pub(super) fn visibility(bench: &Bench<'_>, lab: &Lab, fleet: &Fleet<'_>) -> Result<Vec<Row>> {
    let (exporter, mut scraper) = ours(bench, lab, fleet, &[])?;
    let (mut visible, mut gone) = (Vec::new(), Vec::new());
    for number in 0..bench.rounds(60, 30) {
        let name = format!("bench-{}-seen-{number}", std::process::id());
        let id = lab.run(&name, &["sleep", "1000000"], true)?;
        visible.push(seconds_until(&mut scraper, &id, true)?);
        lab.remove(&id)?;
        gone.push(seconds_until(&mut scraper, &id, false)?);
    }
    drop(exporter);
    let row = |what: &str, seconds: Vec<f64>| -> Result<Row> {
        let mut sorted = seconds;
        sorted.sort_by(f64::total_cmp);
        let (middle, late) = (quantile(&sorted, 0.5), quantile(&sorted, 0.99));
        let figure = Figure { median: late, ..figure(sorted)? };
        Ok(Row::new(format!("{what}, p99"), Shape::Milliseconds, figure, 0.5).note(format!(
            "p50 {:.1} ms; seen by a scrape every {} ms",
            middle * 1e3,
            LOOK.as_millis()
        )))
    };
    Ok(vec![
        row("container visible after `docker run -d` returned", visible)?,
        row("container gone after `docker rm -f` returned", gone)?,
    ])
}

/// Seconds until a container is on the page with a number of the kernel's, or is not on it at all.
fn seconds_until(scraper: &mut Scraper, id: &str, visible: bool) -> Result<f64> {
    let began = Instant::now();
    let label = format!("container_id=\"{}\"", &id[..id.len().min(12)]);
    loop {
        process::check_interrupted()?;
        let page = scraper.get("/metrics?collect[]=memory&name[]=container_memory_usage_bytes", false)?;
        if page.lines().any(|line| line.contains(&label)) == visible {
            return Ok(began.elapsed().as_secs_f64());
        }
        if began.elapsed() > PATIENCE {
            let what = if visible { "did not appear" } else { "stayed" };
            return Err(Error::failed(format!("the container {id} {what} for {} s", PATIENCE.as_secs())));
        }
        thread::sleep(LOOK);
    }
}

pub(super) fn requests(bench: &Bench<'_>, lab: &Lab, fleet: &Fleet<'_>) -> Result<Vec<Row>> {
    let proxy = Counting::start(lab.socket())?;
    let host = proxy.docker_host();
    let environment = [("DOCKER_HOST", host.as_str())];
    let mut exporter = Exporter::ours(&bench.programs.exporter, &["--source", "docker"], &environment)?;
    let mut scraper = exporter.until(|page| has_all(page, fleet.len()))?;
    // What the start asks for is over.
    process::wait_for_signal(Duration::from_secs(3));
    let at_start = proxy.take();
    let seconds = if bench.options.quick { 20 } else { 60 };
    for _ in 0..seconds / 5 {
        process::wait_for_signal(Duration::from_secs(5));
        exporter.cost(&mut scraper, false)?;
    }
    let idle = proxy.take();
    let others: usize =
        idle.iter().filter(|(path, _)| !path.ends_with("/_ping")).map(|(_, count)| count).sum();
    let what =
        format!("requests to the engine in {seconds} s of scrapes while nothing happens, but for /_ping");
    let note = format!("asked: {}; at the start: {} requests", list(&idle), at_start.values().sum::<usize>());
    Ok(vec![Row::new(what, Shape::Count, Figure::exact(others as f64), 0.0).note(note)])
}

fn list(asked: &BTreeMap<String, usize>) -> String {
    let parts: Vec<String> = asked.iter().map(|(path, count)| format!("{count} × {path}")).collect();
    if parts.is_empty() { "nothing".to_owned() } else { parts.join(", ") }
}

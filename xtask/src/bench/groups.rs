//! What each group costs by itself, for docs/metrics.md, and what all of them cost together.

use std::fmt::Write as _;
use std::fs;

use collector_core::{
    Group,
    catalogue::{self, Entity},
};

use super::figure::{Row, Shape};
use super::fleet::{Fleet, Lab};
use super::floor::Floor;
use super::proc::kernel_files;
use super::real::ours;
use super::{Bench, figure};
use crate::error::{Context as _, Error, Result};

/// Where docs/metrics.md has its costs from: a group and microseconds on each line, and those where there are sockets.
const FILE: &str = "bins/container-exporter/src/app/group_costs.txt";
const ALL: (&str, &str) = ("CONTAINER_EXPORTER__METRICS__GROUPS", "all");
/// It reads no container: what a scrape costs whatever is asked for.
const BASE: Group = Group::Exporter;
/// What it costs depends on whether there are sockets.
const SOCKETS: Group = Group::NetworkDetail;
/// Containers that listen.
const LISTENING: usize = 20;

/// The groups whose rows are of containers.
fn of_containers() -> impl Iterator<Item = Group> {
    let rows = || catalogue::get().iter().map(|(_, row)| row).filter(|row| row.entity == Entity::Container);
    Group::ALL.into_iter().filter(move |group| rows().any(|row| row.group == *group))
}

fn path(group: Group) -> String {
    format!("/metrics?collect[]={}", group.as_str())
}

/// CPU of each group for each container: a scrape of it alone, less a scrape without containers.
fn above_base(
    bench: &Bench<'_>,
    lab: &Lab,
    fleet: &Fleet<'_>,
    more: &[(&str, &str)],
    groups: impl Iterator<Item = Group>,
) -> Result<Vec<(Group, Vec<f64>)>> {
    let (exporter, mut scraper) = ours(bench, lab, fleet, more)?;
    let mut rounds: Vec<(Group, Vec<f64>)> = groups.map(|group| (group, Vec::new())).collect();
    for round in 0..bench.rounds(60, 15) {
        let base = exporter.cost_at(&mut scraper, &path(BASE), false)?;
        for (group, costs) in &mut rounds {
            let cost = exporter.cost_at(&mut scraper, &path(*group), false)?;
            // The first opens files and fills caches.
            if round > 0 {
                costs.push((cost - base).max(0.0) / fleet.len() as f64);
            }
        }
    }
    Ok(rounds)
}

/// One line of what a group costs each container of a kind.
fn line(group: Group, kind: &str, costs: Vec<f64>) -> Result<Row> {
    let what = format!("CPU of the group `{}`, a container{kind} and scrape", group.as_str());
    let note = if group.is_standard() { "standard" } else { "opt-in" };
    Ok(Row::new(what, Shape::Microseconds, figure(costs)?, f64::INFINITY).without_budget().note(note))
}

/// What each group costs.
pub(super) fn costs(bench: &Bench<'_>, lab: &Lab, fleet: &Fleet<'_>) -> Result<Vec<Row>> {
    let rounds = above_base(bench, lab, fleet, &[ALL], of_containers())?;
    let mut rows: Vec<Row> =
        rounds.into_iter().map(|(group, costs)| line(group, "", costs)).collect::<Result<_>>()?;
    let listening = listening(bench, lab)?;
    if bench.options.write {
        write(&rows, &listening)?;
    }
    rows.push(listening);
    Ok(rows)
}

/// The group of sockets where there are some: the kernel looks through the sockets of the whole host for each container.
fn listening(bench: &Bench<'_>, lab: &Lab) -> Result<Row> {
    let fleet = Fleet::listening(lab, LISTENING)?;
    let rule = format!("name={}*", Fleet::LISTENING);
    let only = [ALL, ("CONTAINER_EXPORTER__CONTAINERS__INCLUDE", rule.as_str())];
    let rounds = above_base(bench, lab, &fleet, &only, [SOCKETS].into_iter())?;
    line(SOCKETS, " that listens", rounds.into_iter().flat_map(|(_, costs)| costs).collect())
}

fn write(rows: &[Row], listening: &Row) -> Result<()> {
    let mut text = String::new();
    for (group, row) in of_containers().zip(rows) {
        let _ = write!(text, "{} {:.1}", group.as_str(), row.figure.median * 1e6);
        if group == SOCKETS {
            let _ = write!(text, " {:.1}", listening.figure.median * 1e6);
        }
        text.push('\n');
    }
    fs::write(FILE, text).context(|| format!("failed to write {FILE}"))?;
    eprintln!("written to {FILE}; `cargo xtask codegen` takes it into docs/metrics.md");
    Ok(())
}

/// Everything that can be switched on, against the loop over the files that are open for it.
pub(super) fn everything(bench: &Bench<'_>, lab: &Lab, fleet: &Fleet<'_>) -> Result<Vec<Row>> {
    let (exporter, mut scraper) = ours(bench, lab, fleet, &[ALL])?;
    for _ in 0..3 {
        exporter.cost(&mut scraper, false)?;
    }
    let mut floor = Floor::open(&bench.programs.floor, &kernel_files(exporter.pid())?)?;
    let (mut quotients, mut series) = (Vec::new(), 0);
    for _ in 0..bench.rounds(100, 30) {
        let loop_cost = floor.pass()?;
        let (page, cost) = exporter.scrape(&mut scraper, false)?;
        quotients.push(cost / loop_cost);
        series = page.samples();
    }
    if series == 0 {
        return Err(Error::failed("the page of all groups is empty"));
    }
    let what = format!(
        "CPU of a whole scrape of all groups ÷ the loop over its files, {} containers, hot",
        fleet.len()
    );
    let note = format!("{} files, {series} series", floor.files);
    Ok(vec![Row::new(what, Shape::Ratio, figure(quotients)?, 4.0).note(note)])
}

//! Recording rules: what dashboards and people ask for over long times, worked out once.

use collector_core::catalogue::{RowId, ids};
use mixin::{Expr, Recording, RuleGroup, Signal, TestFile, Window, rule_file};

use crate::context::Context;
use crate::error::{Error, Result};
use crate::metric::{info, metric};

const RATE: Window = Window::Fixed("5m");
const CONTAINER: &[&str] = &["job", "instance", "container_id", "container_name", "image"];
const TARGET: &[&str] = &["job", "instance"];
const PROJECT: &[&str] = &["job", "instance", "compose_project"];

fn now(row: RowId) -> Expr {
    metric(row).now()
}

fn rate(row: RowId) -> Expr {
    metric(row).rate(RATE)
}

/// Summed over the containers of a Compose project.
fn by_project(container: Expr) -> Expr {
    let on = &["job", "instance", "container_id"];
    container
        .with_info(on, &["compose_project"], info().select().ne("compose_project", "").now())
        .sum_by(PROJECT)
}

/// A rule of one row: its level, operation, expression and use.
fn record(
    level: &'static str,
    row: RowId,
    operation: &'static str,
    expr: Expr,
    help: &'static str,
) -> Recording {
    Recording::new(level, metric(row).def(), operation, expr, help)
}

/// A counter, and how fast it rises in a second.
fn counting(row: RowId, label: Option<(&'static str, &'static str)>, rate: f64) -> Signal {
    let selector = metric(row).select();
    let selector = label.map_or(selector.clone(), |(label, value)| selector.eq(label, value));
    Signal::counter(selector, rate * 60.0, rate * 60.0)
}

fn level(row: RowId, value: f64) -> Signal {
    Signal::gauge(metric(row).select(), value, value)
}

/// The container is of a Compose project.
fn in_project() -> Signal {
    Signal::gauge(info().select().eq("compose_project", "shop"), 1.0, 1.0)
}

const INTERFACES: [(&str, &str); 2] = [("interface", "eth0"), ("interface", "eth1")];
const DEVICES: [(&str, &str); 2] = [("device", "/dev/vda"), ("device", "/dev/vdb")];

/// Bytes a second that a container moves over all its interfaces or devices; tried with two.
fn bytes_of_all(row: RowId, two: [(&'static str, &'static str); 2], help: &'static str) -> Recording {
    let [one, other] = two;
    record("container", row, "rate5m", rate(row).sum_by(CONTAINER), help)
        .shows(768.0, vec![counting(row, Some(one), 512.0), counting(row, Some(other), 256.0)])
}

/// Every recording rule.
#[must_use]
pub fn recordings() -> Vec<Recording> {
    [of_containers(), of_sums()].concat()
}

/// Of single containers.
fn of_containers() -> Vec<Recording> {
    let limit = || now(ids::MEMORY_LIMIT).or_else(now(ids::MEMORY_SPEC_LIMIT));
    vec![
        record(
            "container",
            ids::CPU_USAGE,
            "rate5m",
            rate(ids::CPU_USAGE).sum_by(CONTAINER),
            "Cores that a container uses.",
        )
        .shows(0.5, vec![counting(ids::CPU_USAGE, None, 0.5)]),
        record(
            "container",
            ids::CPU_THROTTLED_PERIODS,
            "ratio_rate5m",
            rate(ids::CPU_THROTTLED_PERIODS).per(rate(ids::CPU_PERIODS)),
            "Share of its periods in which a container is stopped by its CPU quota.",
        )
        .per(metric(ids::CPU_PERIODS).def())
        .shows(
            0.25,
            vec![counting(ids::CPU_THROTTLED_PERIODS, None, 2.0), counting(ids::CPU_PERIODS, None, 8.0)],
        ),
        record(
            "container",
            ids::MEMORY_WORKING_SET,
            "ratio",
            now(ids::MEMORY_WORKING_SET).per(limit()),
            "Share of the memory it may have that a container uses.",
        )
        .per(metric(ids::MEMORY_LIMIT).def())
        .shows(
            0.75,
            vec![
                level(ids::MEMORY_WORKING_SET, 768.0),
                level(ids::MEMORY_LIMIT, 1024.0),
                level(ids::MEMORY_SPEC_LIMIT, 1024.0),
            ],
        ),
        bytes_of_all(
            ids::NETWORK_RECEIVE_BYTES,
            INTERFACES,
            "Bytes a second that a container receives over all its interfaces.",
        ),
        bytes_of_all(
            ids::NETWORK_TRANSMIT_BYTES,
            INTERFACES,
            "Bytes a second that a container sends over all its interfaces.",
        ),
        bytes_of_all(
            ids::FS_READS_BYTES,
            DEVICES,
            "Bytes a second that a container reads from all its devices.",
        ),
        bytes_of_all(
            ids::FS_WRITES_BYTES,
            DEVICES,
            "Bytes a second that a container writes to all its devices.",
        ),
    ]
}

/// Of hosts and Compose projects.
fn of_sums() -> Vec<Recording> {
    vec![
        record(
            "instance",
            ids::CPU_USAGE,
            "rate5m",
            rate(ids::CPU_USAGE).sum_by(TARGET),
            "Cores that all containers of a host use.",
        )
        .shows(1.0, vec![counting(ids::CPU_USAGE, None, 0.5)]),
        record(
            "instance",
            ids::MEMORY_WORKING_SET,
            "sum",
            now(ids::MEMORY_WORKING_SET).sum_by(TARGET),
            "Working sets of all containers of a host.",
        )
        .shows(1536.0, vec![level(ids::MEMORY_WORKING_SET, 768.0)]),
        record(
            "compose_project",
            ids::CPU_USAGE,
            "rate5m",
            by_project(rate(ids::CPU_USAGE)),
            "Cores that all containers of a Compose project use on a host.",
        )
        .shows(1.0, vec![counting(ids::CPU_USAGE, None, 0.5), in_project()]),
        record(
            "compose_project",
            ids::MEMORY_WORKING_SET,
            "sum",
            by_project(now(ids::MEMORY_WORKING_SET)),
            "Working sets of all containers of a Compose project on a host.",
        )
        .shows(1536.0, vec![level(ids::MEMORY_WORKING_SET, 768.0), in_project()]),
    ]
}

/// Adds the file of recording rules.
pub(crate) fn write(context: &mut Context<'_>) -> Result<()> {
    let scope = context.rules();
    let mut group = RuleGroup::new("container_recordings");
    let mut tests = TestFile::of(["../rules/container_recordings.yml".to_owned()]);
    for recording in recordings() {
        let name = format!("the recording rule {}", recording.name());
        if context.render(&name, &recording.expr, &scope)?.is_some() {
            let mistake = |source| Error::Expression { what: name.clone(), source };
            group.record(&recording, &scope).map_err(mistake)?;
            tests.push(recording.test(&scope).map_err(mistake)?);
        }
    }
    let comment = "Generated by `cargo xtask gen-dashboards`.\n\
                   Recording rules: what dashboards and people ask for over long times, worked out once.";
    context.file("deploy/prometheus/rules/container_recordings.yml", rule_file(comment, [group]));
    let comment = "Generated by `cargo xtask gen-dashboards`; run by `promtool test rules`.";
    context.file("deploy/prometheus/tests/container_recordings.yml", tests.text(comment));
    Ok(())
}

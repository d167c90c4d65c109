//! `metrics`: the catalogue, for people, for docs/metrics.md and for programs.

use std::fmt::Write as _;

use cgroup_reader::{At, Field, Place, PsiLine, SourceKey};
use collector_core::Group;
use collector_core::catalogue::{self, Dimension, Row, Source};
use metric_schema::{MetricDef, Origin, Values};
use runtime_metrics::catalogue as runtime;
use serde_json::json;

use crate::cli::CatalogueFormat;

/// The catalogue in a form.
pub(super) fn render(format: CatalogueFormat) -> String {
    match format {
        CatalogueFormat::Table => table(),
        CatalogueFormat::Markdown => markdown(),
        CatalogueFormat::Json => json(),
    }
}

fn shown() -> impl Iterator<Item = &'static Row> {
    catalogue::get().iter().map(|(_, row)| row).filter(|row| !row.hidden)
}

/// The name that a reader looks for: that of the default profile, or of the only profile that has it; none where it is on
/// no page.
fn page_name(def: &MetricDef) -> Option<String> {
    match (def.only_aliased, def.aliases.first()) {
        (Some(_), Some(alias)) => Some(alias.name.to_owned()),
        (Some(_), None) => None,
        (None, _) => Some(def.prometheus_name()),
    }
}

/// That name, or that of OTLP where no page has it.
fn name(row: &Row) -> String {
    page_name(&row.def).unwrap_or_else(|| row.def.name.to_owned())
}

/// The metric as which it leaves by OTLP, with what tells its points apart, in the notation of the conventions.
fn otel(def: &MetricDef) -> Result<String, &'static str> {
    let metric = def.otel_metric()?;
    let fixed = metric.attributes.iter().map(|(key, value)| format!("{key}={value}"));
    let keys = def.attributes.iter().filter_map(|attribute| attribute.otel.map(str::to_owned));
    let points: Vec<_> = fixed.chain(keys).collect();
    let points = if points.is_empty() { String::new() } else { format!(" {{{}}}", points.join(", ")) };
    let kind = metric.instrument.otel_word();
    let ours = if metric.origin == Origin::Ours { "; ours" } else { "" };
    let total = if metric.is_total { "; only where its parts are not known" } else { "" };
    Ok(format!("`{}`{points} ({kind}, {}{ours}{total})", metric.name, metric.unit.ucum()))
}

fn labels(def: &MetricDef) -> String {
    let own = def.attributes.iter().map(|attribute| attribute.name.to_owned());
    let fixed = def.labels.iter().map(|(label, value)| format!("{label}=\"{value}\""));
    own.chain(fixed).collect::<Vec<_>>().join(", ")
}

fn table() -> String {
    let rows: Vec<[String; 4]> = shown()
        .map(|row| {
            [
                name(row),
                row.def.instrument.prometheus_type().to_owned(),
                labels(&row.def),
                row.def.help.to_owned(),
            ]
        })
        .collect();
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let (first, second, third) = (width(0), width(1), width(2));
    let mut text = String::new();
    for [name, kind, labels, help] in &rows {
        _ = writeln!(text, "{name:first$}  {kind:second$}  {labels:third$}  {help}");
    }
    text
}

fn place(at: &At) -> String {
    let file = match at.place {
        Place::Cgroup(_, file) => format!("`{file}`"),
        Place::Proc(file) => format!("`/proc/<pid>/{file}`"),
        Place::System(file) => format!("`/proc/{file}`"),
        _ => String::new(),
    };
    match at.field {
        Field::Column("") => file,
        Field::Key(key) | Field::Column(key) => format!("{file} {key}"),
        Field::ProtocolPair(protocol, name) | Field::NamedPair(protocol, name) => {
            format!("{file} {protocol} {name}")
        }
        Field::HexColumn(name) => format!("{file} {name}"),
        Field::Index(nth) => format!("{file} word {}", nth + 1),
        Field::Psi(PsiLine::Some) => format!("{file} some total"),
        Field::Psi(PsiLine::Full) => format!("{file} full total"),
        _ => file,
    }
}

fn source(row: &Row) -> String {
    let of = |key: &SourceKey| match (&key.v1, &key.v2) {
        (Some(v1), Some(v2)) if v1 == v2 => place(v1),
        (Some(v1), Some(v2)) => format!("v1 {}; v2 {}", place(v1), place(v2)),
        (Some(v1), None) => format!("v1 {}", place(v1)),
        (None, Some(v2)) => format!("v2 {}", place(v2)),
        (None, None) => String::new(),
    };
    match &row.source {
        Source::Key(key) | Source::PerKey(_, key) | Source::PerFile(_, key) => of(key),
        Source::Derived(_) => "computed from other rows".to_owned(),
        Source::Engine(_) | Source::StateSet(_) | Source::Info(_) => "the engine".to_owned(),
        Source::SamplerTable(Dimension::Gpu) => "the GPU's library (NVML)".to_owned(),
        Source::SamplerWatched => "`/proc/<pid>/task/<tid>/schedstat`, added up by the exporter".to_owned(),
        Source::Sampler | Source::SamplerTable(_) => "several kernel files".to_owned(),
        Source::Collector | Source::CollectorTable(_) => "kept by the exporter".to_owned(),
        _ => String::new(),
    }
}

fn cadvisor(row: &Row) -> String {
    match row.def.alias("cadvisor") {
        None => "–".to_owned(),
        Some(alias) if alias.name == row.def.prometheus_name() => "same".to_owned(),
        Some(alias) => format!("`{}`", alias.name),
    }
}

fn markdown() -> String {
    let mut text = String::from(
        "# Metrics\n\n<!-- Generated by `cargo xtask codegen` from crates/collector-core/src/catalogue and\n     crates/runtime-metrics/src/catalogue.rs: do not edit. -->\n\n\
         Every metric, by group. Groups are switched by `metrics.groups` and asked for by `?collect[]=`. Series of a\n\
         container carry the labels `container_id`, `container_name` and `image`, and those in the column labels. What\n\
         cannot be known is absent, and `container_exporter_metric_absent` says why. The column cAdvisor tells the name\n\
         under `?profile=cadvisor` (– is not there), the column OTLP the metric, the attributes of its points, instrument and\n\
         unit; what OpenTelemetry has no name for is ours, named in its style.\n",
    );
    for group in Group::ALL {
        let rows: Vec<&Row> = shown().filter(|row| row.group == group).collect();
        if rows.is_empty() {
            continue;
        }
        _ = write!(
            text,
            "\n## {}\n{}\n| name | type | unit | labels | meaning | source | cAdvisor | OTLP |\n|---|---|---|---|---|---|---|---|\n",
            group.as_str(),
            about(group),
        );
        for row in rows {
            _ = writeln!(
                text,
                "| {} | {} | {} | {} | {} | {} | {} | {} |",
                markdown_name(&row.def),
                row.def.instrument.prometheus_type(),
                row.def.unit.ucum(),
                labels(&row.def),
                row.def.help,
                source(row),
                cadvisor(row),
                markdown_otel(&row.def),
            );
        }
    }
    own(&mut text);
    text
}

/// What stands above a group's table: whether it must be asked for, and what it costs.
fn about(group: Group) -> String {
    let mut text = String::new();
    if !group.is_standard() {
        let name = group.as_str();
        _ = writeln!(
            text,
            "\nOpt-in: `metrics.groups = [\"standard\", \"{name}\"]`, or `?collect[]={name}`."
        );
    }
    if group == Group::Engine {
        text.push_str(
            "\nThe images of the containers: `container_info * on (image_id) group_left () max by (image_id) (engine_image_size_bytes)`.\n",
        );
    }
    if group == Group::Gpu {
        text.push_str(
            "\nOnly in a build with the feature `gpu` (`cargo build --release --features gpu`), else absent with the reason `not_built`: [gpus.md](gpus.md).\n",
        );
    }
    if let Some((micros, with_sockets)) = cost(group) {
        _ = write!(text, "\nCost: {micros} µs of CPU a container and scrape, read and written by itself");
        if let Some(more) = with_sockets {
            _ = write!(
                text,
                "; {more} µs where it has TCP sockets, as the kernel looks through those of the whole host"
            );
        }
        text.push_str(".\n");
    }
    text
}

/// Microseconds for each container, measured by `cargo xtask bench --only groups --write`, and behind a space those for one
/// that has sockets, where that differs; groups that are not of containers have none.
fn cost(group: Group) -> Option<(&'static str, Option<&'static str>)> {
    include_str!("group_costs.txt").lines().find_map(|line| {
        let mut words = line.split(' ');
        (words.next() == Some(group.as_str())).then(|| Some((words.next()?, words.next())))?
    })
}

fn markdown_name(def: &MetricDef) -> String {
    page_name(def).map_or_else(|| "–".to_owned(), |name| format!("`{name}`"))
}

fn markdown_otel(def: &MetricDef) -> String {
    otel(def).unwrap_or_else(|reason| format!("–: {reason}"))
}

/// What is not of the catalogue but of the registry: the rows of `runtime-metrics`.
fn own(text: &mut String) {
    section(
        text,
        "process",
        "Of the exporter's own process and its runtime, in both profiles; they go with the group `exporter`, and leave by\n\
         OTLP with the exporter's own Resource.",
        super::build::registry_rows(),
    );
    section(
        text,
        "spans",
        "Of the exporter's own spans and their way to the receiver, and of the host it runs on, where it sends traces (section\n\
         `traces` of the configuration). `otel.sdk.*` are the same numbers in the words of OpenTelemetry's conventions.",
        runtime::SPANS.iter().chain(runtime::SYSTEM),
    );
    section(
        text,
        "tasks",
        "Not of the exporter: any service that takes the crate `runtime-metrics` has the two sections above, and these of the\n\
         tasks that it watches.",
        runtime::TASKS.iter(),
    );
}

fn section(text: &mut String, name: &str, about: &str, rows: impl Iterator<Item = &'static MetricDef>) {
    _ = write!(
        text,
        "\n## {name}\n\n{about}\n\n| name | type | unit | labels | meaning | OTLP |\n|---|---|---|---|---|---|\n"
    );
    for def in rows {
        let buckets = def.buckets.iter().map(f64::to_string).collect::<Vec<_>>().join(", ");
        let buckets = if buckets.is_empty() { buckets } else { format!(" Buckets: {buckets}.") };
        _ = writeln!(
            text,
            "| {} | {} | {} | {} | {}{buckets} | {} |",
            markdown_name(def),
            def.instrument.prometheus_type(),
            def.unit.ucum(),
            labels(def),
            def.help,
            markdown_otel(def),
        );
    }
}

fn otel_json(row: &Row) -> serde_json::Value {
    match row.def.otel_metric() {
        Err(reason) => json!({ "left_out": reason }),
        Ok(metric) => json!({
            "name": metric.name,
            "unit": metric.unit.ucum(),
            "instrument": metric.instrument.otel_word(),
            "attributes": metric.attributes.iter().copied().collect::<std::collections::BTreeMap<_, _>>(),
            "keys": row.def.attributes.iter().filter_map(|attribute| attribute.otel).collect::<Vec<_>>(),
            "ours": metric.origin == Origin::Ours,
        }),
    }
}

fn json() -> String {
    let rows: Vec<_> = shown()
        .map(|row| {
            let attributes: Vec<_> = row
                .def
                .attributes
                .iter()
                .map(|attribute| match attribute.values {
                    Values::Closed(values) => json!({ "label": attribute.name, "values": values }),
                    Values::Capped(most) => json!({ "label": attribute.name, "at_most": most }),
                    Values::Given => json!({ "label": attribute.name }),
                })
                .collect();
            json!({
                "name": name(row),
                "otel": otel_json(row),
                "type": row.def.instrument.prometheus_type(),
                "unit": row.def.unit.ucum(),
                "group": row.group.as_str(),
                "help": row.def.help,
                "labels": attributes,
                "fixed_labels": row.def.labels.iter().copied().collect::<std::collections::BTreeMap<_, _>>(),
                "source": source(row),
                "cadvisor": row.def.alias("cadvisor").map(|alias| alias.name),
            })
        })
        .collect();
    format!("{:#}\n", serde_json::Value::Array(rows))
}

#[cfg(test)]
mod tests {
    use super::*;
    use collector_core::catalogue::Entity;

    /// What must be run after a group is added, or made to read more.
    const MEASURE: &str = "run `cargo xtask bench --only groups --write`, then `cargo xtask codegen`";

    #[test]
    fn every_group_of_containers_has_a_measured_cost() {
        let is_of_containers =
            |group: &Group| shown().any(|row| row.entity == Entity::Container && row.group == *group);
        let groups: Vec<Group> = Group::ALL.into_iter().filter(is_of_containers).collect();
        let is_number =
            |micros: &str| micros.parse::<f64>().is_ok_and(|micros| micros.is_finite() && micros >= 0.0);
        let is_measured = |group: &Group| {
            cost(*group).is_some_and(|(micros, more)| is_number(micros) && more.is_none_or(is_number))
        };
        let missing: Vec<&str> =
            groups.iter().filter(|group| !is_measured(group)).map(|group| group.as_str()).collect();
        assert!(missing.is_empty(), "no cost in group_costs.txt of {}: {MEASURE}", missing.join(", "));
        for line in include_str!("group_costs.txt").lines() {
            let name = line.split(' ').next().unwrap_or_default();
            assert!(Group::parse(name).is_some(), "{line}: there is no such group; {MEASURE}");
        }
    }
}

//! The services of Compose projects: what each service's containers use together.

use collector_core::catalogue::ids;
use mixin::dashboard::{Dashboard, Panel, Query, Section, Shown, Variable};
use mixin::{Expr, Profile, Window};

use super::parts::{self, *};
use super::uid;
use crate::metric::{ONE_CONTAINER, info, metric};

const SERVICE: &[&str] = &["compose_project", "compose_service"];
const LEGEND: &str = "{compose_project} {compose_service}";

pub(super) fn dashboard(_: Profile) -> Dashboard {
    let dashboard = parts::dashboard(
        uid::COMPOSE,
        "Containers / Compose",
        "The services of Docker Compose projects, each with all its containers.",
    )
    .variable(Variable::new("project", "Project", info(), "compose_project"))
    .variable(Variable::new("service", "Service", info(), "compose_service"));
    dashboard
        .section(Section::top(services()))
        .section(Section::open("Use", use_over_time()))
        .section(Section::collapsed("Containers", [containers()]))
}

/// A container's number as its service's: the containers of a service are added up.
fn of_service(expr: Expr) -> Expr {
    expr.with_info(ONE_CONTAINER, SERVICE, info().now()).sum_by(SERVICE)
}

fn rated(row: collector_core::catalogue::RowId) -> Expr {
    of_service(rate(row, ONE_CONTAINER))
}

fn services() -> Vec<Panel> {
    let columns = &[("compose_project", "Project"), ("compose_service", "Service")];
    let running = metric(ids::STATE_SET).select().eq("state", "running").now();
    let restarts = metric(ids::RESTARTS).increase(Window::Fixed("1h"));
    let table = Panel::table("Services", "Every service of the chosen projects.", columns)
        .query(Query::column(of_service(running.sum_by(ONE_CONTAINER)), "Running", Shown::Plain))
        .query(
            Query::column(of_service(restarts.sum_by(ONE_CONTAINER)), "Restarts, 1 h", Shown::Plain)
                .steps(SOME_STEPS),
        )
        .query(Query::column(rated(ids::CPU_USAGE), "CPU, cores", Shown::Short))
        .query(Query::column(of_service(memory(ONE_CONTAINER)), "Memory", Shown::Bytes))
        .size(24, 9);
    vec![table]
}

/// From a service to its containers, each of which has a dashboard.
fn containers() -> Panel {
    let columns = &[
        ("container_name", "Container"),
        ("instance", "Instance"),
        ("compose_project", "Project"),
        ("compose_service", "Service"),
    ];
    let with_service = |expr: Expr| {
        let by: Vec<_> = CONTAINER.iter().chain(SERVICE).copied().collect();
        expr.with_info(ONE_CONTAINER, SERVICE, info().now()).sum_by(&by)
    };
    let named: Vec<_> = ONE_CONTAINER.iter().copied().chain(["container_name"]).collect();
    let panel = Panel::table("Containers of the services", "A click shows a container alone.", columns)
        .query(Query::column(with_service(cpu(&named)), "CPU, cores", Shown::Short))
        .query(Query::column(with_service(memory(&named)), "Memory", Shown::Bytes));
    row_to_container(panel).size(24, 12)
}

fn use_over_time() -> Vec<Panel> {
    let graph = |title, description, expr| Panel::graph(title, description).query(Query::new(expr, LEGEND));
    vec![
        graph("CPU by service, cores", "Cores in use by all containers of a service.", rated(ids::CPU_USAGE)),
        graph(
            "Memory by service",
            "Working sets of all containers of a service.",
            of_service(memory(ONE_CONTAINER)),
        )
        .shown(Shown::Bytes),
        Panel::graph("Network by service", "Received upwards, sent downwards.")
            .query(Query::new(rated(ids::NETWORK_RECEIVE_BYTES), format!("{LEGEND} receives")))
            .query(Query::new(rated(ids::NETWORK_TRANSMIT_BYTES), format!("{LEGEND} sends")).negative())
            .shown(Shown::BytesPerSecond),
        Panel::graph("Disk by service", "Read upwards, written downwards.")
            .query(Query::new(rated(ids::FS_READS_BYTES), format!("{LEGEND} reads")))
            .query(Query::new(rated(ids::FS_WRITES_BYTES), format!("{LEGEND} writes")).negative())
            .shown(Shown::BytesPerSecond),
    ]
}

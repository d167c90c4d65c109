//! A dashboard and two alerts, with their tests and runbooks, for a shop's own metrics:
//! `cargo run -p mixin --example shop -- DIR`.
//!
//! Three rows are all that it starts from. Rename one, and everything here follows; misspell a label, and it is said here.

use std::path::Path;

use metric_schema::{Attribute, MetricDef, Unit, Values};
use mixin::dashboard::{Color, Dashboard, Panel, Query, Section, Shown};
use mixin::{
    About, Alert, Expr, Link, Links, Metric, Profile, RuleGroup, Runbook, Scope, Selector, Setting, Severity,
    Signal, Step, TestFile, Trial, Window, above, rule_file, target,
};

const CODE: &[Attribute] = &[Attribute::new("code", Values::Closed(&["2xx", "4xx", "5xx"]))];
const REQUESTS: MetricDef = MetricDef::counter(
    "shop.requests",
    Unit::Count("{request}"),
    "http",
    "Requests answered, by class of status.",
)
.by(CODE);
const DURATION: MetricDef = MetricDef::histogram(
    "shop.request.duration",
    Unit::Seconds,
    "http",
    "How long requests took.",
    &[0.01, 0.1, 1.0, 10.0],
);
const CARTS: MetricDef =
    MetricDef::up_down("shop.carts", Unit::Count("{cart}"), "shop", "Carts that are not empty.");

const UID: &str = "shop-overview";
const WINDOW: Window = Window::Fixed("5m");
const BY: &[&str] = &["job", "instance"];
const ON_DASHBOARD: Link = Link { dashboard: UID, variables: &[("instance", "instance")] };
const GENERATED_BY: &str = "cargo run -p mixin --example shop";

/// The share of requests that the shop itself failed to answer.
fn failed(window: Window) -> Expr {
    let requests = Metric::of(&REQUESTS);
    requests.select().eq("code", "5xx").rate(window).sum_by(BY).per(requests.rate(window).sum_by(BY))
}

fn up() -> Selector {
    Metric::of(&target::UP).select().eq("job", "shop")
}

fn dashboard() -> Dashboard {
    let up = Metric::of(&target::UP);
    Dashboard::new(UID, "Shop", "Whether customers are served, how fast, and how many there are.")
        .tags(&["shop"])
        .targets(up)
        .section(Section::top([
            Panel::graph("Failed requests", "Share of requests that the shop itself failed to answer.")
                .query(Query::new(failed(Window::Interval), "{instance}"))
                .shown(Shown::Ratio)
                .steps(&[(0.01, Color::Orange), (0.05, Color::Red)]),
            Panel::of_metric(Metric::of(&CARTS), BY).size(12, 8),
        ]))
        .section(Section::collapsed(
            "Every metric",
            [&REQUESTS, &DURATION].map(|row| Panel::of_metric(Metric::of(row), BY)),
        ))
}

fn alerts() -> [Alert; 2] {
    const REQUESTS_A_MINUTE: f64 = 1024.0;
    let requests_fail = Alert::new(
        "ShopRequestsFail",
        |chosen| failed(WINDOW).gt(chosen.threshold()),
        ON_DASHBOARD,
        Runbook::new(
            "More than the tolerated share of requests is answered with a status of 500 or above.",
            "Customers see errors and cannot buy.",
            &[
                Step::Query("Which instance fails.", || failed(WINDOW)),
                Step::Shell("What it says.", "journalctl -u shop -n 50"),
            ],
            &["Roll back, if it began with a release.", "Look at the database, if all instances fail."],
        ),
        |chosen| {
            let share = above(chosen.threshold());
            let of = |code: &str| Metric::of(&REQUESTS).select().eq("code", code);
            Trial::new(
                About::Target,
                share,
                vec![
                    Signal::counter(of("5xx"), 0.0, REQUESTS_A_MINUTE * share),
                    Signal::counter(of("2xx"), REQUESTS_A_MINUTE, REQUESTS_A_MINUTE * (1.0 - share)),
                ],
            )
            .settles_after_minutes(5)
        },
    )
    .says("The shop fails to answer requests.", "{value:percent} of the requests to {instance} fail.")
    .setting(Setting::threshold(0.05, "share of requests that may fail"))
    .severity(Severity::Critical)
    .wait_minutes(5);
    let down = Alert::new(
        "ShopDown",
        |_| up().now().equal(0.0),
        ON_DASHBOARD,
        Runbook::new(
            "Prometheus does not reach the shop.",
            "Nobody knows whether customers are served.",
            &[Step::Shell("Whether it runs.", "systemctl status shop")],
            &["Start it again."],
        ),
        |_| Trial::new(About::Target, 0.0, vec![Signal::gauge(up(), 1.0, 0.0)]),
    )
    .says("The shop does not answer Prometheus.", "{instance} of {job} cannot be reached.")
    .severity(Severity::Critical)
    .wait_minutes(3);
    [requests_fail, down]
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let out = std::env::args().nth(1).unwrap_or_else(|| "target/shop".to_owned());
    let out = Path::new(&out);
    let scope = Scope::default();
    let links = Links::new("https://shop.example/runbooks", "https://grafana.example");
    std::fs::create_dir_all(out)?;
    std::fs::write(out.join("dashboard.json"), dashboard().build(Profile::NATIVE)?.json)?;

    let mut group = RuleGroup::new("shop");
    let mut tests = TestFile::of(["rules.yml".to_owned()]);
    for alert in alerts() {
        group.alert(&alert, &scope, &links)?;
        for test in alert.tests(&scope, &links)? {
            tests.push(test);
        }
        std::fs::write(out.join(format!("{}.md", alert.name)), alert.page(&scope, GENERATED_BY)?)?;
    }
    let comment = format!("Generated by `{GENERATED_BY}`.");
    std::fs::write(out.join("rules.yml"), rule_file(&comment, [group]))?;
    std::fs::write(out.join("rules.test.yml"), tests.text(&comment))?;
    Ok(())
}

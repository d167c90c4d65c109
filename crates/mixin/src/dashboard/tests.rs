//! What a dashboard is written as.

use metric_schema::{Alias, Attribute, MetricDef, Unit, Values};
use serde_json::{Value, json};

use super::*;
use crate::profile::Profile;
use crate::{Metric, Window};

const LOAD: MetricDef = MetricDef::gauge("box.load", Unit::One, "box", "How busy the box is.")
    .aliased(&[Alias { profile: "old", name: "old_load", labels: &[] }]);
const LIMIT: MetricDef = MetricDef::gauge("box.limit", Unit::One, "box", "How busy the box may be.");
const OLD: Profile = Profile::new("old", &[("box", Some("name"))], &[]);

fn of(def: &'static MetricDef) -> Metric {
    Metric::of(def).identified(&["box"])
}

fn load() -> Query {
    Query::new(of(&LOAD).now(), "{box}")
}

fn limit() -> Query {
    Query::new(of(&LIMIT).now(), "limit of {box}").limit()
}

fn built(profile: Profile, sections: Vec<Section>) -> (Built, Value) {
    let variables = Dashboard::new("boxes", "Boxes", "All boxes.")
        .targets(of(&LOAD))
        .variable(Variable::new("name", "Box", of(&LOAD), "box"));
    let dashboard = sections.into_iter().fold(variables, Dashboard::section);
    let built = dashboard.build(profile).expect("no mistakes");
    let json = serde_json::from_str(&built.json).expect("JSON");
    (built, json)
}

#[test]
fn variables_narrow_each_other_and_every_query() {
    let (built, json) =
        built(Profile::NATIVE, vec![Section::top([Panel::graph("Load", "It.").query(load())])]);
    assert_eq!(built.queries[0].text, r#"box_load{job=~"$job", instance=~"$instance", box=~"$name"}"#);
    let queries: Vec<_> =
        json["templating"]["list"].as_array().expect("variables").iter().map(|it| &it["query"]).collect();
    assert_eq!(
        queries,
        [
            "prometheus",
            "label_values(box_load, job)",
            r#"label_values(box_load{job=~"$job"}, instance)"#,
            r#"label_values(box_load{job=~"$job", instance=~"$instance"}, box)"#,
        ]
    );
}

#[test]
fn what_a_profile_lacks_leaves_no_hole() {
    let sections = || {
        vec![
            Section::top([
                Panel::graph("Limit", "It.").query(limit()),
                Panel::graph("Both", "They.").query(limit()).query(load()),
            ]),
            Section::open("Limits", [Panel::graph("Again", "It.").query(limit())]),
            Section::collapsed("Loads", [Panel::graph("Load", "It.").query(load())]),
        ]
    };
    let (native, _) = built(Profile::NATIVE, sections());
    assert_eq!((native.panels, native.left_out.len()), (4, 0));
    let (old, json) = built(OLD, sections());
    assert_eq!(old.panels, 2);
    let reasons: Vec<String> = old.left_out.iter().map(|(what, error)| format!("{what} {error}")).collect();
    assert_eq!(reasons[0], "Boxes / Limit cannot be answered because old has no name for box_limit");
    assert_eq!(reasons.len(), 3);
    let panels = json["panels"].as_array().expect("panels");
    assert_eq!(
        (&panels[0]["title"], &panels[1]["title"]),
        (&json!("Both"), &json!("Loads")),
        "no empty heading"
    );
    assert_eq!(panels[0]["gridPos"], json!({"h": 8, "w": 12, "x": 0, "y": 0}));
    assert_eq!(panels[0]["targets"][0]["refId"], "A");
    assert_eq!(panels[0]["targets"][0]["legendFormat"], "{{name}}");
    assert_eq!(panels[1]["gridPos"]["y"], 8);
    assert_eq!(panels[1]["panels"][0]["gridPos"]["y"], 9);
}

#[test]
fn a_limit_is_dashed_and_never_stacked() {
    let panel = Panel::stack("Load", "It.").query(load()).query(limit());
    let (_, json) = built(Profile::NATIVE, vec![Section::top([panel])]);
    let config = &json["panels"][0]["fieldConfig"];
    assert_eq!(config["defaults"]["custom"]["stacking"]["mode"], "normal");
    let overrides = config["overrides"].as_array().expect("overrides");
    assert_eq!(overrides.len(), 1);
    assert_eq!(overrides[0]["matcher"], json!({"id": "byFrameRefID", "options": "B"}));
    let properties = overrides[0]["properties"].to_string();
    assert!(
        properties.contains(r#""fill":"dash""#) && properties.contains(r#""mode":"none""#),
        "{properties}"
    );
}

#[test]
fn a_line_that_means_something_has_its_colour() {
    let panel = Panel::graph("Ends", "They.").query(load()).colors(&[("error", Color::Orange)]);
    let (_, json) = built(Profile::NATIVE, vec![Section::top([panel])]);
    let expected = json!([{
        "matcher": {"id": "byName", "options": "error"},
        "properties": [{"id": "color", "value": {"fixedColor": "orange", "mode": "fixed"}}],
    }]);
    assert_eq!(json["panels"][0]["fieldConfig"]["overrides"], expected);
}

#[test]
fn a_table_names_its_columns_and_hides_the_rest() {
    let panel = Panel::table("Boxes", "All.", &[("box", "Box")])
        .query(Query::column(of(&LOAD).now(), "Load", Shown::Short).bar(2.0))
        .query(Query::column(of(&LIMIT).now(), "Limit", Shown::Short))
        .link("This box", "/d/box?var-name=${__data.fields.Box}")
        .top("Load", 5);
    let (_, json) = built(Profile::NATIVE, vec![Section::top([panel])]);
    let panel = &json["panels"][0];
    let ids: Vec<_> = panel["transformations"].as_array().expect("some").iter().map(|it| &it["id"]).collect();
    assert_eq!(ids, ["merge", "organize", "sortBy", "limit"]);
    let organize = &panel["transformations"][1]["options"];
    assert_eq!(organize["renameByName"], json!({"box": "Box", "Value #A": "Load", "Value #B": "Limit"}));
    assert_eq!(
        organize["excludeByName"],
        json!({"Time": true, "__name__": true, "instance": true, "job": true})
    );
    assert!(
        panel["targets"]
            .as_array()
            .expect("two")
            .iter()
            .all(|it| it["instant"] == true && it["format"] == "table")
    );
    let first = &panel["fieldConfig"]["overrides"][0];
    assert_eq!(
        (&first["matcher"]["options"], &first["properties"][0]["id"]),
        (&json!("Box"), &json!("links"))
    );
}

#[test]
fn a_row_implies_its_panel() {
    const BYTES: MetricDef = MetricDef::counter("box.sent", Unit::Bytes, "box", "Bytes sent.");
    const SINCE: MetricDef = MetricDef::gauge("box.since", Unit::UnixSeconds, "box", "When the box came.");
    const WAIT: MetricDef =
        MetricDef::histogram("box.wait", Unit::Seconds, "box", "How long it waited.", &[1.0]);
    let rows = [&BYTES, &SINCE, &WAIT, &LOAD].map(|row| Panel::of_metric(of(row), &["box"]));
    let (built, json) = built(Profile::NATIVE, vec![Section::top(rows)]);
    let shown: Vec<_> = json["panels"]
        .as_array()
        .expect("panels")
        .iter()
        .map(|panel| (panel["type"].as_str(), panel["fieldConfig"]["defaults"]["unit"].as_str()))
        .collect();
    let graph = Some("timeseries");
    assert_eq!(
        shown,
        [
            (graph, Some("Bps")),
            (Some("stat"), Some("dateTimeAsIso")),
            (graph, Some("s")),
            (graph, Some("short"))
        ]
    );
    assert_eq!(built.queries.len(), 6, "three quantiles");
    assert!(built.queries[0].text.starts_with("sum(rate(box_sent_bytes_total{"), "{}", built.queries[0].text);
    assert!(built.queries[1].text.ends_with("* 1000"), "dates are milliseconds: {}", built.queries[1].text);
}

#[test]
fn rows_of_one_name_share_a_panel_and_its_legend_tells_them_apart() {
    const HELP: &str = "Doors by state.";
    const OPEN: MetricDef = MetricDef::gauge("box.doors", Unit::Count("{door}"), "box", HELP)
        .by(&[Attribute::new("side", Values::Capped(6)), Attribute::new("serial", Values::Capped(1))])
        .with(&[("state", "open")]);
    const SHUT: MetricDef = MetricDef::gauge("box.doors", Unit::Count("{door}"), "box", HELP)
        .by(&[Attribute::new("side", Values::Capped(6)), Attribute::new("serial", Values::Capped(1))])
        .with(&[("state", "shut")]);
    const LOCKS: MetricDef = MetricDef::gauge("box.locks", Unit::Count("{lock}"), "box", "Locks.")
        .by(&[Attribute::new("open", Values::Closed(&["true", "false"]))]);
    const BY: &[&str] = &["job", "instance", "box"];
    let panels = [
        Panel::of_metrics(of(&OPEN), &[of(&SHUT)], BY),
        Panel::of_metric(of(&OPEN), BY),
        Panel::of_metric(of(&LOAD), &["job", "instance"]),
        Panel::of_metric(of(&LOCKS), BY),
    ];
    let (built, json) = built(Profile::NATIVE, vec![Section::top(panels)]);
    let said = |panel: usize| -> Vec<&Value> {
        let targets = json["panels"][panel]["targets"].as_array().expect("targets");
        targets.iter().map(|target| &target["legendFormat"]).collect()
    };
    assert_eq!(json["panels"][0]["title"], "box_doors");
    assert_eq!(
        said(0),
        ["{{box}} {{side}} open on {{instance}}", "{{box}} {{side}} shut on {{instance}}"],
        "a label of one value tells nothing"
    );
    assert_eq!(
        (&json["panels"][1]["title"], said(1)),
        (&json!("box_doors open"), vec![&json!("{{box}} {{side}} on {{instance}}")])
    );
    assert_eq!(said(2), ["{{instance}}"]);
    assert_eq!(said(3), ["{{box}} open={{open}} on {{instance}}"], "true alone says nothing");
    assert!(built.queries[0].text.ends_with("by (job, instance, box, side)"), "{}", built.queries[0].text);
}

#[test]
fn dates_of_many_things_are_a_table() {
    const MADE: MetricDef =
        MetricDef::gauge("box.made", Unit::UnixSeconds, "box", "When its sides were made.")
            .by(&[Attribute::new("side", Values::Capped(6))]);
    let (_, json) = built(Profile::NATIVE, vec![Section::top([Panel::of_metric(of(&MADE), &["box"])])]);
    let panel = &json["panels"][0];
    assert_eq!(panel["type"], "table");
    assert_eq!(
        panel["transformations"][1]["options"]["indexByName"],
        json!({"side": 0, "box": 1, "Value": 2})
    );
    assert!(panel["options"]["sortBy"].is_null(), "the newest come first");
}

#[test]
fn a_share_alone_is_read_at_a_glance_and_an_axis_begins_at_nothing() {
    let share = || Query::new(of(&LOAD).now(), "{box}");
    let (_, json) = built(
        Profile::NATIVE,
        vec![Section::top([
            Panel::stat("Share", "It.").query(share()).shown(Shown::Ratio),
            Panel::graph("Share", "It.").query(share()).shown(Shown::Ratio),
            Panel::table("Shares", "All.", &[("box", "Box")])
                .query(Query::column(of(&LOAD).now(), "Share", Shown::Ratio))
                .width("Box", 90)
                .nothing("none"),
        ])],
    );
    let defaults = |panel: usize| &json["panels"][panel]["fieldConfig"]["defaults"];
    assert_eq!((&defaults(0)["decimals"], &defaults(0)["noValue"]), (&json!(1), &json!("n/a")));
    assert_eq!((&defaults(1)["decimals"], &defaults(1)["custom"]["axisSoftMin"]), (&Value::Null, &json!(0)));
    let table = &json["panels"][2];
    assert_eq!(table["options"]["sortBy"], json!([{"desc": false, "displayName": "Box"}]));
    assert_eq!(defaults(2)["noValue"], "none");
    let overrides = table["fieldConfig"]["overrides"].to_string();
    assert!(overrides.contains(r#"{"id":"noValue","value":"–"}"#), "cells say less: {overrides}");
    assert!(overrides.contains(r#"{"id":"custom.width","value":90.0}"#), "{overrides}");
    assert!(overrides.contains(r#"{"id":"decimals","value":1.0}"#), "{overrides}");
}

#[test]
fn a_mistake_names_its_panel() {
    let wrong = Query::new(of(&LOAD).select().max_over_time(Window::Range).sum_by(&["bax"]), "");
    let dashboard = Dashboard::new("boxes", "Boxes", "All.")
        .section(Section::top([Panel::graph("Load", "It.").query(wrong)]));
    let mistake = dashboard.build(Profile::NATIVE).expect_err("misspelt").to_string();
    assert!(
        mistake.starts_with("failed to write Boxes / Load: failed to use the label \"bax\""),
        "{mistake}"
    );
}

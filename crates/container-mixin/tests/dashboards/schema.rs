//! Grafana's own JSON Schemas, strictly: a misspelt key fails.

use std::sync::LazyLock;

use jsonschema::Validator;
use serde_json::{Value, json};

use crate::{every_dashboard, panels};

fn schema(text: &str) -> Value {
    serde_json::from_str(text).expect("a schema")
}

/// The schema of a dashboard with what is known to be wrong in it put right.
static DASHBOARD: LazyLock<Validator> = LazyLock::new(|| {
    let mut schema = schema(include_str!("schemas/dashboard.json"));
    let definitions = &mut schema["definitions"];
    // `any` became "an object" there. A matcher's options are a name, a property's value is whatever the property wants.
    definitions["MatcherConfig"]["properties"]["options"] = json!({});
    definitions["DynamicConfigValue"]["properties"]["value"] = json!({});
    // A field's links are data links, not links to dashboards.
    definitions["FieldConfig"]["properties"]["links"]["items"] = json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["title", "url"],
        "properties": {
            "title": {"type": "string"},
            "url": {"type": "string"},
            "targetBlank": {"type": "boolean"}
        }
    });
    jsonschema::validator_for(&schema).expect("a valid schema")
});

static QUERY: LazyLock<Validator> = LazyLock::new(|| {
    jsonschema::validator_for(&schema(include_str!("schemas/prometheus.json"))).expect("a valid schema")
});

/// A definition of a panel's schema as a schema of its own; `None` where the panel type has none.
fn part(text: &str, definition: &str) -> Option<Validator> {
    let mut schema = schema(text);
    schema["definitions"].get(definition)?;
    schema["$ref"] = json!(format!("#/definitions/{definition}"));
    Some(jsonschema::validator_for(&schema).expect("a valid schema"))
}

/// The schema of each panel type that we use. What is not here, such as `graph` and `singlestat`, Grafana has removed, or nobody
/// has looked at it yet.
fn panel_schema(kind: &str) -> &'static str {
    match kind {
        "timeseries" => include_str!("schemas/timeseries.json"),
        "stat" => include_str!("schemas/stat.json"),
        "table" => include_str!("schemas/table.json"),
        "bargauge" => include_str!("schemas/bargauge.json"),
        "piechart" => include_str!("schemas/piechart.json"),
        "heatmap" => include_str!("schemas/heatmap.json"),
        "state-timeline" => include_str!("schemas/statetimeline.json"),
        "text" => include_str!("schemas/text.json"),
        other => panic!("panels of type {other:?} are not known here"),
    }
}

#[track_caller]
fn check(what: &str, validator: &Validator, value: &Value) {
    let errors: Vec<String> =
        validator.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{what}: {errors:#?}");
}

#[test]
fn dashboards_are_what_grafana_says_they_are() {
    for (name, _, dashboard) in every_dashboard() {
        check(&name, &DASHBOARD, &dashboard);
    }
}

#[test]
fn options_and_queries_are_those_of_the_panel() {
    for (name, _, dashboard) in every_dashboard() {
        for panel in panels(&dashboard) {
            let what = format!("{name} {}", panel["title"]);
            let text = panel_schema(panel["type"].as_str().expect("a type"));
            check(&what, &part(text, "Options").expect("every type has options"), &panel["options"]);
            let custom = &panel["fieldConfig"]["defaults"]["custom"];
            match (part(text, "FieldConfig"), custom) {
                (_, Value::Null) => {}
                (Some(validator), custom) => check(&what, &validator, custom),
                (None, custom) => panic!("{what}: {custom} is not to be configured"),
            }
            for target in panel["targets"].as_array().into_iter().flatten() {
                check(&what, &QUERY, target);
            }
        }
    }
}

#[test]
fn a_misspelt_key_is_found() {
    let (_, _, mut dashboard) = every_dashboard().swap_remove(0);
    assert!(DASHBOARD.is_valid(&dashboard));
    dashboard["panels"][0]["fieldConfig"]["defaults"]["units"] = json!("bytes");
    assert!(!DASHBOARD.is_valid(&dashboard));
}

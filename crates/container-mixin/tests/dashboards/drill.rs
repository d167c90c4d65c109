//! The way from the fleet to a host to a container: what it keeps, and what is marked on it.

use std::collections::{BTreeMap, BTreeSet};

use container_mixin::dashboards::uid;
use serde_json::Value;

use crate::every_dashboard;

/// What a link takes along: where the data come from, and the time that is looked at.
const KEPT: &[&str] = &["${datasource:queryparam}", "${job:queryparam}", "${__url_time_range}"];

/// The addresses of other dashboards in the panels.
fn links(element: &Value, found: &mut BTreeSet<String>) {
    match element {
        Value::Object(fields) => {
            let url = fields.get("url").and_then(Value::as_str).filter(|url| url.starts_with("/d/"));
            found.extend(url.map(str::to_owned));
            fields.values().for_each(|field| links(field, found));
        }
        Value::Array(elements) => elements.iter().for_each(|element| links(element, found)),
        _ => {}
    }
}

fn variables(dashboard: &Value) -> BTreeSet<&str> {
    let list = dashboard["templating"]["list"].as_array().expect("variables");
    list.iter().filter_map(|variable| variable["name"].as_str()).collect()
}

#[test]
fn a_link_keeps_time_and_variables_and_leads_to_what_was_clicked_on() {
    let all = every_dashboard();
    for profile in ["native", "cadvisor"] {
        let of_profile = all.iter().filter(|(name, ..)| name.starts_with(profile));
        let known: BTreeMap<&str, &Value> =
            of_profile.map(|(_, _, json)| (json["uid"].as_str().expect("a uid"), json)).collect();
        let mut ways: BTreeSet<(&str, &str)> = BTreeSet::new();
        for (from, dashboard) in &known {
            let mut found = BTreeSet::new();
            links(&dashboard["panels"], &mut found);
            for url in &found {
                let (to, query) = url["/d/".len()..].split_once('?').unwrap_or((&url["/d/".len()..], ""));
                let to = known.get_key_value(to).unwrap_or_else(|| panic!("{from}: there is no {to}"));
                let parts: BTreeSet<&str> = query.split('&').collect();
                assert!(KEPT.iter().all(|kept| parts.contains(kept)), "{from}: {url}");
                let chosen = parts.iter().filter_map(|part| part.strip_prefix("var-")?.split('=').next());
                let chosen: BTreeSet<&str> = chosen.collect();
                assert!(chosen.contains("instance") && chosen.is_subset(&variables(to.1)), "{from}: {url}");
                ways.insert((from, to.0));
            }
        }
        for way in [(uid::FLEET, uid::HOST), (uid::FLEET, uid::CONTAINER), (uid::HOST, uid::CONTAINER)] {
            assert!(ways.contains(&way), "{profile}: no way of {way:?} in {ways:?}");
        }
    }
}

#[test]
fn the_list_of_dashboards_keeps_time_and_variables() {
    for (name, _, dashboard) in every_dashboard() {
        let links = dashboard["links"].as_array().expect("links");
        let [link] = links.as_slice() else { panic!("{name}: {links:?}") };
        assert_eq!(
            (&link["keepTime"], &link["includeVars"]),
            (&Value::from(true), &Value::from(true)),
            "{name}"
        );
    }
}

#[test]
fn starts_and_kills_are_marked_from_the_fleet_to_the_container() {
    let layers = [uid::FLEET, uid::HOST, uid::CONTAINER];
    let all = every_dashboard();
    let layers: Vec<_> =
        all.iter().filter(|(_, _, json)| layers.iter().any(|uid| json["uid"] == **uid)).collect();
    assert_eq!(layers.len(), 6, "three under two profiles");
    for (name, _, dashboard) in layers {
        let marks = dashboard["annotations"]["list"].as_array().expect("annotations");
        let of_queries = marks.iter().filter(|mark| mark["expr"].is_string());
        let names: Vec<_> = of_queries.filter_map(|mark| mark["name"].as_str()).collect();
        assert_eq!(names, ["Starts", "OOM kills"], "{name}");
    }
}

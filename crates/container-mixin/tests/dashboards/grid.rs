//! What a person meets first: places, ids, and how much a dashboard asks for when it is opened.

use serde_json::Value;

use crate::{every_dashboard, panels};

/// The queries that one open dashboard may send before anybody clicks.
const FIRST_SCREEN_QUERIES: usize = 30;

#[derive(Debug)]
struct Place {
    x: u64,
    y: u64,
    w: u64,
    h: u64,
}

fn place(element: &Value) -> Place {
    let at = |key: &str| element["gridPos"][key].as_u64().unwrap_or_else(|| panic!("no {key}: {element}"));
    Place { x: at("x"), y: at("y"), w: at("w"), h: at("h") }
}

impl Place {
    fn overlaps(&self, other: &Self) -> bool {
        self.x < other.x + other.w
            && other.x < self.x + self.w
            && self.y < other.y + other.h
            && other.y < self.y + self.h
    }
}

fn check_places(name: &str, elements: &[Value]) {
    let places: Vec<Place> = elements.iter().map(place).collect();
    for (index, one) in places.iter().enumerate() {
        assert!(one.w > 0 && one.h > 0 && one.x + one.w <= 24, "{name}: {one:?} leaves the grid");
        for other in &places[..index] {
            assert!(!one.overlaps(other), "{name}: {one:?} is upon {other:?}");
        }
    }
}

#[test]
fn nothing_overlaps() {
    for (name, _, dashboard) in every_dashboard() {
        let elements = dashboard["panels"].as_array().expect("panels");
        check_places(&name, elements);
        for row in elements.iter().filter(|element| element["type"] == "row") {
            let inside = row["panels"].as_array().expect("a row's panels");
            check_places(&name, inside);
            assert!(
                inside.iter().all(|panel| place(panel).y > place(row).y),
                "{name}: a panel above its heading"
            );
            assert_eq!(row["collapsed"], !inside.is_empty(), "{name}: an open row's panels stand beside it");
        }
    }
}

#[test]
fn ids_and_references_are_unique() {
    let mut uids = Vec::new();
    for (name, _, dashboard) in every_dashboard() {
        let mut ids: Vec<u64> =
            panels(&dashboard).iter().map(|panel| panel["id"].as_u64().expect("an id")).collect();
        let all = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), all, "{name}");
        for panel in panels(&dashboard) {
            let targets = panel["targets"].as_array().into_iter().flatten();
            let mut references: Vec<&str> =
                targets.map(|target| target["refId"].as_str().expect("one")).collect();
            let all = references.len();
            references.sort_unstable();
            references.dedup();
            assert_eq!(references.len(), all, "{name} {}", panel["title"]);
        }
        let uid = dashboard["uid"].as_str().expect("a uid").to_owned();
        assert!(uid.len() <= 40, "{uid}");
        if name.starts_with("native") {
            uids.push(uid);
        }
    }
    let all = uids.len();
    uids.sort();
    uids.dedup();
    assert_eq!(uids.len(), all, "{uids:?}");
}

#[test]
fn a_dashboard_opens_with_few_queries() {
    for (name, built, _) in every_dashboard() {
        let first = built.queries.iter().filter(|query| query.first_screen).count();
        assert!(first <= FIRST_SCREEN_QUERIES, "{name} opens with {first} queries");
        assert!(first > 0, "{name} opens empty");
    }
}

//! Tables: one frame for each query becomes one table with a column for each.

use std::collections::BTreeMap;

use super::build::{Answered, links, reference, thresholds, value_map};
use super::json::{self, Property, PropertyValue};
use super::panel::{Column, Panel};
use crate::error::Error;

/// What a panel's frames go through, and how its columns look.
type Table = (Vec<json::Transformation>, Vec<json::Override>);

/// A table: its frames are merged, its columns named and ordered, its rows sorted and cut.
pub(super) fn table(panel: &Panel, answered: &[Answered<'_>]) -> Result<Table, Error> {
    let mut exclude = BTreeMap::from([("Time".to_owned(), true), ("__name__".to_owned(), true)]);
    let mut index = BTreeMap::new();
    let mut rename = BTreeMap::new();
    let mut overrides = Vec::new();
    let Some(first) = answered.first() else { return Ok((Vec::new(), overrides)) };
    for (position, (label, title)) in panel.label_columns.iter().enumerate() {
        let here = first.rendered.label(label)?;
        index.insert(here.to_owned(), position);
        rename.insert(here.to_owned(), (*title).to_owned());
    }
    for label in first.rendered.labels.iter().flatten() {
        if panel.label_columns.iter().all(|(shown, _)| shown != label) {
            exclude.insert(first.rendered.label(label)?.to_owned(), true);
        }
    }
    if let (Some((_, title)), false) = (panel.label_columns.first(), panel.links.is_empty()) {
        overrides
            .push(column(title, vec![Property { id: "links", value: PropertyValue::Links(links(panel)) }]));
    }
    for (title, width) in &panel.widths {
        overrides.push(column(
            title,
            vec![Property { id: "custom.width", value: PropertyValue::Number(f64::from(*width)) }],
        ));
    }
    for (position, Answered { query, .. }) in answered.iter().enumerate() {
        // Grafana names the values of a lone query without its reference.
        let field =
            if answered.len() == 1 { "Value".to_owned() } else { format!("Value #{}", reference(position)) };
        let Some(shown) = &query.column else {
            exclude.insert(field, true);
            continue;
        };
        index.insert(field.clone(), panel.label_columns.len() + position);
        rename.insert(field, shown.title.to_owned());
        let mut properties = column_properties(shown);
        // What the panel says where it is empty would be said in its cells, too.
        if panel.nothing.is_some() {
            properties.push(Property { id: "noValue", value: PropertyValue::Text("–") });
        }
        overrides.push(column(shown.title, properties));
    }
    let organize = json::TransformationOptions::Organize {
        exclude_by_name: exclude,
        index_by_name: index,
        rename_by_name: rename,
    };
    let mut transformations = vec![
        json::Transformation { id: "merge", options: json::TransformationOptions::Nothing {} },
        json::Transformation { id: "organize", options: organize },
    ];
    if let Some((field, rows)) = panel.top {
        let sort = json::TransformationOptions::Sort { sort: [json::SortField { desc: true, field }] };
        transformations.push(json::Transformation { id: "sortBy", options: sort });
        let limit = json::TransformationOptions::Limit { limit_field: rows };
        transformations.push(json::Transformation { id: "limit", options: limit });
    }
    Ok((transformations, overrides))
}

fn column(title: &str, properties: Vec<Property>) -> json::Override {
    json::Override { matcher: json::FieldMatcher { id: "byName", options: title.to_owned() }, properties }
}

fn column_properties(column: &Column) -> Vec<Property> {
    let mut properties = vec![Property { id: "unit", value: PropertyValue::Text(column.shown.grafana()) }];
    if let Some(decimals) = column.shown.decimals(true) {
        properties.push(Property { id: "decimals", value: PropertyValue::Number(f64::from(decimals)) });
    }
    if !column.steps.is_empty() {
        properties
            .push(Property { id: "thresholds", value: PropertyValue::Thresholds(thresholds(&column.steps)) });
    }
    if let Some(full) = column.bar {
        properties.push(Property { id: "min", value: PropertyValue::Number(0.0) });
        properties.push(Property { id: "max", value: PropertyValue::Number(full) });
    }
    if !column.mappings.is_empty() {
        let value = PropertyValue::Mappings([value_map(column.mappings)]);
        properties.push(Property { id: "mappings", value });
    }
    let plain = column.steps.is_empty() && column.mappings.is_empty();
    let cell = match (column.bar, plain) {
        (Some(_), _) => Some(json::Cell { mode: Some("basic"), kind: "gauge" }),
        (None, false) => Some(json::Cell { mode: None, kind: "color-text" }),
        (None, true) => None,
    };
    if let Some(cell) = cell {
        properties.push(Property { id: "custom.cellOptions", value: PropertyValue::Cell(cell) });
    }
    properties
}

//! The JSON of Grafana's classic dashboard model, as far as it is written here.
//!
//! Everything is a struct: the order of keys is that of the fields, whatever features serde_json is built with.

use serde::Serialize;

use super::options::{Custom, Options};

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Dashboard {
    pub(crate) annotations: List<Annotation>,
    pub(crate) description: &'static str,
    pub(crate) editable: bool,
    pub(crate) graph_tooltip: u8,
    pub(crate) id: Option<u64>,
    pub(crate) links: Vec<Link>,
    pub(crate) panels: Vec<Element>,
    pub(crate) refresh: &'static str,
    pub(crate) schema_version: u16,
    pub(crate) tags: Vec<&'static str>,
    pub(crate) templating: List<Variable>,
    pub(crate) time: Time,
    pub(crate) timezone: &'static str,
    pub(crate) title: &'static str,
    pub(crate) uid: &'static str,
}

#[derive(Debug, Serialize)]
pub(crate) struct List<T> {
    pub(crate) list: Vec<T>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Time {
    pub(crate) from: &'static str,
    pub(crate) to: &'static str,
}

#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Datasource {
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    pub(crate) uid: &'static str,
}

impl Datasource {
    pub(crate) const CHOSEN: Self = Self { kind: "prometheus", uid: "${datasource}" };
    const GRAFANA: Self = Self { kind: "datasource", uid: "-- Grafana --" };
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Annotation {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) built_in: Option<u8>,
    pub(crate) datasource: Datasource,
    pub(crate) enable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) expr: Option<String>,
    pub(crate) hide: bool,
    pub(crate) icon_color: &'static str,
    pub(crate) name: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) text_format: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) title_format: Option<&'static str>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub(crate) kind: Option<&'static str>,
}

impl Annotation {
    /// The marks that users of Grafana make by hand.
    pub(crate) const BUILT_IN: Self = Self {
        built_in: Some(1),
        datasource: Datasource::GRAFANA,
        enable: true,
        expr: None,
        hide: true,
        icon_color: "rgba(0, 211, 255, 1)",
        name: "Annotations & Alerts",
        text_format: None,
        title_format: None,
        kind: Some("dashboard"),
    };
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Link {
    pub(crate) as_dropdown: bool,
    pub(crate) icon: &'static str,
    pub(crate) include_vars: bool,
    pub(crate) keep_time: bool,
    pub(crate) tags: Vec<&'static str>,
    pub(crate) target_blank: bool,
    pub(crate) title: &'static str,
    pub(crate) tooltip: &'static str,
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Variable {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) all_value: Option<&'static str>,
    pub(crate) current: Choice,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) datasource: Option<Datasource>,
    pub(crate) hide: u8,
    pub(crate) include_all: bool,
    pub(crate) label: &'static str,
    pub(crate) multi: bool,
    pub(crate) name: &'static str,
    pub(crate) query: String,
    pub(crate) refresh: u8,
    pub(crate) regex: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sort: Option<u8>,
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
}

#[derive(Debug, Serialize)]
pub(crate) struct Choice {
    pub(crate) selected: bool,
    pub(crate) text: &'static str,
    pub(crate) value: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Element {
    Panel(Box<Panel>),
    Row(Row),
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Row {
    pub(crate) collapsed: bool,
    pub(crate) grid_pos: GridPos,
    pub(crate) id: u32,
    pub(crate) panels: Vec<Panel>,
    pub(crate) title: String,
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
}

#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct GridPos {
    pub(crate) h: u32,
    pub(crate) w: u32,
    pub(crate) x: u32,
    pub(crate) y: u32,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Panel {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) datasource: Option<Datasource>,
    pub(crate) description: String,
    pub(crate) field_config: FieldConfig,
    pub(crate) grid_pos: GridPos,
    pub(crate) id: u32,
    pub(crate) options: Options,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) targets: Vec<Target>,
    pub(crate) title: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) transformations: Vec<Transformation>,
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Target {
    pub(crate) datasource: Datasource,
    pub(crate) editor_mode: &'static str,
    pub(crate) expr: String,
    pub(crate) format: &'static str,
    pub(crate) instant: bool,
    pub(crate) legend_format: String,
    pub(crate) range: bool,
    pub(crate) ref_id: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct FieldConfig {
    pub(crate) defaults: Defaults,
    pub(crate) overrides: Vec<Override>,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Defaults {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) color: Option<ColorMode>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) custom: Option<Custom>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) decimals: Option<u8>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) links: Vec<FieldLink>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) mappings: Vec<ValueMap>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) min: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) no_value: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) thresholds: Option<Thresholds>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) unit: Option<&'static str>,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ColorMode {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fixed_color: Option<&'static str>,
    pub(crate) mode: &'static str,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FieldLink {
    pub(crate) target_blank: bool,
    pub(crate) title: String,
    pub(crate) url: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct ValueMap {
    pub(crate) options: std::collections::BTreeMap<&'static str, MappedValue>,
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
}

#[derive(Debug, Serialize)]
pub(crate) struct MappedValue {
    pub(crate) color: &'static str,
    pub(crate) index: usize,
    pub(crate) text: &'static str,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct Thresholds {
    pub(crate) mode: &'static str,
    pub(crate) steps: Vec<Step>,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct Step {
    pub(crate) color: &'static str,
    pub(crate) value: Option<f64>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Override {
    pub(crate) matcher: FieldMatcher,
    pub(crate) properties: Vec<Property>,
}

#[derive(Debug, Serialize)]
pub(crate) struct FieldMatcher {
    pub(crate) id: &'static str,
    pub(crate) options: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct Property {
    pub(crate) id: &'static str,
    pub(crate) value: PropertyValue,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum PropertyValue {
    Text(&'static str),
    Number(f64),
    Color(ColorMode),
    Line(LineStyle),
    Thresholds(Thresholds),
    Cell(Cell),
    Stacking(super::options::Stacking),
    Links(Vec<FieldLink>),
    Mappings([ValueMap; 1]),
}

#[derive(Debug, Serialize)]
pub(crate) struct LineStyle {
    pub(crate) dash: [u8; 2],
    pub(crate) fill: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Cell {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) mode: Option<&'static str>,
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
}

#[derive(Debug, Serialize)]
pub(crate) struct Transformation {
    pub(crate) id: &'static str,
    pub(crate) options: TransformationOptions,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum TransformationOptions {
    Nothing {},
    #[serde(rename_all = "camelCase")]
    Organize {
        exclude_by_name: std::collections::BTreeMap<String, bool>,
        index_by_name: std::collections::BTreeMap<String, usize>,
        rename_by_name: std::collections::BTreeMap<String, String>,
    },
    Sort {
        sort: [SortField; 1],
    },
    #[serde(rename_all = "camelCase")]
    Limit {
        limit_field: u16,
    },
}

#[derive(Debug, Serialize)]
pub(crate) struct SortField {
    pub(crate) desc: bool,
    pub(crate) field: &'static str,
}

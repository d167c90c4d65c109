//! From a dashboard's description to its JSON.

use std::collections::BTreeSet;

use super::json::{self, Datasource, Property, PropertyValue};
use super::layout::{COLUMNS, Flow};
use super::options::{Custom, Options, Stacking};
use super::panel::{Kind, Panel, Query, Style};
use super::table::table;
use super::unit::Color;
use super::{Built, BuiltQuery, Dashboard, Mistake, Variable};
use crate::error::Error;
use crate::expr::Expr;
use crate::profile::{Match, Profile, Scope};
use crate::render::Rendered;

/// Of Grafana 11.6, which later ones migrate by themselves.
const SCHEMA_VERSION: u16 = 41;

impl Dashboard {
    /// Writes the dashboard under a profile. Every selector carries the variables whose label its metric has.
    ///
    /// # Errors
    ///
    /// The first mistake, with its place. What the profile cannot answer is no mistake but left out.
    pub fn build(&self, profile: Profile) -> Result<Built, Mistake> {
        let mut builder = Builder::new(self, profile);
        let panels = builder.elements(&self.sections)?;
        let annotations = builder.annotations()?;
        let variables = builder.variables()?;
        let links = self.siblings.map(|(title, tag)| json::Link {
            as_dropdown: true,
            icon: "external link",
            include_vars: true,
            keep_time: true,
            tags: vec![tag],
            target_blank: false,
            title,
            tooltip: "",
            kind: "dashboards",
        });
        let dashboard = json::Dashboard {
            annotations: json::List { list: annotations },
            description: self.description,
            editable: false,
            // One crosshair for all graphs: what happened together is seen together.
            graph_tooltip: 1,
            id: None,
            links: links.into_iter().collect(),
            panels,
            refresh: self.refresh,
            schema_version: SCHEMA_VERSION,
            tags: self.tags.clone(),
            templating: json::List { list: variables },
            time: json::Time { from: self.from, to: "now" },
            timezone: "browser",
            title: self.title,
            uid: self.uid,
        };
        Ok(builder.finish(&dashboard))
    }
}

/// A query that the profile can answer.
pub(super) struct Answered<'a> {
    pub(super) query: &'a Query,
    pub(super) rendered: Rendered,
    legend: String,
}

struct Builder<'a> {
    dashboard: &'a Dashboard,
    scope: Scope,
    /// The id of the last element.
    id: u32,
    panels: usize,
    queries: Vec<BuiltQuery>,
    metrics: BTreeSet<String>,
    left_out: Vec<(String, Error)>,
}

impl<'a> Builder<'a> {
    fn new(dashboard: &'a Dashboard, profile: Profile) -> Self {
        Self {
            dashboard,
            scope: scope(profile, &dashboard.variables),
            id: 0,
            panels: 0,
            queries: Vec::new(),
            metrics: BTreeSet::new(),
            left_out: Vec::new(),
        }
    }

    fn finish(self, dashboard: &json::Dashboard) -> Built {
        // Strings, numbers and structs of them: nothing that could not be written.
        let json = serde_json::to_string_pretty(dashboard).unwrap_or_default() + "\n";
        let Self { panels, queries, metrics, left_out, .. } = self;
        Built { json, panels, queries, metrics, left_out }
    }

    fn next_id(&mut self) -> u32 {
        self.id += 1;
        self.id
    }

    /// Notes what the profile lacks; a mistake goes on.
    fn refused(&mut self, place: String, error: Error) -> Result<(), Mistake> {
        if !error.is_unanswerable() {
            return Err(Mistake { place: format!("{} / {place}", self.dashboard.title), source: error });
        }
        self.left_out.push((format!("{} / {place}", self.dashboard.title), error));
        Ok(())
    }

    fn elements(&mut self, sections: &'a [super::Section]) -> Result<Vec<json::Element>, Mistake> {
        let mut elements = Vec::new();
        let mut y = 0;
        for section in sections {
            let row = section.title.as_ref().map(|title| (title, self.next_id()));
            let mut flow = Flow::at(y + u32::from(row.is_some()));
            let mut panels = Vec::new();
            for panel in &section.panels {
                if let Some(built) = self.panel(panel, &mut flow, !section.collapsed)? {
                    panels.push(built);
                }
            }
            // A heading over nothing would promise what the profile does not have.
            if panels.is_empty() {
                continue;
            }
            let row = row.map(|(title, id)| json::Row {
                collapsed: section.collapsed,
                grid_pos: json::GridPos { h: 1, w: COLUMNS, x: 0, y },
                id,
                panels: Vec::new(),
                title: title.clone(),
                kind: "row",
            });
            y = if section.collapsed { y + 1 } else { flow.end() };
            match row {
                Some(row) if section.collapsed => {
                    elements.push(json::Element::Row(json::Row { panels, ..row }))
                }
                row => {
                    elements.extend(row.map(json::Element::Row));
                    elements.extend(panels.into_iter().map(|panel| json::Element::Panel(Box::new(panel))));
                }
            }
        }
        Ok(elements)
    }

    /// The queries of a panel that the profile can answer.
    fn answered(&mut self, panel: &'a Panel) -> Result<Vec<Answered<'a>>, Mistake> {
        let mut answered = Vec::new();
        for query in &panel.queries {
            let rendered = query.expr.render(&self.scope);
            match rendered.and_then(|rendered| Ok((rendered.legend(&query.legend)?, rendered))) {
                Ok((legend, rendered)) => answered.push(Answered { query, rendered, legend }),
                Err(error) => self.refused(panel.title.clone(), error)?,
            }
        }
        Ok(answered)
    }

    fn panel(
        &mut self,
        panel: &'a Panel,
        flow: &mut Flow,
        first_screen: bool,
    ) -> Result<Option<json::Panel>, Mistake> {
        let answered = self.answered(panel)?;
        if answered.is_empty() && panel.kind != Kind::Text {
            return Ok(None);
        }
        let mut targets = Vec::with_capacity(answered.len());
        for (index, Answered { rendered, legend, .. }) in answered.iter().enumerate() {
            self.metrics.extend(rendered.metrics.iter().cloned());
            self.queries.push(BuiltQuery {
                panel: panel.title.clone(),
                text: rendered.text.clone(),
                first_screen,
                instant: is_instant(panel.kind),
                metrics: rendered.metrics.clone(),
            });
            targets.push(target(panel.kind, index, rendered, legend));
        }
        let mut transformations = Vec::new();
        let mut overrides: Vec<json::Override> = answered.iter().enumerate().filter_map(styled).collect();
        overrides.extend(panel.colors.iter().map(colored));
        if panel.kind == Kind::Table {
            match table(panel, &answered) {
                Ok((made, columns)) => {
                    transformations = made;
                    overrides.extend(columns);
                }
                Err(error) => {
                    self.refused(panel.title.clone(), error)?;
                    return Ok(None);
                }
            }
        }
        self.panels += 1;
        let id = self.next_id();
        Ok(Some(json::Panel {
            datasource: (panel.kind != Kind::Text).then_some(Datasource::CHOSEN),
            description: panel.description.clone(),
            field_config: json::FieldConfig { defaults: defaults(panel), overrides },
            grid_pos: flow.place(panel.size),
            id,
            options: options(panel),
            targets,
            title: panel.title.clone(),
            transformations,
            kind: kind_name(panel.kind),
        }))
    }

    fn annotations(&mut self) -> Result<Vec<json::Annotation>, Mistake> {
        let mut list = vec![json::Annotation::BUILT_IN];
        for annotation in &self.dashboard.annotations {
            let rendered = annotation.expr.render(&self.scope);
            match rendered.and_then(|rendered| Ok((rendered.legend(annotation.text)?, rendered))) {
                Ok((text, rendered)) => {
                    self.queries.push(BuiltQuery {
                        panel: format!("annotation {}", annotation.name),
                        text: rendered.text.clone(),
                        first_screen: true,
                        instant: false,
                        metrics: rendered.metrics.clone(),
                    });
                    self.metrics.extend(rendered.metrics);
                    list.push(json::Annotation {
                        built_in: None,
                        datasource: Datasource::CHOSEN,
                        enable: true,
                        expr: Some(rendered.text),
                        hide: false,
                        icon_color: annotation.color.name(),
                        name: annotation.name,
                        text_format: Some(text),
                        title_format: Some(annotation.name),
                        kind: None,
                    });
                }
                Err(error) => self.refused(format!("annotation {}", annotation.name), error)?,
            }
        }
        Ok(list)
    }

    fn variables(&mut self) -> Result<Vec<json::Variable>, Mistake> {
        let mut list = vec![datasource()];
        for (index, variable) in self.dashboard.variables.iter().enumerate() {
            let before = scope(self.scope.profile, &self.dashboard.variables[..index]);
            let asked = Expr::from(variable.metric);
            let rendered = asked.render(&before);
            match rendered.and_then(|rendered| Ok((rendered.label(variable.label)?, rendered))) {
                Ok((label, rendered)) => list.push(json::Variable {
                    all_value: Some(".+"),
                    current: json::Choice { selected: true, text: "All", value: "$__all" },
                    datasource: Some(Datasource::CHOSEN),
                    hide: 0,
                    include_all: true,
                    label: variable.title,
                    multi: true,
                    name: variable.name,
                    query: format!("label_values({}, {label})", rendered.text),
                    // On every change of the time range: containers come and go.
                    refresh: 2,
                    regex: "",
                    sort: Some(1),
                    kind: "query",
                }),
                Err(error) => self.refused(format!("variable {}", variable.name), error)?,
            }
        }
        Ok(list)
    }
}

fn scope(profile: Profile, variables: &[Variable]) -> Scope {
    variables.iter().fold(Scope::default().under(profile), |scope, variable| {
        scope.matching(variable.label, Match::Regex, format!("${}", variable.name))
    })
}

fn datasource() -> json::Variable {
    json::Variable {
        all_value: None,
        current: json::Choice { selected: false, text: "default", value: "default" },
        datasource: None,
        hide: 0,
        include_all: false,
        label: "Data source",
        multi: false,
        name: "datasource",
        query: "prometheus".to_owned(),
        refresh: 1,
        regex: "",
        sort: None,
        kind: "datasource",
    }
}

const fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::TimeSeries { .. } => "timeseries",
        Kind::Stat => "stat",
        Kind::Table => "table",
        Kind::BarGauge => "bargauge",
        Kind::Pie => "piechart",
        Kind::Heatmap => "heatmap",
        Kind::StateTimeline => "state-timeline",
        Kind::Text => "text",
    }
}

/// A, B, … Z, then Q26, Q27, ….
pub(super) fn reference(index: usize) -> String {
    match u8::try_from(index) {
        Ok(index) if index < 26 => char::from(b'A' + index).to_string(),
        _ => format!("Q{index}"),
    }
}

/// What shows one number asks for one number.
const fn is_instant(kind: Kind) -> bool {
    matches!(kind, Kind::Stat | Kind::Table | Kind::BarGauge | Kind::Pie)
}

fn target(kind: Kind, index: usize, rendered: &Rendered, legend: &str) -> json::Target {
    let instant = is_instant(kind);
    json::Target {
        datasource: Datasource::CHOSEN,
        editor_mode: "code",
        expr: rendered.text.clone(),
        format: match kind {
            Kind::Table => "table",
            Kind::Heatmap => "heatmap",
            _ => "time_series",
        },
        instant,
        legend_format: legend.to_owned(),
        range: !instant,
        ref_id: reference(index),
    }
}

fn options(panel: &Panel) -> Options {
    match panel.kind {
        Kind::TimeSeries { .. } => Options::time_series(panel.size.0),
        Kind::Stat => Options::stat(false),
        // Merged rows come in no order that a person could follow; those of a top list are sorted already.
        Kind::Table => Options::table(match (panel.top, panel.label_columns.first()) {
            (None, Some((_, title))) => Some((*title).to_owned()),
            _ => None,
        }),
        Kind::BarGauge => Options::BAR_GAUGE,
        Kind::Pie => Options::PIE,
        Kind::Heatmap => Options::heatmap(panel.shown.grafana()),
        Kind::StateTimeline => Options::STATE_TIMELINE,
        Kind::Text => Options::Text { content: panel.content.clone(), mode: "markdown" },
    }
}

fn defaults(panel: &Panel) -> json::Defaults {
    if panel.kind == Kind::Text {
        return json::Defaults::default();
    }
    let mode = match panel.kind {
        Kind::TimeSeries { .. } | Kind::Pie => "palette-classic",
        _ => "thresholds",
    };
    let mappings = (!panel.mappings.is_empty()).then(|| value_map(&panel.mappings));
    // A table's links belong to its first column.
    let links = if panel.kind == Kind::Table { Vec::new() } else { links(panel) };
    json::Defaults {
        color: (panel.kind != Kind::Heatmap).then_some(json::ColorMode { fixed_color: None, mode }),
        custom: match panel.kind {
            Kind::TimeSeries { stacked } => {
                Some(Custom::graph(stacked, !panel.steps.is_empty(), panel.soft_max()))
            }
            Kind::Table => Some(Custom::TABLE),
            Kind::StateTimeline => Some(Custom::TIMELINE),
            _ => None,
        },
        decimals: panel.shown.decimals(panel.kind == Kind::Stat),
        links,
        mappings: mappings.into_iter().collect(),
        max: panel.range.1,
        min: panel.range.0,
        // What a number never had is no fault of the query.
        no_value: panel.nothing.or((panel.kind == Kind::Stat).then_some("n/a")),
        thresholds: (panel.kind != Kind::Heatmap).then(|| thresholds(&panel.steps)),
        unit: Some(panel.shown.grafana()),
    }
}

pub(super) fn value_map(mappings: &[super::Mapping]) -> json::ValueMap {
    let shown = |(index, mapping): (usize, &super::Mapping)| {
        (mapping.value, json::MappedValue { color: mapping.color.name(), index, text: mapping.text })
    };
    json::ValueMap { options: mappings.iter().enumerate().map(shown).collect(), kind: "value" }
}

pub(super) fn thresholds(steps: &[(f64, Color)]) -> json::Thresholds {
    let base = json::Step { color: Color::Green.name(), value: None };
    let above = steps.iter().map(|(value, color)| json::Step { color: color.name(), value: Some(*value) });
    json::Thresholds { mode: "absolute", steps: std::iter::once(base).chain(above).collect() }
}

pub(super) fn links(panel: &Panel) -> Vec<json::FieldLink> {
    let link = |link: &super::DataLink| json::FieldLink {
        target_blank: false,
        title: link.title.clone(),
        url: link.url.clone(),
    };
    panel.links.iter().map(link).collect()
}

/// How a query that is a limit or goes downwards differs.
fn styled((index, answered): (usize, &Answered<'_>)) -> Option<json::Override> {
    let property = |id, value| Property { id, value };
    let properties = match answered.query.style {
        Style::Plain => return None,
        Style::Limit => vec![
            fixed(Color::Red),
            property("custom.fillOpacity", PropertyValue::Number(0.0)),
            property(
                "custom.lineStyle",
                PropertyValue::Line(json::LineStyle { dash: [10, 10], fill: "dash" }),
            ),
            property("custom.stacking", PropertyValue::Stacking(Stacking::NONE)),
        ],
        Style::Negative => vec![property("custom.transform", PropertyValue::Text("negative-Y"))],
    };
    let matcher = json::FieldMatcher { id: "byFrameRefID", options: reference(index) };
    Some(json::Override { matcher, properties })
}

/// The colour of the line of this name.
fn colored((name, color): &(&'static str, Color)) -> json::Override {
    let matcher = json::FieldMatcher { id: "byName", options: (*name).to_owned() };
    json::Override { matcher, properties: vec![fixed(*color)] }
}

const fn fixed(color: Color) -> Property {
    let mode = json::ColorMode { fixed_color: Some(color.name()), mode: "fixed" };
    Property { id: "color", value: PropertyValue::Color(mode) }
}

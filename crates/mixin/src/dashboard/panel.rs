//! What a panel shows, before it is written for a scope.

use metric_schema::{Attribute, Instrument, MetricDef, Unit, Values};

use super::unit::{Color, Shown};
use crate::expr::{Expr, Window};
use crate::metric::{Metric, TARGET_LABELS};

/// How the answers are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    TimeSeries { stacked: bool },
    Stat,
    Table,
    BarGauge,
    Pie,
    Heatmap,
    StateTimeline,
    Text,
}

/// How one query's series differ from the others of the panel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    Plain,
    /// A dashed line that the others should not reach.
    Limit,
    /// Drawn downwards.
    Negative,
}

/// One query of a panel.
#[derive(Debug, Clone)]
#[must_use]
pub struct Query {
    pub(crate) expr: Expr,
    pub(crate) legend: String,
    pub(crate) style: Style,
    /// Of a table: the title of the column and how it is shown.
    pub(crate) column: Option<Column>,
}

/// A column of a table that shows a query's values.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    pub(crate) title: &'static str,
    pub(crate) shown: Shown,
    pub(crate) steps: Vec<(f64, Color)>,
    pub(crate) bar: Option<f64>,
    pub(crate) mappings: &'static [Mapping],
}

impl Query {
    /// A query whose series are named by this template: `{label}` is a label's value.
    pub fn new(expr: Expr, legend: impl Into<String>) -> Self {
        Self { expr, legend: legend.into(), style: Style::Plain, column: None }
    }

    /// A query that fills a column of a table.
    pub fn column(expr: Expr, title: &'static str, shown: Shown) -> Self {
        let column = Column { title, shown, steps: Vec::new(), bar: None, mappings: &[] };
        Self { column: Some(column), ..Self::new(expr, "") }
    }

    /// Colours the column's cells from these values on.
    pub fn steps(mut self, steps: &[(f64, Color)]) -> Self {
        if let Some(column) = &mut self.column {
            column.steps = steps.to_vec();
        }
        self
    }

    /// Draws the column's cells as bars up to this value.
    pub fn bar(mut self, full: f64) -> Self {
        if let Some(column) = &mut self.column {
            column.bar = Some(full);
        }
        self
    }

    /// Names the column's values.
    pub const fn mappings(mut self, mappings: &'static [Mapping]) -> Self {
        if let Some(column) = &mut self.column {
            column.mappings = mappings;
        }
        self
    }

    /// Draws it as a limit: dashed, unfilled.
    pub const fn limit(mut self) -> Self {
        self.style = Style::Limit;
        self
    }

    /// Draws it downwards: what is sent, below what is received.
    pub const fn negative(mut self) -> Self {
        self.style = Style::Negative;
        self
    }
}

/// A link from a value to somewhere else; `url` may have Grafana's variables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataLink {
    /// What the menu shows.
    pub title: String,
    /// Where to.
    pub url: String,
}

/// What a value is called and coloured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    /// The value.
    pub value: &'static str,
    /// What is shown instead.
    pub text: &'static str,
    /// In which colour.
    pub color: Color,
}

/// A panel.
#[derive(Debug, Clone)]
#[must_use]
pub struct Panel {
    pub(crate) title: String,
    pub(crate) description: String,
    pub(crate) kind: Kind,
    pub(crate) queries: Vec<Query>,
    pub(crate) shown: Shown,
    pub(crate) range: (Option<f64>, Option<f64>),
    pub(crate) steps: Vec<(f64, Color)>,
    pub(crate) mappings: Vec<Mapping>,
    /// Of lines: the colours of those that are named so.
    pub(crate) colors: &'static [(&'static str, Color)],
    pub(crate) links: Vec<DataLink>,
    pub(crate) size: (u8, u8),
    /// Of a table: label and title of each column that is a label.
    pub(crate) label_columns: Vec<(&'static str, &'static str)>,
    /// Of a table: pixels of columns that need less than the others.
    pub(crate) widths: Vec<(&'static str, u16)>,
    /// Of a table: how many rows, sorted by which column.
    pub(crate) top: Option<(&'static str, u16)>,
    pub(crate) content: String,
    pub(crate) nothing: Option<&'static str>,
}

impl Panel {
    fn new(kind: Kind, title: impl Into<String>, description: impl Into<String>, size: (u8, u8)) -> Self {
        Self {
            title: title.into(),
            description: description.into(),
            kind,
            queries: Vec::new(),
            shown: Shown::Short,
            range: (None, None),
            steps: Vec::new(),
            mappings: Vec::new(),
            colors: &[],
            links: Vec::new(),
            size,
            label_columns: Vec::new(),
            widths: Vec::new(),
            top: None,
            content: String::new(),
            nothing: None,
        }
    }

    /// Lines over time.
    pub fn graph(title: impl Into<String>, description: impl Into<String>) -> Self {
        Self::new(Kind::TimeSeries { stacked: false }, title, description, (12, 8))
    }

    /// Areas over time, one upon the other: parts of a whole.
    pub fn stack(title: impl Into<String>, description: impl Into<String>) -> Self {
        Self::new(Kind::TimeSeries { stacked: true }, title, description, (12, 8))
    }

    /// One great number, or one for each series.
    pub fn stat(title: impl Into<String>, description: impl Into<String>) -> Self {
        Self::new(Kind::Stat, title, description, (3, 4))
    }

    /// A table: labels and the values of the queries as columns.
    pub fn table(
        title: impl Into<String>,
        description: impl Into<String>,
        labels: &[(&'static str, &'static str)],
    ) -> Self {
        let mut panel = Self::new(Kind::Table, title, description, (24, 9));
        panel.label_columns = labels.to_vec();
        panel
    }

    /// One bar for each series.
    pub fn bars(title: impl Into<String>, description: impl Into<String>) -> Self {
        Self::new(Kind::BarGauge, title, description, (6, 8))
    }

    /// Parts of a whole, now.
    pub fn pie(title: impl Into<String>, description: impl Into<String>) -> Self {
        Self::new(Kind::Pie, title, description, (12, 8))
    }

    /// The buckets of a histogram over time.
    pub fn heatmap(title: impl Into<String>, description: impl Into<String>) -> Self {
        Self::new(Kind::Heatmap, title, description, (12, 8))
    }

    /// Which state each series was in.
    pub fn states(title: impl Into<String>, description: impl Into<String>) -> Self {
        Self::new(Kind::StateTimeline, title, description, (24, 6))
    }

    /// Markdown.
    pub fn text(title: impl Into<String>, content: impl Into<String>) -> Self {
        let title: String = title.into();
        let mut panel = Self::new(Kind::Text, title.clone(), title, (24, 4));
        panel.content = content.into();
        panel
    }

    /// The panel that a row implies: a counter as its rate, a histogram as three quantiles, a point in time as a date, an info metric as
    /// a table of its labels, anything else as it is, for each value of its attributes. `by` are the labels that tell entities apart.
    pub fn of_metric(metric: Metric, by: &[&'static str]) -> Self {
        Self::of_metrics(metric, &[], by)
    }

    /// The panel that rows imply which have one name and differ in the values of their fixed labels, such as a state.
    pub fn of_metrics(metric: Metric, others: &[Metric], by: &[&'static str]) -> Self {
        let def = metric.def();
        let title = match others {
            [] => format!("{}{}", metric.name(), fixed_values(def)),
            _ => metric.name(),
        };
        if metric.name().ends_with("_info") {
            let own = def.attributes.iter().map(|attribute| attribute.name);
            let labels = by.iter().copied().chain(own).chain(metric.extra.iter().copied());
            let columns: Vec<_> = labels.map(|label| (label, label)).collect();
            return Self::table(title, def.help, &columns).query(Query::new(metric.now(), "")).size(24, 4);
        }
        let is_moment = def.unit == Unit::UnixSeconds && def.instrument != Instrument::Counter;
        let own = attributes(def);
        if is_moment && !own.is_empty() || def.instrument != Instrument::Counter && own.len() > IN_A_LEGEND {
            return Self::things(title, metric, &own, by);
        }
        let panel = if is_moment { Self::stat(title, def.help) } else { Self::graph(title, def.help) };
        // Many names, and long ones, have room beside a graph only.
        let is_wide = others.len() >= 3 || own.len() == IN_A_LEGEND;
        let panel = panel.shown(Shown::of(def)).size(if is_wide { 12 } else { 8 }, 7);
        let all = std::iter::once(&metric).chain(others);
        all.flat_map(|metric| implied(*metric, !others.is_empty(), by)).fold(panel, Self::query)
    }

    /// A table of what there may be many of, with long names, the greatest or newest first.
    fn things(title: String, metric: Metric, own: &[&'static str], by: &[&'static str]) -> Self {
        let def = metric.def();
        let columns: Vec<_> = own.iter().chain(by).map(|label| (*label, *label)).collect();
        let now = metric.now().max_by(&[by, own].concat());
        let shown = Shown::of(def);
        let (value, column) = match shown {
            Shown::DateTime => (now.times(1000.0), "Time"),
            _ => (now, "Value"),
        };
        let query = Query::column(value, column, shown);
        Self::table(title, def.help, &columns).query(query).top(column, 50).size(24, 7)
    }

    /// Where the axis of a share ends at least: of nothing but zeros Grafana would make it a hundred times the whole.
    pub(crate) fn soft_max(&self) -> Option<f64> {
        (self.shown == Shown::Ratio && self.range.1.is_none()).then_some(0.1)
    }

    /// Adds a query.
    pub fn query(mut self, query: Query) -> Self {
        self.queries.push(query);
        self
    }

    /// Changes its queries, such as to those of some targets only.
    pub fn map(mut self, change: impl Fn(Expr) -> Expr) -> Self {
        for query in &mut self.queries {
            query.expr = change(query.expr.clone());
        }
        self
    }

    /// What the panel says where its queries yield nothing: that may be good news.
    pub const fn nothing(mut self, text: &'static str) -> Self {
        self.nothing = Some(text);
        self
    }

    /// Gives a column of a table, by its title, as many pixels; the others share the rest.
    pub fn width(mut self, title: &'static str, pixels: u16) -> Self {
        self.widths.push((title, pixels));
        self
    }

    /// How its numbers are shown.
    pub const fn shown(mut self, shown: Shown) -> Self {
        self.shown = shown;
        self
    }

    /// The axis begins here.
    pub const fn min(mut self, min: f64) -> Self {
        self.range.0 = Some(min);
        self
    }

    /// The axis ends here.
    pub const fn max(mut self, max: f64) -> Self {
        self.range.1 = Some(max);
        self
    }

    /// The colours of lines by their names in the legend; others have the palette's, in which green and red mean nothing.
    pub const fn colors(mut self, colors: &'static [(&'static str, Color)]) -> Self {
        self.colors = colors;
        self
    }

    /// Colours from these values on; below the first it is green.
    pub fn steps(mut self, steps: &[(f64, Color)]) -> Self {
        self.steps = steps.to_vec();
        self
    }

    /// Names values.
    pub fn mappings(mut self, mappings: &[Mapping]) -> Self {
        self.mappings = mappings.to_vec();
        self
    }

    /// Links its values.
    pub fn link(mut self, title: impl Into<String>, url: impl Into<String>) -> Self {
        self.links.push(DataLink { title: title.into(), url: url.into() });
        self
    }

    /// Its width of 24, and its height.
    pub const fn size(mut self, width: u8, height: u8) -> Self {
        self.size = (width, height);
        self
    }

    /// Of a table: only so many rows, the greatest of this column first.
    pub const fn top(mut self, column: &'static str, rows: u16) -> Self {
        self.top = Some((column, rows));
        self
    }
}

/// How many labels of its own a metric may have for its series to be told apart in a legend.
const IN_A_LEGEND: usize = 3;

/// The queries that a row implies; `named` puts the values of its fixed labels into their legends.
fn implied(metric: Metric, named: bool, by: &[&'static str]) -> Vec<Query> {
    let def = metric.def();
    let named = if named { fixed_values(def) } else { String::new() };
    if def.instrument == Instrument::Histogram {
        return [(0.5, "median"), (0.95, "95 %"), (0.99, "99 %")]
            .map(|(quantile, word)| {
                Query::new(metric.quantile(quantile, Window::Interval), format!("{word}{named}"))
            })
            .into();
    }
    let own = attributes(def);
    let labels: Vec<&'static str> = by.iter().chain(&own).copied().collect();
    let expr = match (def.instrument, def.unit) {
        (Instrument::Counter, _) => metric.rate(Window::Interval).sum_by(&labels),
        (_, Unit::UnixSeconds) => metric.now().max_by(&labels).times(1000.0),
        _ => metric.now().max_by(&labels),
    };
    vec![Query::new(expr, legend(by, def, &named))]
}

/// The values of a row's fixed labels, each after a space.
fn fixed_values(def: &MetricDef) -> String {
    def.labels.iter().map(|(_, value)| format!(" {value}")).collect()
}

/// The labels that tell a row's series of one entity apart. What has one value at a time does not.
fn attributes(def: &MetricDef) -> Vec<&'static str> {
    telling(def).map(|attribute| attribute.name).collect()
}

fn telling(def: &MetricDef) -> impl Iterator<Item = &'static Attribute> + use<> {
    def.attributes.iter().filter(|attribute| attribute.values != Values::Capped(1))
}

/// What a person tells series apart by comes first, the target last; its job says nothing that a panel's title does not.
fn legend(by: &[&'static str], def: &MetricDef, named: &str) -> String {
    let entity = by.iter().filter(|label| !TARGET_LABELS.contains(label)).map(|label| format!("{{{label}}}"));
    let own = telling(def).map(|Attribute { name, values, .. }| match values {
        // Of what it is true or false does not stand in the value.
        Values::Closed(values) if values.contains(&"true") => format!("{name}={{{name}}}"),
        _ => format!("{{{name}}}"),
    });
    let names: Vec<String> = entity.chain(own).collect();
    let names = names.join(" ") + named;
    match (names.trim(), by.contains(&"instance")) {
        ("", _) => "{instance}".to_owned(),
        (names, true) => format!("{names} on {{instance}}"),
        (names, false) => names.to_owned(),
    }
}

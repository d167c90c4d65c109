//! The options of each type of panel, always all that its schema wants.

use serde::Serialize;

/// A panel's own options.
#[derive(Debug, Serialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
pub(crate) enum Options {
    TimeSeries {
        legend: Legend,
        tooltip: Tooltip,
    },
    Stat {
        color_mode: &'static str,
        graph_mode: &'static str,
        justify_mode: &'static str,
        orientation: &'static str,
        percent_change_color_mode: &'static str,
        reduce_options: Reduce,
        show_percent_change: bool,
        text_mode: &'static str,
        wide_layout: bool,
    },
    Table {
        cell_height: &'static str,
        frame_index: u8,
        show_header: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        sort_by: Option<[SortBy; 1]>,
    },
    BarGauge {
        display_mode: &'static str,
        legend: Legend,
        max_viz_height: u16,
        min_viz_height: u16,
        min_viz_width: u16,
        name_placement: &'static str,
        orientation: &'static str,
        reduce_options: Reduce,
        show_unfilled: bool,
        sizing: &'static str,
        value_mode: &'static str,
    },
    Pie {
        legend: PieLegend,
        orientation: &'static str,
        pie_type: &'static str,
        reduce_options: Reduce,
        tooltip: Tooltip,
    },
    Heatmap {
        calculate: bool,
        cell_gap: u8,
        color: HeatmapColor,
        exemplars: Exemplars,
        filter_values: FilterValues,
        legend: Shown,
        rows_frame: RowsFrame,
        show_value: &'static str,
        tooltip: HeatmapTooltip,
        y_axis: YAxis,
    },
    StateTimeline {
        align_value: &'static str,
        legend: Legend,
        merge_values: bool,
        row_height: f64,
        show_value: &'static str,
        tooltip: Tooltip,
    },
    Text {
        content: String,
        mode: &'static str,
    },
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SortBy {
    desc: bool,
    display_name: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Legend {
    pub(crate) calcs: &'static [&'static str],
    pub(crate) display_mode: &'static str,
    pub(crate) placement: &'static str,
    pub(crate) show_legend: bool,
}

impl Legend {
    /// Last and greatest value beside each name. Below a graph there would be room for three names.
    const TABLE: Self =
        Self { calcs: &["lastNotNull", "max"], display_mode: "table", placement: "right", show_legend: true };
    const LIST: Self = Self { calcs: &[], display_mode: "list", placement: "bottom", show_legend: true };
    const NONE: Self = Self { calcs: &[], display_mode: "list", placement: "bottom", show_legend: false };
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PieLegend {
    calcs: &'static [&'static str],
    display_mode: &'static str,
    placement: &'static str,
    show_legend: bool,
    values: &'static [&'static str],
}

#[derive(Debug, Serialize)]
pub(crate) struct Tooltip {
    mode: &'static str,
    sort: &'static str,
}

impl Tooltip {
    const ALL: Self = Self { mode: "multi", sort: "desc" };
    const ONE: Self = Self { mode: "single", sort: "none" };
}

#[derive(Debug, Serialize)]
pub(crate) struct Reduce {
    calcs: &'static [&'static str],
    fields: &'static str,
    values: bool,
}

impl Reduce {
    const LAST: Self = Self { calcs: &["lastNotNull"], fields: "", values: false };
}

#[derive(Debug, Serialize)]
pub(crate) struct HeatmapColor {
    exponent: f64,
    fill: &'static str,
    mode: &'static str,
    reverse: bool,
    scale: &'static str,
    scheme: &'static str,
    steps: u8,
}

#[derive(Debug, Serialize)]
pub(crate) struct Exemplars {
    color: &'static str,
}

#[derive(Debug, Serialize)]
pub(crate) struct FilterValues {
    le: f64,
}

#[derive(Debug, Serialize)]
pub(crate) struct Shown {
    show: bool,
}

#[derive(Debug, Serialize)]
pub(crate) struct RowsFrame {
    layout: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct HeatmapTooltip {
    mode: &'static str,
    show_color_scale: bool,
    y_histogram: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct YAxis {
    axis_placement: &'static str,
    reverse: bool,
    unit: &'static str,
}

/// Half a dashboard.
const WIDE: u8 = 12;

impl Options {
    pub(crate) const BAR_GAUGE: Self = Self::BarGauge {
        display_mode: "gradient",
        legend: Legend::NONE,
        max_viz_height: 300,
        min_viz_height: 16,
        min_viz_width: 8,
        name_placement: "auto",
        orientation: "horizontal",
        reduce_options: Reduce::LAST,
        show_unfilled: true,
        sizing: "auto",
        value_mode: "color",
    };
    pub(crate) const PIE: Self = Self::Pie {
        legend: PieLegend {
            calcs: &[],
            display_mode: "table",
            placement: "right",
            show_legend: true,
            values: &["value", "percent"],
        },
        orientation: "auto",
        pie_type: "pie",
        reduce_options: Reduce::LAST,
        tooltip: Tooltip::ONE,
    };
    pub(crate) const STATE_TIMELINE: Self = Self::StateTimeline {
        align_value: "left",
        legend: Legend::LIST,
        merge_values: true,
        row_height: 0.9,
        show_value: "auto",
        tooltip: Tooltip::ONE,
    };

    /// A table, its rows by the values of a column.
    pub(crate) fn table(sorted: Option<String>) -> Self {
        let sort_by = sorted.map(|display_name| [SortBy { desc: false, display_name }]);
        Self::Table { cell_height: "sm", frame_index: 0, show_header: true, sort_by }
    }

    /// A graph, its legend beside it where it is wide enough for that.
    pub(crate) const fn time_series(width: u8) -> Self {
        let legend = if width < WIDE { Legend::LIST } else { Legend::TABLE };
        Self::TimeSeries { legend, tooltip: Tooltip::ALL }
    }

    /// A stat with a small graph behind the number, unless its value is a name or a date.
    pub(crate) const fn stat(graph: bool) -> Self {
        Self::Stat {
            color_mode: "value",
            graph_mode: if graph { "area" } else { "none" },
            justify_mode: "auto",
            orientation: "auto",
            percent_change_color_mode: "standard",
            reduce_options: Reduce::LAST,
            show_percent_change: false,
            text_mode: "auto",
            wide_layout: true,
        }
    }

    pub(crate) const fn heatmap(unit: &'static str) -> Self {
        Self::Heatmap {
            calculate: false,
            cell_gap: 1,
            color: HeatmapColor {
                exponent: 0.5,
                fill: "dark-orange",
                mode: "scheme",
                reverse: false,
                scale: "exponential",
                scheme: "Oranges",
                steps: 64,
            },
            exemplars: Exemplars { color: "rgba(255,0,255,0.7)" },
            filter_values: FilterValues { le: 1e-9 },
            legend: Shown { show: true },
            rows_frame: RowsFrame { layout: "auto" },
            show_value: "never",
            tooltip: HeatmapTooltip { mode: "single", show_color_scale: false, y_histogram: false },
            y_axis: YAxis { axis_placement: "left", reverse: false, unit },
        }
    }
}

/// A panel type's own part of its field configuration.
#[derive(Debug, Serialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
pub(crate) enum Custom {
    Graph {
        axis_placement: &'static str,
        axis_soft_min: u8,
        #[serde(skip_serializing_if = "Option::is_none")]
        axis_soft_max: Option<f64>,
        draw_style: &'static str,
        fill_opacity: u8,
        line_interpolation: &'static str,
        line_width: u8,
        show_points: &'static str,
        span_nulls: bool,
        stacking: Stacking,
        thresholds_style: ThresholdsStyle,
    },
    Table {
        align: &'static str,
        filterable: bool,
        inspect: bool,
    },
    Timeline {
        fill_opacity: u8,
        line_width: u8,
    },
}

#[derive(Debug, Serialize)]
pub(crate) struct Stacking {
    group: &'static str,
    mode: &'static str,
}

impl Stacking {
    pub(crate) const NONE: Self = Self { group: "A", mode: "none" };
    const NORMAL: Self = Self { group: "A", mode: "normal" };
}

#[derive(Debug, Serialize)]
pub(crate) struct ThresholdsStyle {
    mode: &'static str,
}

impl Custom {
    pub(crate) const TABLE: Self = Self::Table { align: "auto", filterable: true, inspect: false };
    pub(crate) const TIMELINE: Self = Self::Timeline { fill_opacity: 70, line_width: 0 };

    pub(crate) const fn graph(stacked: bool, thresholds: bool, axis_soft_max: Option<f64>) -> Self {
        Self::Graph {
            axis_placement: "auto",
            // An axis that begins elsewhere makes mountains of noise.
            axis_soft_min: 0,
            axis_soft_max,
            draw_style: "line",
            fill_opacity: if stacked { 30 } else { 10 },
            line_interpolation: "linear",
            line_width: 1,
            show_points: "auto",
            span_nulls: false,
            stacking: if stacked { Stacking::NORMAL } else { Stacking::NONE },
            thresholds_style: ThresholdsStyle { mode: if thresholds { "dashed" } else { "off" } },
        }
    }
}

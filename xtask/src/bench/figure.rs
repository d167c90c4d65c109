//! Figures of several rounds, the budgets they are held against, and the table of both.

use std::fmt::Write as _;

/// A number measured several times in one run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Figure {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    pub(crate) rounds: usize,
}

impl Figure {
    /// The median of the rounds and their extremes; `None` of no rounds.
    pub(crate) fn of(mut rounds: Vec<f64>) -> Option<Self> {
        rounds.sort_by(f64::total_cmp);
        let (min, max) = (*rounds.first()?, *rounds.last()?);
        Some(Self { median: quantile(&rounds, 0.5), min, max, rounds: rounds.len() })
    }

    /// A number that has no spread.
    pub(crate) const fn exact(value: f64) -> Self {
        Self { median: value, min: value, max: value, rounds: 1 }
    }
}

/// The value below which that share of sorted numbers lies, between two neighbours in proportion.
pub(crate) fn quantile(sorted: &[f64], share: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let at = share * last as f64;
    let (below, above) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    below + (above - below) * (at - at.floor())
}

/// How a number is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// A quotient: `1.234`.
    Ratio,
    /// The reciprocal of a quotient below one: `1/25.3`.
    Fraction,
    /// `12.3 MB`, of bytes.
    Megabytes,
    /// `103.4 ms`, of seconds.
    Milliseconds,
    /// `5.2 µs`, of seconds.
    Microseconds,
    /// `52 ns`, of seconds.
    Nanoseconds,
    /// `3`.
    Count,
}

impl Shape {
    fn show(self, value: f64) -> String {
        match self {
            Self::Ratio => format!("{value:.2}"),
            Self::Fraction => format!("1/{:.1}", 1.0 / value),
            Self::Megabytes if value < 1e6 => format!("{:.3} MB", value / 1e6),
            Self::Megabytes => format!("{:.1} MB", value / 1e6),
            Self::Milliseconds => format!("{:.1} ms", value * 1e3),
            Self::Microseconds => format!("{:.1} µs", value * 1e6),
            Self::Nanoseconds => format!("{:.0} ns", value * 1e9),
            Self::Count => format!("{value:.0}"),
        }
    }
}

/// One line of the table.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) what: String,
    pub(crate) shape: Shape,
    pub(crate) figure: Figure,
    /// The most that it may be; `None` for what is only told.
    pub(crate) budget: Option<f64>,
    /// The numbers behind it.
    pub(crate) note: String,
}

impl Row {
    pub(crate) fn new(what: impl Into<String>, shape: Shape, figure: Figure, budget: f64) -> Self {
        Self { what: what.into(), shape, figure, budget: Some(budget), note: String::new() }
    }

    pub(crate) fn note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    /// Shown, but held against nothing.
    pub(crate) fn without_budget(mut self) -> Self {
        self.budget = None;
        self
    }

    /// The median decides: one round on a busy machine does not.
    pub(crate) fn is_over(&self) -> bool {
        self.budget.is_some_and(|budget| self.figure.median > budget)
    }

    fn spread(&self) -> String {
        let Figure { min, max, rounds, .. } = self.figure;
        if rounds < 2 {
            return "–".to_owned();
        }
        format!("{} – {} ({rounds})", self.shape.show(min), self.shape.show(max))
    }

    fn verdict(&self) -> &'static str {
        match self.budget {
            None => "–",
            Some(_) if self.is_over() => "**over**",
            Some(_) => "ok",
        }
    }
}

/// The rows as a Markdown table.
pub(crate) fn table(rows: &[Row]) -> String {
    let mut text = String::from(
        "| what | median | min – max (rounds) | budget | | behind it |\n|---|---|---|---|---|---|\n",
    );
    for row in rows {
        let budget = row.budget.map_or("–".to_owned(), |budget| format!("≤ {}", row.shape.show(budget)));
        let _ = writeln!(
            text,
            "| {} | {} | {} | {budget} | {} | {} |",
            row.what,
            row.shape.show(row.figure.median),
            row.spread(),
            row.verdict(),
            row.note
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_the_middle_of_its_rounds() {
        let figure = Figure::of(vec![3.0, 1.0, 2.0, 10.0]).expect("rounds");
        assert_eq!(figure, Figure { median: 2.5, min: 1.0, max: 10.0, rounds: 4 });
        assert_eq!(Figure::of(Vec::new()), None);
        assert_eq!(quantile(&[1.0, 2.0, 3.0], 0.99), 2.98);
    }

    #[test]
    fn a_row_over_its_budget_says_so() {
        let row = |median| Row::new("size", Shape::Megabytes, Figure::exact(median), 10e6);
        assert!(row(10.1e6).is_over() && !row(10e6).is_over());
        assert_eq!(
            table(&[row(12e6).note("of it")]).lines().last(),
            Some("| size | 12.0 MB | – | ≤ 10.0 MB | **over** | of it |")
        );
        assert!(!row(12e6).without_budget().is_over());
    }

    #[test]
    fn small_quotients_are_shown_upside_down() {
        assert_eq!(Shape::Fraction.show(0.04), "1/25.0");
        assert_eq!(Shape::Milliseconds.show(0.0123), "12.3 ms");
        assert_eq!(Shape::Nanoseconds.show(52e-9), "52 ns");
        assert_eq!(Shape::Megabytes.show(109_000.0), "0.109 MB");
    }
}

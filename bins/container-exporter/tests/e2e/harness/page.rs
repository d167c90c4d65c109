//! A page of metrics, read by a parser that shares nothing with the one that wrote it.

use std::collections::BTreeMap;

/// One line.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Line {
    /// The name of the series.
    pub(crate) name: String,
    /// Its labels.
    pub(crate) labels: BTreeMap<String, String>,
    /// Its value.
    pub(crate) value: f64,
}

impl Line {
    /// The value of a label; empty if there is none, as Prometheus has it.
    pub(crate) fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }

    fn has(&self, labels: &[(&str, &str)]) -> bool {
        labels.iter().all(|(name, value)| self.label(name) == *value)
    }
}

/// A page in text 0.0.4.
#[derive(Debug, Clone, Default)]
pub(crate) struct Page {
    /// The lines, in their order.
    pub(crate) lines: Vec<Line>,
    /// The type of each family.
    pub(crate) types: BTreeMap<String, String>,
}

impl Page {
    /// Reads a page; panics on what is not the format.
    #[track_caller]
    pub(crate) fn parse(text: &str) -> Self {
        let mut page = Self::default();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect("a name and a type");
                page.types.insert(name.to_owned(), kind.to_owned());
            } else if !line.is_empty() && !line.starts_with('#') {
                page.lines.push(parse_line(line).unwrap_or_else(|| panic!("not a line of a page: {line}")));
            }
        }
        page
    }

    /// All lines of a name that have these labels.
    pub(crate) fn all(&self, name: &str, labels: &[(&str, &str)]) -> Vec<&Line> {
        self.lines.iter().filter(|line| line.name == name && line.has(labels)).collect()
    }

    /// The value of the one line of a name that has these labels; panics if several have.
    #[track_caller]
    pub(crate) fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let lines = self.all(name, labels);
        assert!(lines.len() < 2, "several lines: {lines:#?}");
        lines.first().map(|line| line.value)
    }

    /// The value of the one line that a container has of a name.
    #[track_caller]
    pub(crate) fn of(&self, name: &str, container: &str) -> Option<f64> {
        self.value(name, &[("container_name", container)])
    }

    /// Like [`Page::value`], for a line that has to be there.
    #[track_caller]
    pub(crate) fn expect(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.value(name, labels).unwrap_or_else(|| panic!("no {name}{labels:?} on the page"))
    }

    /// For how many containers something of a group is absent for a reason.
    pub(crate) fn absent(&self, group: &str, reason: &str) -> f64 {
        self.value("container_exporter_metric_absent", &[("group", group), ("reason", reason)]).unwrap_or(0.0)
    }
}

fn parse_line(line: &str) -> Option<Line> {
    let end = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at(end);
    let mut labels = BTreeMap::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        while !rest.starts_with('}') {
            let (label, after) = rest.split_once("=\"")?;
            let (value, after) = parse_value(after)?;
            let fresh = labels.insert(label.to_owned(), value).is_none();
            assert!(fresh, "a label twice: {line}");
            rest = after.strip_prefix(',').unwrap_or(after);
        }
        rest = &rest[1..];
    }
    // A timestamp would be a third word, and no series of ours has one.
    let value = rest.strip_prefix(' ')?;
    let value = match value {
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        number => number.parse().ok()?,
    };
    Some(Line { name: name.to_owned(), labels, value })
}

/// A label's value up to its closing quote, and what follows.
fn parse_value(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(match characters.next()?.1 {
                'n' => '\n',
                other => other,
            }),
            other => value.push(other),
        }
    }
    None
}

#[test]
fn the_parser_reads_what_the_format_allows() {
    let page = Page::parse("# TYPE a gauge\na{x=\"1,}\\\"\\\\\\n\",y=\"\"} +Inf\nb 2e3\n");
    assert_eq!(page.value("a", &[("x", "1,}\"\\\n"), ("y", "")]), Some(f64::INFINITY));
    assert_eq!(page.value("b", &[]), Some(2000.0));
    assert_eq!(page.types["a"], "gauge");
}

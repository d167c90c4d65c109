//! YAML, written: maps, lists and strings, always in the same form.

use std::fmt::Write as _;

/// A node of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Yaml {
    /// What needs no quotes: a number, a duration, a name.
    Plain(String),
    /// Any text, in double quotes.
    Text(String),
    /// Text on lines of its own.
    Block(String),
    /// One line for each.
    List(Vec<Self>),
    /// In this order.
    Map(Vec<(&'static str, Self)>),
    /// In this order, of names that are known at run time; values are texts.
    Texts(Vec<(String, String)>),
}

impl Yaml {
    pub(crate) fn plain(text: impl Into<String>) -> Self {
        Self::Plain(text.into())
    }

    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// A document: this comment on top, then the node.
    pub(crate) fn document(&self, comment: &str) -> String {
        let mut out = String::new();
        for line in comment.lines() {
            let _ = writeln!(out, "{}", format!("# {line}").trim_end());
        }
        self.write(&mut out, 0);
        out
    }

    fn is_empty(&self) -> bool {
        match self {
            Self::List(items) => items.is_empty(),
            Self::Map(entries) => entries.is_empty(),
            Self::Texts(entries) => entries.is_empty(),
            _ => false,
        }
    }

    /// Its lines at an indent, where it begins a line.
    fn write(&self, out: &mut String, indent: usize) {
        let pad = " ".repeat(indent);
        match self {
            Self::Plain(_) | Self::Text(_) | Self::Block(_) => {
                out.push_str(&pad);
                self.write_after(out, indent, "");
            }
            Self::List(items) => {
                for item in items {
                    let _ = write!(out, "{pad}-");
                    item.write_item(out, indent);
                }
            }
            Self::Map(entries) => {
                for (name, value) in entries {
                    let _ = write!(out, "{pad}{name}:");
                    value.write_after(out, indent, " ");
                }
            }
            Self::Texts(entries) => {
                for (name, value) in entries {
                    let _ = writeln!(out, "{pad}{name}: {}", quoted(value));
                }
            }
        }
    }

    /// What follows the dash of a list: a map begins on its line.
    fn write_item(&self, out: &mut String, indent: usize) {
        match self {
            Self::Map(_) | Self::Texts(_) if !self.is_empty() => {
                let mut inner = String::new();
                self.write(&mut inner, indent + 2);
                out.push(' ');
                out.push_str(&inner[indent + 2..]);
            }
            _ => self.write_after(out, indent, " "),
        }
    }

    /// What follows a name on its line.
    fn write_after(&self, out: &mut String, indent: usize, space: &str) {
        match self {
            Self::List(items) if items.is_empty() => out.push_str(" []\n"),
            _ if self.is_empty() => out.push_str(" {}\n"),
            Self::Plain(text) => {
                let _ = writeln!(out, "{space}{text}");
            }
            Self::Text(text) => {
                let _ = writeln!(out, "{space}{}", quoted(text));
            }
            Self::Block(text) => {
                let _ = writeln!(out, "{space}|-");
                for line in text.lines() {
                    let _ = writeln!(out, "{}{line}", " ".repeat(indent + 2));
                }
            }
            Self::List(_) | Self::Map(_) | Self::Texts(_) => {
                out.push('\n');
                self.write(out, indent + 2);
            }
        }
    }
}

/// A string of JSON, which YAML reads as such.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::Yaml;

    #[test]
    fn a_document_reads_as_people_write_it() {
        let rule = Yaml::Map(vec![
            ("alert", Yaml::plain("Down")),
            ("expr", Yaml::Block("up\n== 0".to_owned())),
            ("labels", Yaml::Texts(vec![("severity".to_owned(), "a \"b\" \\ c".to_owned())])),
            ("none", Yaml::List(Vec::new())),
            ("each", Yaml::List(vec![Yaml::plain("1"), Yaml::List(vec![Yaml::plain("2")])])),
        ]);
        let document = Yaml::Map(vec![("rules", Yaml::List(vec![rule.clone(), rule]))]);
        let rule = "  - alert: Down\n    expr: |-\n      up\n      == 0\n    labels:\n      \
                    severity: \"a \\\"b\\\" \\\\ c\"\n    none: []\n    each:\n      - 1\n      -\n        - 2\n";
        assert_eq!(document.document("why\n\nmore"), format!("# why\n#\n# more\nrules:\n{rule}{rule}"));
    }
}

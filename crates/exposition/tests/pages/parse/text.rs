//! Text 0.0.4 and OpenMetrics.

use std::iter::Peekable;
use std::str::Chars;

use super::{Described, Labels, Page, insert_label};

/// Parses text 0.0.4.
pub(crate) fn text004(bytes: &[u8]) -> Result<Page, String> {
    parse(bytes, false)
}

/// Parses OpenMetrics 1.0.
pub(crate) fn open_metrics(bytes: &[u8]) -> Result<Page, String> {
    parse(bytes, true)
}

fn parse(bytes: &[u8], open_metrics: bool) -> Result<Page, String> {
    let mut text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
    if open_metrics {
        text = text.strip_suffix("# EOF\n").ok_or("no # EOF at the end")?;
    }
    let mut page = Page::default();
    let mut current = String::new();
    if text.is_empty() {
        return Ok(page);
    }
    for line in text.strip_suffix('\n').ok_or("no line feed at the end")?.split('\n') {
        let fail = |what: &str| format!("{what}: {line:?}");
        if let Some(comment) = line.strip_prefix("# ") {
            let mut words = comment.splitn(3, ' ');
            let (Some(word), Some(name), Some(rest)) = (words.next(), words.next(), words.next()) else {
                return Err(fail("unknown comment"));
            };
            if page.samples.keys().any(|(sample, _)| family_of(sample, name, &page)) {
                return Err(fail("metadata behind samples of the family"));
            }
            current = name.to_owned();
            describe(&mut page, word, name, rest, open_metrics).map_err(|what| fail(&what))?;
        } else {
            sample(&mut page, line, &current, open_metrics).map_err(|what| fail(&what))?;
        }
    }
    Ok(page)
}

fn describe(page: &mut Page, word: &str, name: &str, rest: &str, open_metrics: bool) -> Result<(), String> {
    let described: &mut Described = page.families.entry(name.to_owned()).or_default();
    let old = match word {
        "HELP" => described.help.replace(unescape(rest, open_metrics)?),
        "TYPE" => {
            let untyped = if open_metrics { "unknown" } else { "untyped" };
            if !["counter", "gauge", "histogram", "summary", untyped].contains(&rest) {
                return Err("unknown type".to_owned());
            }
            described.kind.replace(rest.replace("untyped", "unknown"))
        }
        "UNIT" if open_metrics => {
            if !name.ends_with(&format!("_{rest}")) {
                return Err("unit is not the suffix of the name".to_owned());
            }
            described.unit.replace(rest.to_owned())
        }
        "EOF" => return Err("EOF before the end".to_owned()),
        _ => return Err("unknown comment".to_owned()),
    };
    old.map_or(Ok(()), |_| Err(format!("second {word}")))
}

/// Whether the sample belongs to the family, by the suffixes of its type.
fn family_of(sample: &str, family: &str, page: &Page) -> bool {
    let kind = page.families.get(family).and_then(|described| described.kind.as_deref());
    let suffixes: &[&str] = match kind {
        Some("counter") => &["", "_total"],
        Some("histogram") => &["_bucket", "_sum", "_count"],
        Some("summary") => &["", "_sum", "_count"],
        _ => &[""],
    };
    sample.strip_prefix(family).is_some_and(|suffix| suffixes.contains(&suffix))
}

fn sample(page: &mut Page, line: &str, family: &str, open_metrics: bool) -> Result<(), String> {
    let name_end = line.find(['{', ' ']).ok_or("no value")?;
    let (name, rest) = line.split_at(name_end);
    let mut rest = rest.chars().peekable();
    let mut labels = Labels::new();
    if rest.next_if_eq(&'{').is_some() {
        loop {
            let label = read_until(&mut rest, '=')?;
            rest.next_if_eq(&'"').ok_or("no quote before a label value")?;
            insert_label(&mut labels, &label, quoted(&mut rest)?)?;
            match rest.next() {
                Some(',') => {}
                Some('}') => break,
                other => return Err(format!("{other:?} behind a label")),
            }
        }
    }
    rest.next_if_eq(&' ').ok_or("no space before the value")?;
    let value: String = rest.collect();
    if value.contains(' ') {
        return Err("a timestamp".to_owned());
    }
    let number = match value.as_str() {
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        "NaN" => f64::NAN,
        digits if digits.chars().all(|c| matches!(c, '0'..='9' | '.' | 'e' | 'E' | '+' | '-')) => {
            digits.parse().map_err(|_| "not a number")?
        }
        _ => return Err("not a number".to_owned()),
    };
    if !family_of(name, family, page) {
        return Err(format!("sample outside of family {family:?}"));
    }
    let kind = page.families.get(family).and_then(|described| described.kind.as_deref());
    if open_metrics && kind == Some("counter") && !name.ends_with("_total") {
        return Err("OpenMetrics counter without _total".to_owned());
    }
    if kind == Some("histogram") && name.ends_with("_bucket") != labels.contains_key("le") {
        return Err("le and _bucket belong together".to_owned());
    }
    page.add(name, &labels, number)
}

fn read_until(rest: &mut Peekable<Chars<'_>>, end: char) -> Result<String, String> {
    let mut word = String::new();
    for c in rest.by_ref() {
        if c == end {
            return Ok(word);
        }
        word.push(c);
    }
    Err(format!("no {end:?}"))
}

fn quoted(rest: &mut Peekable<Chars<'_>>) -> Result<String, String> {
    let mut value = String::new();
    loop {
        value.push(match rest.next().ok_or("label value without end")? {
            '"' => return Ok(value),
            '\\' => match rest.next() {
                Some('n') => '\n',
                Some(c @ ('"' | '\\')) => c,
                other => return Err(format!("unknown escape {other:?}")),
            },
            c => c,
        });
    }
}

fn unescape(help: &str, open_metrics: bool) -> Result<String, String> {
    let mut text = String::new();
    let mut rest = help.chars();
    while let Some(c) = rest.next() {
        text.push(match c {
            '\\' => match rest.next() {
                Some('n') => '\n',
                Some('\\') => '\\',
                Some('"') if open_metrics => '"',
                other => return Err(format!("unknown escape {other:?} in HELP")),
            },
            '"' if open_metrics => return Err("bare quote in an OpenMetrics HELP".to_owned()),
            c => c,
        });
    }
    Ok(text)
}

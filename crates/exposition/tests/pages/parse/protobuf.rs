//! Delimited `io.prometheus.client.MetricFamily` messages, turned into the samples that a server makes of them.

use super::{Labels, Page, insert_label};

/// One field of a message.
enum Value<'a> {
    Varint(u64),
    Double(f64),
    Bytes(&'a [u8]),
}

impl<'a> Value<'a> {
    fn varint(&self) -> Result<u64, String> {
        if let Self::Varint(value) = self { Ok(*value) } else { Err("not a varint".to_owned()) }
    }

    fn double(&self) -> Result<f64, String> {
        if let Self::Double(value) = self { Ok(*value) } else { Err("not a double".to_owned()) }
    }

    fn bytes(&self) -> Result<&'a [u8], String> {
        if let Self::Bytes(value) = self { Ok(value) } else { Err("not bytes".to_owned()) }
    }

    fn text(&self) -> Result<String, String> {
        String::from_utf8(self.bytes()?.to_vec()).map_err(|error| error.to_string())
    }
}

/// Parses a page of delimited messages.
pub(crate) fn delimited(mut bytes: &[u8]) -> Result<Page, String> {
    let mut page = Page::default();
    while !bytes.is_empty() {
        let len = varint(&mut bytes)?;
        family(&mut page, take(&mut bytes, len)?)?;
    }
    Ok(page)
}

fn varint(bytes: &mut &[u8]) -> Result<u64, String> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&first, rest) = bytes.split_first().ok_or("cut off in a varint")?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first < 0x80 {
            return Ok(value);
        }
    }
    Err("varint of more than ten bytes".to_owned())
}

fn take<'a>(bytes: &mut &'a [u8], len: u64) -> Result<&'a [u8], String> {
    let (head, rest) = bytes.split_at_checked(len as usize).ok_or("cut off in a field")?;
    *bytes = rest;
    Ok(head)
}

fn fields(mut bytes: &[u8]) -> Result<Vec<(u64, Value<'_>)>, String> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes)?;
        let value = match tag & 7 {
            0 => Value::Varint(varint(&mut bytes)?),
            1 => {
                let eight = take(&mut bytes, 8)?.try_into().map_err(|_| "cut off in a double")?;
                Value::Double(f64::from_le_bytes(eight))
            }
            2 => {
                let len = varint(&mut bytes)?;
                Value::Bytes(take(&mut bytes, len)?)
            }
            other => return Err(format!("wire type {other}")),
        };
        fields.push((tag >> 3, value));
    }
    Ok(fields)
}

fn family(page: &mut Page, message: &[u8]) -> Result<(), String> {
    let (mut name, mut kind, mut metrics) = (String::new(), None, Vec::new());
    let (mut help, mut unit) = (None, None);
    for (number, value) in fields(message)? {
        match number {
            1 => name = value.text()?,
            2 => help = Some(value.text()?),
            3 => {
                kind = ["counter", "gauge", "summary", "unknown", "histogram"]
                    .get(value.varint()? as usize)
                    .copied()
            }
            4 => metrics.push(value.bytes()?),
            5 => unit = Some(value.text()?),
            _ => return Err(format!("MetricFamily has no field {number}")),
        }
    }
    let kind = kind.ok_or("no type")?;
    if let Some(unit) = &unit {
        let base = if kind == "counter" { name.trim_end_matches("_total") } else { &name };
        if !base.ends_with(&format!("_{unit}")) {
            return Err(format!("unit {unit} is not the suffix of {name}"));
        }
    }
    if metrics.is_empty() {
        return Err(format!("family {name} without metrics"));
    }
    for message in metrics {
        metric(page, &name, kind, message)?;
    }
    let described = super::Described { kind: Some(kind.to_owned()), help, unit };
    page.families.insert(name, described).map_or(Ok(()), |_| Err("family twice".to_owned()))
}

fn metric(page: &mut Page, name: &str, kind: &str, message: &[u8]) -> Result<(), String> {
    let mut labels = Labels::new();
    let mut value_message = None;
    for (number, value) in fields(message)? {
        match number {
            1 => {
                let mut pair = [String::new(), String::new()];
                for (number, value) in fields(value.bytes()?)? {
                    *pair.get_mut(number as usize - 1).ok_or("LabelPair has two fields")? = value.text()?;
                }
                let [name, value] = pair;
                insert_label(&mut labels, &name, value)?;
            }
            2 | 3 | 4 | 5 | 7 => value_message = Some((number, value.bytes()?)),
            _ => return Err(format!("Metric has no field {number} that we write")),
        }
    }
    let (number, message) = value_message.ok_or("metric without value")?;
    let (fits, created) = match kind {
        "gauge" => (2, 0),
        "counter" => (3, 3),
        "summary" => (4, 4),
        "unknown" => (5, 0),
        _ => (7, 15),
    };
    if number != fits {
        return Err(format!("a {kind} with value field {number}"));
    }
    for (number, value) in fields(message)? {
        if number == created {
            page.created.insert((name.to_owned(), labels.clone()), timestamp(value.bytes()?)?);
        } else if matches!(kind, "summary" | "histogram") {
            distribution(page, name, kind, &labels, number, &value)?;
        } else {
            page.add(name, &labels, value.double()?)?;
        }
    }
    Ok(())
}

fn distribution(
    page: &mut Page,
    name: &str,
    kind: &str,
    labels: &Labels,
    number: u64,
    value: &Value<'_>,
) -> Result<(), String> {
    match number {
        1 => page.add(&format!("{name}_count"), labels, value.varint()? as f64),
        2 => page.add(&format!("{name}_sum"), labels, value.double()?),
        3 => {
            let inner = fields(value.bytes()?)?;
            let [(1, first), (2, second)] = inner.as_slice() else {
                return Err("bucket of two fields".to_owned());
            };
            let mut labels = labels.clone();
            if kind == "histogram" {
                insert_label(&mut labels, "le", spelled(second.double()?))?;
                page.add(&format!("{name}_bucket"), &labels, first.varint()? as f64)
            } else {
                insert_label(&mut labels, "quantile", spelled(first.double()?))?;
                page.add(name, &labels, second.double()?)
            }
        }
        _ => Err(format!("{kind} has no field {number} that we write")),
    }
}

/// A bound as a server spells it in the `le` label: tests keep to bounds where this is simple.
fn spelled(bound: f64) -> String {
    if bound == f64::INFINITY { "+Inf".to_owned() } else { format!("{bound:?}") }
}

fn timestamp(message: &[u8]) -> Result<(i64, u32), String> {
    let mut time = (0, 0);
    for (number, value) in fields(message)? {
        match number {
            1 => time.0 = value.varint()? as i64,
            2 => time.1 = u32::try_from(value.varint()?).map_err(|error| error.to_string())?,
            _ => return Err("Timestamp has two fields".to_owned()),
        }
    }
    if time.1 < 1_000_000_000 { Ok(time) } else { Err("nanoseconds of a second or more".to_owned()) }
}

//! Pages: what is encoded is read by an independent parser as the same labels and values; `Accept` always has an answer.

use std::sync::LazyLock;

use collector_core::{Group, Groups};
use exposition::{
    Encoder, Escaping, Family, Format, Kind, LabelBlock, Number, is_label_name, is_reserved_label_name,
    negotiate, sanitize_label_name, sanitize_metric_name,
};

use sink_prometheus::{Options, PrometheusSink};

use crate::parse::{self, Labels, Page};

const FORMATS: [Format; 4] =
    [Format::Text004, Format::OpenMetrics001, Format::OpenMetrics100, Format::Protobuf];

/// The input: pairs of name and value with NUL between them; any bytes. The first eight bytes are the number, too.
pub(crate) fn labels(data: &[u8]) {
    let text = exposition::lossy(data);
    let mut words = text.split('\0');
    let (help, metric) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut labels = Labels::new();
    while let Some(name) = words.next() {
        let name = sanitize_label_name(name);
        assert!(is_label_name(&name) && !is_reserved_label_name(&name), "{name:?}");
        labels.entry(name.into_owned()).or_insert_with(|| words.next().unwrap_or_default().to_owned());
    }
    let mut bytes = [0; 8];
    bytes.iter_mut().zip(data).for_each(|(byte, input)| *byte = *input);
    let bits = u64::from_le_bytes(bytes);
    let metric = sanitize_metric_name(metric);
    for number in [Number::Integer(bits), Number::Nanoseconds(bits), Number::Float(f64::from_bits(bits))] {
        for format in FORMATS {
            comes_back(format, help, &metric, &labels, number);
        }
    }
}

fn comes_back(format: Format, help: &str, metric: &str, labels: &Labels, number: Number) {
    let pairs: Vec<_> = labels.iter().collect();
    // In two blocks, as the labels of a container and of a device are.
    let (first, second) = pairs.split_at(pairs.len() / 2);
    let blocks =
        [first, second].map(|pairs| LabelBlock::new(pairs).unwrap_or_else(|error| panic!("{error}")));
    let mut encoder = Encoder::new(format);
    let kind = Kind::Gauge;
    encoder.family(&Family::new(metric, help, kind)).unwrap_or_else(|error| panic!("{error}"));
    encoder.sample(&[&blocks[0], &blocks[1]], number, None);
    encoder.finish();
    assert_eq!(encoder.refused_samples(), 0);
    let bytes = encoder.take();
    let page = read(format, &bytes);
    let (found, value) = page.samples.first_key_value().unwrap_or_else(|| panic!("no sample: {page:?}"));
    assert_eq!((page.samples.len(), found.0.as_str(), &found.1), (1, metric, labels), "{format:?}");
    let bits = |value: f64| if value.is_nan() { f64::NAN.to_bits() } else { value.to_bits() };
    assert_eq!(bits(f64::from_bits(*value)), bits(number.as_f64()), "{format:?} {number:?}");
    let described = page.families.get(metric).and_then(|described| described.help.as_deref());
    assert_eq!(described.unwrap_or_default(), help, "{format:?}");
}

fn read(format: Format, bytes: &[u8]) -> Page {
    let read = match format {
        Format::Text004 => parse::text::text004(bytes),
        Format::Protobuf => parse::protobuf::delimited(bytes),
        _ => parse::text::open_metrics(bytes),
    };
    read.unwrap_or_else(|error| panic!("{format:?}: {error}\n{}", String::from_utf8_lossy(bytes)))
}

/// An `Accept` header: the answer is one that the header, asked for just that answer, gives again.
pub(crate) fn accept(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let answer = negotiate(Some(&text));
    let content_type = answer.content_type();
    let asked = negotiate(Some(content_type));
    assert_eq!(asked.format, answer.format, "{content_type}");
    assert_eq!(asked.escaping, answer.escaping, "{content_type}");
    let named = match answer.escaping {
        None => None,
        Some(Escaping::Underscores) => Some("underscores"),
        Some(Escaping::Values) => Some("values"),
        Some(_) => Some("allow-utf-8"),
    };
    let said = content_type.split_once("escaping=").map(|(_, said)| said);
    assert_eq!(said, named);
    // A clause of the lowest quality changes nothing once something was found.
    if answer.format != Format::Text004
        && text.len() < 1024
        && text.matches(',').count() < 16
        && !text.contains('"')
    {
        assert_eq!(negotiate(Some(&format!("{text},text/plain;q=0.001"))).format, answer.format, "{text:?}");
    }
}

/// The pairs of a page's query, name and value in turn with NUL between them: what is asked for is what is collected.
pub(crate) fn query(data: &[u8]) {
    static SINK: LazyLock<PrometheusSink> = LazyLock::new(|| {
        let mut options = Options::default();
        options.off = Groups::NONE.with(Group::Io);
        PrometheusSink::new(options)
    });
    let text = String::from_utf8_lossy(data);
    let words: Vec<&str> = text.split('\0').take(64).collect();
    let pairs: Vec<(String, String)> =
        words.chunks_exact(2).map(|pair| (pair[0].to_owned(), pair[1].to_owned())).collect();
    let groups = match SINK.groups(&pairs) {
        Ok(groups) => groups,
        Err(error) => {
            // It goes into an answer and perhaps a log: one line, and not all that was sent.
            let said = error.to_string();
            assert!(said.len() < 2048 && !said.contains('\n'), "{said:?}");
            return;
        }
    };
    assert!(!groups.has(Group::Io), "what is switched off is not collected: {pairs:?}");
    assert!(SINK.shows_root(&pairs).is_ok());
    let asked = |key: &'static str| pairs.iter().filter(move |(name, _)| name == key).map(|(_, value)| value);
    let collect = asked("collect[]").filter_map(|word| Groups::parse(word)).fold(Groups::NONE, Groups::or);
    let is_subset = groups.iter().all(|group| collect.has(group));
    assert!(is_subset || collect == Groups::NONE, "{pairs:?}");
    // Names narrow what is collected, and strangers' parameters change nothing.
    let mut more = pairs.clone();
    more.push(("target".to_owned(), "a".to_owned()));
    assert_eq!(SINK.groups(&more).ok(), Some(groups));
    more.push(("name[]".to_owned(), "container_cpu_usage_seconds_total".to_owned()));
    let narrowed = SINK.groups(&more).unwrap_or_else(|error| panic!("{error}"));
    if asked("name[]").next().is_none() && collect != Groups::NONE {
        assert!(narrowed.iter().all(|group| groups.has(group)), "{pairs:?}");
    }
}

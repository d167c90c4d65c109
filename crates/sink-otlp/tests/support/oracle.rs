//! The slow, obvious encoder: the messages of an export as structs, straight from the catalogue. It knows nothing of the
//! crate's insides and keeps nothing but the series of the last export.

use std::{collections::BTreeMap, time::UNIX_EPOCH};

use collector_core::{
    Container, ContainerSample, Engine, Reading, Sample, Snapshot, Value,
    catalogue::{self, Dimension, Entity, Row, RowId, Source},
};
use metric_schema::{Conversion, Instrument, OtelMetric, Unit, Values};
use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue, any_value},
    metrics::v1::{
        AggregationTemporality, Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum,
        metric::Data, number_data_point,
    },
    resource::v1::Resource,
};
use sink_otlp::{AttributeValue, Identity, Names, Options};

use super::{Flat, flatten};

pub(crate) struct Oracle {
    options: Options,
    /// The series of the last export.
    before: BTreeMap<(String, String), Flat>,
    version: Option<String>,
}

type Attributes = Vec<KeyValue>;

fn text(value: &str) -> AnyValue {
    AnyValue { value: Some(any_value::Value::StringValue(value.to_owned())) }
}

fn pair(key: &str, value: AnyValue) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(value), ..KeyValue::default() }
}

fn push(attributes: &mut Attributes, key: &str, value: Option<&str>) {
    if let Some(value) = value.filter(|value| !value.is_empty()) {
        attributes.push(pair(key, text(value)));
    }
}

fn push_value(attributes: &mut Attributes, key: &str, value: &AttributeValue) {
    match value {
        AttributeValue::Text(text) => push(attributes, key, Some(text)),
        AttributeValue::Int(number) => {
            attributes.push(pair(key, AnyValue { value: Some(any_value::Value::IntValue(*number)) }));
        }
    }
}

fn push_list(attributes: &mut Attributes, key: &str, value: Option<&str>) {
    if let Some(value) = value.filter(|value| !value.is_empty()) {
        let list = any_value::Value::ArrayValue(ArrayValue { values: vec![text(value)] });
        attributes.push(pair(key, AnyValue { value: Some(list) }));
    }
}

fn nanos(time: std::time::SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).expect("after 1970").as_nanos().try_into().expect("before 2554")
}

impl Oracle {
    pub(crate) fn new(options: Options) -> Self {
        Self { options, before: BTreeMap::new(), version: None }
    }

    /// The points of an export, the ends of series included.
    pub(crate) fn export(&mut self, snapshot: &Snapshot) -> Vec<Flat> {
        if let Some(entry) = snapshot.exporter.table(Dimension::EngineInfo).entries.first() {
            self.version = Some(entry.labels[2].to_string());
        }
        let mut request = ExportMetricsServiceRequest::default();
        let own = self.own();
        for (entity, sample) in [(Entity::Host, &snapshot.host), (Entity::Exporter, &snapshot.exporter)] {
            request.resource_metrics.push(self.entity(entity, own.clone(), None, sample, snapshot));
        }
        for one in &snapshot.containers {
            let resource = match self.options.identity {
                Identity::DataPoint => own.clone(),
                Identity::Resource | Identity::Both => self.resource(&one.container),
            };
            request.resource_metrics.push(self.entity(
                Entity::Container,
                resource,
                Some(one),
                &one.sample,
                snapshot,
            ));
        }
        let mut now = flatten(request);
        let series: BTreeMap<_, _> = now.iter().map(|flat| (flat.series(), flat.clone())).collect();
        assert_eq!(series.len(), now.len(), "a series stands twice");
        let before = std::mem::replace(&mut self.before, series);
        for (series, mut flat) in before {
            if !self.before.contains_key(&series) {
                flat.point = NumberDataPoint {
                    attributes: flat.point.attributes,
                    time_unix_nano: nanos(snapshot.taken_at),
                    flags: 1,
                    ..NumberDataPoint::default()
                };
                now.push(flat);
            }
        }
        now
    }

    fn own(&self) -> Attributes {
        let mut own = Attributes::new();
        for (key, value) in &self.options.resource {
            push_value(&mut own, key, value);
        }
        own
    }

    fn resource(&self, container: &Container) -> Attributes {
        let mut all = Attributes::new();
        let reference = container.image.as_deref().filter(|image| !image.starts_with("sha256:"));
        let is_digest = reference.is_some_and(|image| image.contains('@'));
        let tagged = reference.map(|image| image.split('@').next().unwrap_or_default());
        let slash = tagged.map_or(0, |image| image.rfind('/').map_or(0, |at| at + 1));
        let colon = tagged.and_then(|image| Some(slash + image[slash..].rfind(':')?));
        let engine = match container.engine {
            Engine::Kernel => None,
            other => Some(other.as_str()),
        };
        push(&mut all, "container.id", Some(container.id.as_str()));
        push(&mut all, "container.name", container.name.as_deref());
        push(&mut all, "container.image.name", tagged.map(|image| &image[..colon.unwrap_or(image.len())]));
        push_list(&mut all, "container.image.tags", colon.and_then(|colon| Some(&tagged?[colon + 1..])));
        push_list(&mut all, "container.image.repo_digests", reference.filter(|_| is_digest));
        push(&mut all, "container.image.id", container.image_id.as_deref());
        push(&mut all, "container.runtime.name", engine);
        let version = self.version.as_deref().filter(|_| container.engine == Engine::Docker);
        push(&mut all, "container.runtime.version", version);
        let label = |key: &str| container.labels.get(key).map(String::as_str);
        push(&mut all, "k8s.namespace.name", label("io.kubernetes.pod.namespace"));
        push(&mut all, "k8s.pod.name", label("io.kubernetes.pod.name"));
        push(&mut all, "k8s.pod.uid", label("io.kubernetes.pod.uid"));
        push(&mut all, "k8s.container.name", label("io.kubernetes.container.name"));
        push(&mut all, "container.oci_runtime.name", container.runtime.as_deref());
        push(&mut all, "container.pod.name", container.pod.as_deref());
        push(&mut all, "container.engine.uid", container.uid.map(|uid| uid.to_string()).as_deref());
        push(&mut all, "systemd.unit", container.unit.as_deref());
        push(&mut all, "systemd.slice", container.slice.as_deref());
        for (key, value) in &self.options.container_resource {
            push_value(&mut all, key, value);
        }
        let usable = container.labels.iter().filter(|(key, _)| !key.is_empty());
        for (key, value) in usable.take(self.options.labels_max) {
            let mut value = value.clone();
            while value.len() > self.options.label_value_bytes_max {
                value.pop();
            }
            all.push(pair(&format!("container.label.{key}"), text(&value)));
        }
        all
    }

    /// What the points of a container say of it.
    fn identity(&self, container: &Container) -> Attributes {
        let mut all = Attributes::new();
        if self.options.identity == Identity::Resource {
            return all;
        }
        if self.options.names == Names::Prometheus {
            push(&mut all, "container_id", Some(container.id.short()));
            push(&mut all, "container_name", container.name.as_deref());
            push(&mut all, "image", container.image.as_deref());
            push(&mut all, "slice", container.slice.as_deref());
            push(&mut all, "unit", container.unit.as_deref());
            return all;
        }
        let of_resource = self.resource(container);
        for key in ["container.id", "container.name", "container.image.name", "systemd.slice", "systemd.unit"]
        {
            all.extend(of_resource.iter().find(|pair| pair.key == key).cloned());
        }
        all
    }

    fn entity(
        &self,
        entity: Entity,
        resource: Attributes,
        one: Option<&ContainerSample>,
        sample: &Sample,
        snapshot: &Snapshot,
    ) -> ResourceMetrics {
        let mut metrics: Vec<Metric> = Vec::new();
        let rows: Vec<_> =
            catalogue::get().iter().filter(|(_, row)| row.entity == entity && !row.hidden).collect();
        for (id, row) in &rows {
            let Some((otel, name)) = self.leaving(row) else { continue };
            let modes = rows.iter().filter(|(_, other)| {
                self.leaving(other).is_some_and(|(metric, _)| metric.name == otel.name && !metric.is_total)
            });
            let mut parts = modes.flat_map(|(id, row)| self.points(*id, row, one, sample, snapshot));
            if otel.is_total && parts.next().is_some() {
                continue;
            }
            let data_points = self.points(*id, row, one, sample, snapshot);
            if data_points.is_empty() {
                continue;
            }
            let unit = self.unit(row, &otel, &name);
            let data = match otel.instrument {
                Instrument::Gauge => Data::Gauge(Gauge { data_points }),
                instrument => Data::Sum(Sum {
                    data_points,
                    aggregation_temporality: AggregationTemporality::Cumulative.into(),
                    is_monotonic: instrument == Instrument::Counter,
                }),
            };
            metrics.push(Metric { name, unit, data: Some(data), ..Metric::default() });
        }
        let schema_url = match self.options.names {
            Names::Semconv => "https://opentelemetry.io/schemas/1.44.0".to_owned(),
            Names::Prometheus => String::new(),
        };
        let scope = InstrumentationScope {
            name: "sink-otlp".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..InstrumentationScope::default()
        };
        ResourceMetrics {
            resource: Some(Resource { attributes: resource, ..Resource::default() }),
            scope_metrics: vec![ScopeMetrics { scope: Some(scope), metrics, schema_url: schema_url.clone() }],
            schema_url,
        }
    }

    fn leaving(&self, row: &Row) -> Option<(OtelMetric, String)> {
        let def = &row.def;
        match self.options.names {
            Names::Semconv => def.otel_metric().ok().map(|metric| (metric, metric.name.to_owned())),
            Names::Prometheus if def.only_aliased.is_some() => None,
            Names::Prometheus => {
                let metric = match def.instrument {
                    Instrument::Counter => OtelMetric::counter(def.name, def.unit),
                    Instrument::UpDownCounter => OtelMetric::up_down(def.name, def.unit),
                    Instrument::Gauge => OtelMetric::gauge(def.name, def.unit),
                    Instrument::Histogram => {
                        panic!("{name}: a row of the catalogue is one number", name = def.name)
                    }
                };
                Some((metric.with(def.labels), def.prometheus_name()))
            }
        }
    }

    /// Under names of Prometheus, only a unit that the name has already.
    fn unit(&self, row: &Row, otel: &OtelMetric, name: &str) -> String {
        let keeps = match (self.options.names, row.def.unit) {
            (Names::Semconv, _) | (_, Unit::Cores) => true,
            (_, Unit::Count(word)) => word.starts_with('{'),
            (_, Unit::One) => false,
            (_, unit) => unit.prometheus_suffix().is_some_and(|suffix| name.contains(&format!("_{suffix}"))),
        };
        if keeps { otel.unit.ucum().to_owned() } else { String::new() }
    }

    fn points(
        &self,
        id: RowId,
        row: &Row,
        one: Option<&ContainerSample>,
        sample: &Sample,
        snapshot: &Snapshot,
    ) -> Vec<NumberDataPoint> {
        let Some((otel, _)) = self.leaving(row) else { return Vec::new() };
        if one.is_some_and(|one| {
            let shows_state_only = !one.container.state.has_processes();
            one.left_out.has(row.group) || (shows_state_only && row.group != collector_core::Group::State)
        }) {
            return Vec::new();
        }
        let mut base = one.map_or_else(Attributes::new, |one| self.identity(&one.container));
        for (key, value) in otel.attributes {
            push(&mut base, key, Some(value));
        }
        let key = |name: &'static str| {
            let attribute = row.def.attributes.iter().find(|attribute| attribute.name == name)?;
            if self.options.names == Names::Semconv { attribute.otel } else { Some(name) }
        };
        let mut readings: Vec<(Attributes, Reading)> = Vec::new();
        match (row.source, one) {
            (Source::Engine(read), Some(one)) => readings.push((base, read(&one.container))),
            (Source::Info(labels), Some(one)) => {
                for (key, value) in labels(&one.container) {
                    base.push(pair(key, text(&value)));
                }
                readings.push((base, Reading::int(1)));
            }
            (Source::StateSet(current), Some(one)) => {
                let attribute = row.def.attributes[0];
                let Values::Closed(names) = attribute.values else { panic!("a closed set") };
                for (state, name) in names.iter().enumerate() {
                    let Some(current) = current(&one.container) else { continue };
                    let mut all = base.clone();
                    push(&mut all, key(attribute.name).expect("a key"), Some(name));
                    readings.push((all, Reading::int(u64::from(state == current))));
                }
            }
            (source, _) => match (source.dimension(), catalogue::get().column(id)) {
                (Some(dimension), Some((_, column))) => {
                    for entry in &sample.table(dimension).entries {
                        let mut all = base.clone();
                        for (label, value) in dimension.labels().iter().zip(&*entry.labels) {
                            if let Some(key) = key(label) {
                                push(&mut all, key, Some(value));
                            }
                        }
                        readings.push((all, entry.cells[column]));
                    }
                }
                _ => readings.push((base, sample.get(id))),
            },
        }
        let start_time_unix_nano =
            if otel.instrument == Instrument::Gauge { 0 } else { self.start(row, one, snapshot) };
        let running = one.is_none_or(|one| one.container.state.has_processes());
        let mut points: Vec<NumberDataPoint> = Vec::new();
        for (attributes, reading) in readings {
            let Some(value) = value(row, &otel, reading, nanos(snapshot.taken_at), running) else { continue };
            let most = if row.source.dimension().is_some() { row.entries_max() } else { usize::MAX };
            if points.len() == most || points.iter().any(|point| point.attributes == attributes) {
                continue;
            }
            points.push(NumberDataPoint {
                attributes,
                start_time_unix_nano,
                time_unix_nano: nanos(snapshot.taken_at),
                value: Some(value),
                ..NumberDataPoint::default()
            });
        }
        points
    }

    fn start(&self, row: &Row, one: Option<&ContainerSample>, snapshot: &Snapshot) -> u64 {
        let watched =
            matches!(row.source, Source::Collector | Source::CollectorTable(_) | Source::SamplerWatched);
        let at = match (one, watched) {
            (Some(one), true) => Some(one.first_seen),
            (Some(one), false) => one.container.started_at,
            (None, true) => Some(snapshot.watched_since),
            (None, false) => None,
        };
        at.map_or(0, nanos).min(nanos(snapshot.taken_at))
    }
}

fn value(
    row: &Row,
    otel: &OtelMetric,
    reading: Reading,
    now: u64,
    running: bool,
) -> Option<number_data_point::Value> {
    use number_data_point::Value::{AsDouble, AsInt};
    let value = reading.value()?;
    let double = value.as_f64();
    match otel.conversion {
        Conversion::PerHundred => return Some(AsDouble(double / 100.0)),
        Conversion::PerMillion => return Some(AsDouble(double / 1e6)),
        Conversion::Age => {
            let Value::Nanos(since) = value else { return None };
            #[expect(clippy::cast_precision_loss, reason = "as the page has it")]
            return running.then_some(AsDouble(now.saturating_sub(since) as f64 / 1e9));
        }
        Conversion::UnlessZero if double == 0.0 => return None,
        _ => {}
    }
    let fraction = matches!(row.def.unit, Unit::Seconds | Unit::UnixSeconds | Unit::Cores | Unit::Percent);
    Some(match value {
        Value::Int(whole) if !fraction && i64::try_from(whole).is_ok() => AsInt(whole as i64),
        Value::Float(float) if !fraction && float == float.trunc() && float.abs() < 9e15 => {
            AsInt(float as i64)
        }
        _ => AsDouble(double),
    })
}

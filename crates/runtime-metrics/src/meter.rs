//! The same numbers for an OpenTelemetry meter, under the names of its semantic conventions.

use std::sync::Arc;

use metric_schema::{Conversion, Instrument, MetricDef, OtelMetric};
use opentelemetry::KeyValue;
use opentelemetry::metrics::{AsyncInstrument, Meter};

use crate::process::ProcessCollector;
use crate::spans::{DropReason, ErrorType, Ledger};
use crate::{RuntimeMetrics, catalogue};

/// The attribute that names the kind of an error.
const ERROR_TYPE: &str = "error.type";

impl RuntimeMetrics {
    /// Lets a meter read what the registry reads: `otel.sdk.*` for spans, and `process.*`, `tokio.runtime.*` and
    /// `tokio.task.*` where they were chosen. `otel.sdk.exporter.operation.duration` is recorded from now on.
    ///
    /// ```
    /// use opentelemetry::metrics::MeterProvider as _;
    /// use opentelemetry_sdk::metrics::SdkMeterProvider;
    /// use prometheus::Registry;
    /// use runtime_metrics::RuntimeMetrics;
    ///
    /// // With the reader and exporter that the service has.
    /// let meters = SdkMeterProvider::builder().build();
    /// let metrics = RuntimeMetrics::builder().service("checkout").process(true).register(&Registry::new())?;
    /// metrics.observe(&meters.meter("runtime-metrics"));
    /// # Ok::<(), runtime_metrics::RegisterError>(())
    /// ```
    ///
    /// Each call makes instruments; a meter that is shown the same metrics twice has everything twice.
    pub fn observe(&self, meter: &Meter) {
        if self.spans_registered {
            spans(&self.ledger, meter);
        }
        if let Some(process) = &self.process {
            process_metrics(process, meter);
        }
        #[cfg(feature = "tokio")]
        if let Some(runtime) = &self.runtime {
            runtime_metrics(runtime, meter);
        }
        #[cfg(feature = "tasks")]
        task_metrics(&self.monitors, meter);
    }
}

/// As what a row of the catalogue leaves.
fn metric(def: &MetricDef) -> OtelMetric {
    // Nothing but rows that leave comes here, which the tests of the meter show.
    def.otel_metric().unwrap_or(OtelMetric::gauge(def.name, def.unit))
}

/// Gives a callback each value with its attributes.
type Observe = fn(&Ledger, &mut dyn FnMut(u64, &[KeyValue]));

/// Semantic conventions of the OpenTelemetry SDK's own metrics.
fn spans(ledger: &Arc<Ledger>, meter: &Meter) {
    let counter = |def: &MetricDef, observe: Observe| {
        let (ledger, metric) = (Arc::clone(ledger), metric(def));
        meter
            .u64_observable_counter(metric.name)
            .with_unit(metric.unit.ucum())
            .with_description(def.help)
            .with_callback(move |observer| observe(&ledger, &mut |value, with| observer.observe(value, with)))
            .build();
    };
    let level = |def: &MetricDef, read: fn(&Ledger) -> u64| {
        let (ledger, metric) = (Arc::clone(ledger), metric(def));
        let fixed: Vec<_> =
            metric.attributes.iter().map(|(key, value)| KeyValue::new(*key, *value)).collect();
        meter
            .i64_observable_up_down_counter(metric.name)
            .with_unit(metric.unit.ucum())
            .with_description(def.help)
            .with_callback(move |observer| observer.observe(read(&ledger) as i64, &fixed))
            .build();
    };
    counter(&catalogue::SDK_STARTED, |ledger, observe| {
        for (result, count) in catalogue::SAMPLING_RESULTS.iter().zip(ledger.decided()) {
            observe(count, &[KeyValue::new("otel.span.sampling_result", *result)]);
        }
    });
    level(&catalogue::SPANS_LIVE, |ledger| ledger.counts().live);
    counter(&catalogue::SDK_PROCESSED, |ledger, observe| {
        let counts = ledger.counts();
        observe(counts.in_flight + counts.exported + counts.failed, &[]);
        for (reason, count) in DropReason::ALL.into_iter().zip(ledger.dropped()) {
            observe(count, &[KeyValue::new(ERROR_TYPE, reason.error_type())]);
        }
    });
    level(&catalogue::QUEUE_SIZE, |ledger| ledger.counts().queued);
    level(&catalogue::QUEUE_CAPACITY, Ledger::queue_spans_max);
    level(&catalogue::IN_FLIGHT, |ledger| ledger.counts().in_flight);
    counter(&catalogue::SDK_EXPORTED, |ledger, observe| {
        observe(ledger.counts().exported, &[]);
        for (error, count) in ErrorType::ALL.into_iter().zip(ledger.failed()) {
            if count > 0 {
                observe(count, &[KeyValue::new(ERROR_TYPE, error.as_str())]);
            }
        }
    });
    // A second meter gets no durations: one export is one recording.
    ledger.operations.get_or_init(|| {
        let def = &catalogue::SDK_OPERATION_DURATION;
        meter
            .f64_histogram(metric(def).name)
            .with_unit(metric(def).unit.ucum())
            .with_description(def.help)
            .with_boundaries(def.buckets.to_vec())
            .build()
    });
}

/// Semantic conventions of operating system processes. CPU time is the sum of all modes.
fn process_metrics(process: &Arc<ProcessCollector>, meter: &Meter) {
    for row in &crate::process::ROWS {
        let Ok(metric) = row.def.otel_metric() else { continue };
        let (process, read) = (Arc::clone(process), row.value);
        let (name, unit, help) = (metric.name, metric.unit.ucum(), row.def.help);
        let value = move || match metric.conversion {
            Conversion::Age => {
                let now = std::time::UNIX_EPOCH.elapsed().ok()?.as_secs_f64();
                Some((now - read(&process.read())?).max(0.0))
            }
            _ => read(&process.read()),
        };
        match metric.instrument {
            Instrument::Counter => {
                let observe = move |observer: &dyn AsyncInstrument<f64>| {
                    value().into_iter().for_each(|value| observer.observe(value, &[]));
                };
                meter
                    .f64_observable_counter(name)
                    .with_unit(unit)
                    .with_description(help)
                    .with_callback(observe)
                    .build();
            }
            Instrument::UpDownCounter => {
                let observe = move |observer: &dyn AsyncInstrument<i64>| {
                    value().into_iter().for_each(|value| observer.observe(value as i64, &[]));
                };
                let builder = meter.i64_observable_up_down_counter(name);
                builder.with_unit(unit).with_description(help).with_callback(observe).build();
            }
            Instrument::Gauge | Instrument::Histogram => {
                let observe = move |observer: &dyn AsyncInstrument<f64>| {
                    value().into_iter().for_each(|value| observer.observe(value, &[]));
                };
                meter
                    .f64_observable_gauge(name)
                    .with_unit(unit)
                    .with_description(help)
                    .with_callback(observe)
                    .build();
            }
        }
    }
}

#[cfg(feature = "tokio")]
fn runtime_metrics(handle: &tokio::runtime::Handle, meter: &Meter) {
    use crate::runtime::{ROWS, Value};
    for row in ROWS {
        let runtime = handle.metrics();
        let (name, unit, help) = (row.def.name, row.def.unit.ucum(), row.def.help);
        match row.value {
            Value::Now(read) => {
                meter
                    .u64_observable_gauge(name)
                    .with_unit(unit)
                    .with_description(help)
                    .with_callback(move |observer| observer.observe(read(&runtime), &[]))
                    .build();
            }
            Value::OfWorker(read) => {
                meter
                    .f64_observable_counter(name)
                    .with_unit(unit)
                    .with_description(help)
                    .with_callback(move |observer| {
                        for worker in 0..runtime.num_workers() {
                            let attribute = KeyValue::new("tokio.worker", worker as i64);
                            observer.observe(read(&runtime, worker), &[attribute]);
                        }
                    })
                    .build();
            }
        }
    }
}

#[cfg(feature = "tasks")]
fn task_metrics(monitors: &crate::tasks::Monitors, meter: &Meter) {
    for row in crate::tasks::ROWS {
        if monitors.is_empty() {
            continue;
        }
        let monitors = monitors.clone();
        let (name, unit) = (row.def.name, row.def.unit.ucum());
        meter
            .f64_observable_counter(name)
            .with_unit(unit)
            .with_description(row.def.help)
            .with_callback(move |observer| {
                for (task, monitor) in &monitors {
                    let attribute = KeyValue::new("tokio.task", *task);
                    observer.observe((row.value)(&monitor.cumulative()), &[attribute]);
                }
            })
            .build();
    }
}

//! The same numbers for an OpenTelemetry meter, under the names of its semantic conventions.

use std::sync::Arc;

use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;

use crate::RuntimeMetrics;
use crate::process::{ProcessCollector, Reading};
use crate::spans::{DECISIONS, DropReason, ErrorType, Ledger};

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

/// Gives a callback each value with its attributes.
type Observe = fn(&Ledger, &mut dyn FnMut(u64, &[KeyValue]));

/// Semantic conventions of the OpenTelemetry SDK's own metrics.
fn spans(ledger: &Arc<Ledger>, meter: &Meter) {
    let counter = |name, unit, help, observe: Observe| {
        let ledger = Arc::clone(ledger);
        meter
            .u64_observable_counter(name)
            .with_unit(unit)
            .with_description(help)
            .with_callback(move |observer| observe(&ledger, &mut |value, with| observer.observe(value, with)))
            .build();
    };
    let level = |name, help, read: fn(&Ledger) -> u64, attribute: Option<KeyValue>| {
        let ledger = Arc::clone(ledger);
        meter
            .i64_observable_up_down_counter(name)
            .with_unit("{span}")
            .with_description(help)
            .with_callback(move |observer| observer.observe(read(&ledger) as i64, attribute.as_slice()))
            .build();
    };
    counter("otel.sdk.span.started", "{span}", "Spans that were created.", |ledger, observe| {
        for (decision, count) in DECISIONS.into_iter().zip(ledger.decided()) {
            observe(count, &[KeyValue::new("otel.span.sampling_result", decision)]);
        }
    });
    let sampled = KeyValue::new("otel.span.sampling_result", "RECORD_AND_SAMPLE");
    level("otel.sdk.span.live", "Spans that have not ended.", |l| l.counts().live, Some(sampled));
    counter(
        "otel.sdk.processor.span.processed",
        "{span}",
        "Spans that the processor is done with.",
        |ledger, observe| {
            let counts = ledger.counts();
            observe(counts.in_flight + counts.exported + counts.failed, &[]);
            for (reason, count) in DropReason::ALL.into_iter().zip(ledger.dropped()) {
                let name = match reason {
                    DropReason::QueueFull => "queue_full",
                    DropReason::Shutdown => "already_shutdown",
                };
                observe(count, &[KeyValue::new(ERROR_TYPE, name)]);
            }
        },
    );
    level("otel.sdk.processor.span.queue.size", "Spans in the queue.", |l| l.counts().queued, None);
    level("otel.sdk.processor.span.queue.capacity", "Room in the queue.", Ledger::queue_spans_max, None);
    level("otel.sdk.exporter.span.inflight", "Spans being exported.", |l| l.counts().in_flight, None);
    counter("otel.sdk.exporter.span.exported", "{span}", "Spans whose export ended.", |ledger, observe| {
        observe(ledger.counts().exported, &[]);
        for (error, count) in ErrorType::ALL.into_iter().zip(ledger.failed()) {
            if count > 0 {
                observe(count, &[KeyValue::new(ERROR_TYPE, error.as_str())]);
            }
        }
    });
    // A second meter gets no durations: one export is one recording.
    ledger.operations.get_or_init(|| {
        meter
            .f64_histogram("otel.sdk.exporter.operation.duration")
            .with_unit("s")
            .with_description("How long exports took.")
            .build()
    });
}

/// Semantic conventions of operating system processes. CPU time is the sum of all modes.
fn process_metrics(process: &Arc<ProcessCollector>, meter: &Meter) {
    let level = |name, unit, help, read: fn(&Reading) -> Option<f64>| {
        let process = Arc::clone(process);
        meter
            .i64_observable_up_down_counter(name)
            .with_unit(unit)
            .with_description(help)
            .with_callback(move |observer| {
                if let Some(value) = read(&process.read()) {
                    observer.observe(value as i64, &[]);
                }
            })
            .build();
    };
    level("process.memory.usage", "By", "Resident memory.", |reading| reading.resident_bytes);
    level("process.memory.virtual", "By", "Virtual memory.", |reading| reading.virtual_bytes);
    level("process.thread.count", "{thread}", "Threads.", |reading| reading.threads);
    let descriptors = "process.unix.file_descriptor.count";
    level(descriptors, "{file_descriptor}", "Open file descriptors.", |reading| reading.open_fds);
    let read = Arc::clone(process);
    meter
        .f64_observable_counter("process.cpu.time")
        .with_unit("s")
        .with_description("CPU time of all threads.")
        .with_callback(move |observer| {
            if let Some(seconds) = read.read().cpu_seconds {
                observer.observe(seconds, &[]);
            }
        })
        .build();
    let read = Arc::clone(process);
    meter
        .f64_observable_gauge("process.uptime")
        .with_unit("s")
        .with_description("Time since the process started.")
        .with_callback(move |observer| {
            let now = std::time::UNIX_EPOCH.elapsed().ok();
            if let (Some(now), Some(start)) = (now, read.read().start_seconds) {
                observer.observe((now.as_secs_f64() - start).max(0.0), &[]);
            }
        })
        .build();
}

#[cfg(feature = "tokio")]
fn runtime_metrics(handle: &tokio::runtime::Handle, meter: &Meter) {
    use crate::runtime::{ROWS, Value};
    for row in ROWS {
        let runtime = handle.metrics();
        let (name, unit, help) = (row.otel.name, row.otel.unit, row.head.help);
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
        let (name, unit) = (row.otel.name, row.otel.unit);
        meter
            .f64_observable_counter(name)
            .with_unit(unit)
            .with_description(row.head.help)
            .with_callback(move |observer| {
                for (task, monitor) in &monitors {
                    let attribute = KeyValue::new("tokio.task", *task);
                    observer.observe((row.value)(&monitor.cumulative()), &[attribute]);
                }
            })
            .build();
    }
}

//! What Tokio's metrics say of tasks whose number and course are known.

use std::sync::Arc;
use std::time::Duration;

use prometheus::{Registry, TextEncoder};
use runtime_metrics::RuntimeMetrics;
use tokio::sync::Barrier;
use tokio_metrics::TaskMonitor;

fn value(registry: &Registry, series: &str) -> f64 {
    let page = TextEncoder::new().encode_to_string(&registry.gather()).expect("a page");
    let line = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {series} on:\n{page}")).parse().expect("a number")
}

#[test]
fn a_runtime_has_its_workers_tasks_and_queue() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(3).build().expect("a runtime");
    let registry = Registry::new();
    RuntimeMetrics::builder().tokio(runtime.handle().clone()).register(&registry).expect("an empty registry");
    assert_eq!(value(&registry, "tokio_runtime_workers"), 3.0);
    assert_eq!(value(&registry, "tokio_runtime_alive_tasks"), 0.0);

    let barrier = Arc::new(Barrier::new(6));
    let tasks: Vec<_> = (0..5)
        .map(|_| {
            let barrier = Arc::clone(&barrier);
            runtime.spawn(async move { barrier.wait().await.is_leader() })
        })
        .collect();
    assert_eq!(value(&registry, "tokio_runtime_alive_tasks"), 5.0);
    runtime.block_on(async {
        barrier.wait().await;
        for task in tasks {
            task.await.expect("it ends");
        }
    });
    // A task's handle is ready just before the runtime forgets the task.
    while value(&registry, "tokio_runtime_alive_tasks") > 0.0 {
        std::thread::yield_now();
    }
}

/// On a runtime that nothing drives, what is spawned stays where it is put.
#[test]
fn what_nobody_has_taken_yet_waits_in_the_queue() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let registry = Registry::new();
    RuntimeMetrics::builder().tokio(runtime.handle().clone()).register(&registry).expect("an empty registry");
    let tasks: Vec<_> = (0..4).map(|_| runtime.spawn(async {})).collect();
    assert_eq!(value(&registry, "tokio_runtime_global_queue_depth"), 4.0);
    assert_eq!(value(&registry, "tokio_runtime_alive_tasks"), 4.0);
    let busy = r#"tokio_runtime_worker_busy_duration_seconds_total{worker="0"}"#;
    let before = value(&registry, busy);
    runtime.block_on(async {
        for task in tasks {
            task.await.expect("it ends");
        }
        let start = std::time::Instant::now();
        while start.elapsed() < Duration::from_millis(5) {}
        tokio::task::yield_now().await;
    });
    assert_eq!(value(&registry, "tokio_runtime_global_queue_depth"), 0.0);
    assert_eq!(value(&registry, "tokio_runtime_alive_tasks"), 0.0);
    assert!(value(&registry, busy) >= before + 0.005, "{before} {}", value(&registry, busy));
}

#[tokio::test]
async fn a_monitor_counts_polls_and_time() {
    let (registry, monitor) = (Registry::new(), TaskMonitor::new());
    RuntimeMetrics::builder()
        .task_monitor("other", TaskMonitor::new())
        .task_monitor("orders", TaskMonitor::new())
        .task_monitor("orders", monitor.clone())
        .register(&registry)
        .expect("an empty registry");
    let of = |name: &str, task: &str| value(&registry, &format!(r#"tokio_task_{name}{{task="{task}"}}"#));
    assert_eq!(of("polls_total", "orders"), 0.0);
    for _ in 0..3 {
        let task = monitor.instrument(async {
            tokio::task::yield_now().await;
            let start = std::time::Instant::now();
            while start.elapsed() < Duration::from_millis(2) {}
        });
        tokio::spawn(task).await.expect("it ends");
    }
    assert_eq!(of("instrumented_total", "orders"), 3.0);
    assert_eq!(of("dropped_total", "orders"), 3.0);
    assert_eq!(of("polls_total", "orders"), 6.0);
    assert!(of("slow_polls_total", "orders") >= 3.0);
    assert!(of("poll_duration_seconds_total", "orders") >= 0.006);
    assert!(of("scheduled_total", "orders") >= 3.0);
    assert!(of("scheduled_duration_seconds_total", "orders") > 0.0);
    assert_eq!(of("polls_total", "other"), 0.0);
}

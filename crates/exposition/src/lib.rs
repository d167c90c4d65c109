//! The Prometheus exposition formats: text 0.0.4, OpenMetrics 1.0.0 and delimited protobuf, written fast and negotiated by Accept.

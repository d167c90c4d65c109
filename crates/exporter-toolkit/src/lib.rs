//! An HTTP server for any Prometheus exporter: limits, routes, gzip, graceful drain.

//! Metric definitions as values: name, unit, instrument, attributes, and the rules that derive a Prometheus name from them.

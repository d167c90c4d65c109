//! A service's own table of metrics, checked and printed.

#![expect(clippy::print_stdout, reason = "an example prints")]

use metric_schema::{MetricDef, Unit, check_definition};

const TABLE: &[MetricDef] = &[
    MetricDef::counter("shop.requests", Unit::Count("{request}"), "http", "Requests answered."),
    MetricDef::up_down("shop.cache", Unit::Bytes, "memory", "Memory held by the cache."),
];

fn main() -> Result<(), metric_schema::NameError> {
    for def in TABLE {
        check_definition(def)?;
        println!("{} {} ({})", def.instrument.prometheus_type(), def.prometheus_name(), def.unit.ucum());
    }
    Ok(())
}

//! Group network: `/proc/<pid>/net/dev`, by interface.

use cgroup_reader::{At, Field, Scale, SourceKey};
use metric_schema::{Alias, Attribute, MetricDef, OtelMetric, Unit, Values};

use super::{Dimension, Row, Source, cpu::cadvisor, rows};
use crate::Group;

const G: &str = Group::Network.as_str();
const INTERFACE: &[Attribute] =
    &[Attribute::new("interface", Values::Capped(64)).otel("network.interface.name")];

/// The constants of this file.
pub(super) mod ids {
    pub use super::{
        NETWORK_RECEIVE_BYTES, NETWORK_RECEIVE_DROPPED, NETWORK_RECEIVE_ERRORS, NETWORK_RECEIVE_PACKETS,
        NETWORK_TRANSMIT_BYTES, NETWORK_TRANSMIT_DROPPED, NETWORK_TRANSMIT_ERRORS, NETWORK_TRANSMIT_PACKETS,
    };
}

const fn column(name: &'static str) -> Source {
    Source::PerKey(
        Dimension::Interface,
        SourceKey::same(At::proc("net/dev", Field::Column(name), Scale::One)),
    )
}

rows! { super::io::END;
    NETWORK_RECEIVE_BYTES = Row::container(Group::Network,
        MetricDef::counter("container.network.receive", Unit::Bytes, G, "Bytes received.")
            .otel(OtelMetric::counter("container.network.io", Unit::Bytes).with(&[("network.io.direction", "receive")]).by_convention())
            .by(INTERFACE).aliased(cadvisor!("container_network_receive_bytes_total")),
        column("rx_bytes"));
    NETWORK_RECEIVE_PACKETS = Row::container(Group::Network,
        MetricDef::counter("container.network.receive.packets", Unit::Count("{packet}"), G, "Packets received.")
            .otel(OtelMetric::counter("container.network.packets", Unit::Count("{packet}")).with(&[("network.io.direction", "receive")]))
            .by(INTERFACE).aliased(cadvisor!("container_network_receive_packets_total")),
        column("rx_packets"));
    NETWORK_RECEIVE_DROPPED = Row::container(Group::Network,
        MetricDef::counter("container.network.receive.packets_dropped", Unit::Count("{packet}"), G,
            "Packets dropped on receipt.")
            .otel(OtelMetric::counter("container.network.dropped", Unit::Count("{packet}")).with(&[("network.io.direction", "receive")]))
            .by(INTERFACE).aliased(cadvisor!("container_network_receive_packets_dropped_total")),
        column("rx_drop"));
    NETWORK_RECEIVE_ERRORS = Row::container(Group::Network,
        MetricDef::counter("container.network.receive.errors", Unit::Count("{error}"), G, "Receive errors.")
            .otel(OtelMetric::counter("container.network.errors", Unit::Count("{error}")).with(&[("network.io.direction", "receive")]))
            .by(INTERFACE).aliased(cadvisor!("container_network_receive_errors_total")),
        column("rx_errs"));
    NETWORK_TRANSMIT_BYTES = Row::container(Group::Network,
        MetricDef::counter("container.network.transmit", Unit::Bytes, G, "Bytes sent.")
            .otel(OtelMetric::counter("container.network.io", Unit::Bytes).with(&[("network.io.direction", "transmit")]).by_convention())
            .by(INTERFACE).aliased(cadvisor!("container_network_transmit_bytes_total")),
        column("tx_bytes"));
    NETWORK_TRANSMIT_PACKETS = Row::container(Group::Network,
        MetricDef::counter("container.network.transmit.packets", Unit::Count("{packet}"), G, "Packets sent.")
            .otel(OtelMetric::counter("container.network.packets", Unit::Count("{packet}")).with(&[("network.io.direction", "transmit")]))
            .by(INTERFACE).aliased(cadvisor!("container_network_transmit_packets_total")),
        column("tx_packets"));
    NETWORK_TRANSMIT_DROPPED = Row::container(Group::Network,
        MetricDef::counter("container.network.transmit.packets_dropped", Unit::Count("{packet}"), G,
            "Packets dropped on sending.")
            .otel(OtelMetric::counter("container.network.dropped", Unit::Count("{packet}")).with(&[("network.io.direction", "transmit")]))
            .by(INTERFACE).aliased(cadvisor!("container_network_transmit_packets_dropped_total")),
        column("tx_drop"));
    NETWORK_TRANSMIT_ERRORS = Row::container(Group::Network,
        MetricDef::counter("container.network.transmit.errors", Unit::Count("{error}"), G, "Send errors.")
            .otel(OtelMetric::counter("container.network.errors", Unit::Count("{error}")).with(&[("network.io.direction", "transmit")]))
            .by(INTERFACE).aliased(cadvisor!("container_network_transmit_errors_total")),
        column("tx_errs"));
}

//! What every row must keep.

use std::collections::{BTreeMap, BTreeSet};

use metric_schema::Instrument;

use super::*;

#[test]
fn every_definition_is_legal() {
    for (_, row) in get().iter() {
        metric_schema::check_definition(&row.def).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(row.def.group, row.group.as_str(), "{}", row.def.name);
        assert_ne!(row.def.instrument, Instrument::Histogram, "{}: a reading is one number", row.def.name);
    }
}

/// Rows that share a name are one family: they must agree on everything but their fixed labels, which must differ,
/// and stand together, so that HELP and TYPE come once.
#[test]
fn families_are_whole() {
    for profile in [None, Some("cadvisor")] {
        let mut seen: BTreeMap<String, Vec<(usize, &Row)>> = BTreeMap::new();
        for (id, row) in get().iter().filter(|(_, row)| !row.hidden) {
            let name = match profile {
                None if row.def.only_aliased.is_some() => continue,
                None => row.def.prometheus_name(),
                Some(profile) => match row.def.alias(profile) {
                    Some(alias) => alias.name.to_owned(),
                    None => continue,
                },
            };
            seen.entry(name).or_default().push((id.index(), row));
        }
        for (name, rows) in seen {
            let (first_at, first) = rows[0];
            let fixed: BTreeSet<_> = rows.iter().map(|(_, row)| row.def.labels).collect();
            assert_eq!(fixed.len(), rows.len(), "{name}: two rows with the same fixed labels");
            for (offset, (at, row)) in rows.iter().enumerate() {
                assert_eq!(*at, first_at + offset, "{name}: rows of one family stand apart");
                assert_eq!(row.def.help, first.def.help, "{name}");
                assert_eq!(row.def.unit, first.def.unit, "{name}");
                assert_eq!(row.def.instrument, first.def.instrument, "{name}");
                assert_eq!(row.entity, first.entity, "{name}");
            }
        }
    }
}

#[test]
fn attributes_are_labels_of_the_dimension() {
    for (_, row) in get().iter() {
        match (row.source.dimension(), row.def.attributes) {
            (None, attributes) => {
                assert!(
                    attributes.is_empty() || matches!(row.source, Source::StateSet(_)),
                    "{}",
                    row.def.name
                );
            }
            (Some(dimension), attributes) => {
                assert!(!attributes.is_empty(), "{}", row.def.name);
                for attribute in attributes {
                    assert!(
                        dimension.labels().contains(&attribute.name),
                        "{}: {}",
                        row.def.name,
                        attribute.name
                    );
                }
            }
        }
    }
}

#[test]
fn dimensions_are_indexed_in_order() {
    for (index, dimension) in Dimension::ALL.into_iter().enumerate() {
        assert_eq!(dimension as usize, index);
    }
}

#[test]
fn ids_point_at_their_rows() {
    assert_eq!(get().row(ids::CPU_USAGE).def.prometheus_name(), "container_cpu_usage_seconds_total");
    assert_eq!(get().row(ids::HTTP_CONNECTIONS).def.prometheus_name(), "container_exporter_http_connections");
    assert_eq!(get().row(ids::MACHINE_SWAP).def.prometheus_name(), "machine_swap_bytes");
}

/// The names that the replaced systems' users already spell.
#[test]
fn names_of_s0_are_there() {
    let names: BTreeSet<String> =
        get().iter().filter(|(_, row)| !row.hidden).map(|(_, row)| row.def.prometheus_name()).collect();
    for name in [
        "container_cpu_usage_percent",
        "container_memory_usage_bytes",
        "container_memory_limit_bytes",
        "container_memory_usage_percent",
        "container_network_receive_bytes_total",
        "container_network_transmit_bytes_total",
        "container_fs_reads_bytes_total",
        "container_fs_writes_bytes_total",
        "container_count",
    ] {
        assert!(names.contains(name), "{name}");
    }
}

#[test]
fn rows_of_containers_come_first() {
    for (id, row) in get().iter() {
        assert_eq!(row.entity == Entity::Container, id.index() < get().container_rows(), "{}", row.def.name);
        let is_short = row.entity == Entity::Container && row.group.is_standard();
        assert_eq!(is_short, id.index() < get().container_rows_of(Groups::standard()), "{}", row.def.name);
        let room = get().container_rows_of(Groups::NONE.with(row.group));
        assert!(row.entity != Entity::Container || id.index() < room, "{}", row.def.name);
    }
}

/// `container_info * on (image_id) group_left () max by (image_id) (engine_image_size_bytes)`, as docs/metrics.md has it.
#[test]
fn containers_and_images_have_the_label_that_joins_them() {
    let mut container =
        crate::Container::new(crate::ContainerId::new("a"), crate::Engine::Docker, crate::State::Running);
    container.image_id = Some("sha256:1".into());
    let Source::Info(labels) = get().row(ids::INFO).source else { panic!("container_info has labels") };
    assert!(labels(&container).contains(&("image_id", "sha256:1".into())));
    for row in [ids::ENGINE_IMAGE_SIZE, ids::ENGINE_IMAGE_CREATED] {
        assert!(get().row(row).def.attributes.iter().any(|attribute| attribute.name == "image_id"));
    }
}

//! Reads `/info`, `/images/json`, `/volumes`, `/networks` and `/system/df`.

use collector_core::catalogue::ids::IMAGES_MAX;
use serde_json::value::RawValue;

use crate::{
    json::{Faults, Object},
    read::image_id,
};

/// Longest text of an image that becomes a label.
const LABEL_CHARS_MAX: usize = 256;

/// An image of `GET /images/json`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Image {
    /// `Id`, `sha256:…`.
    pub(super) id: String,
    /// The first of `RepoTags`; empty for one that has no name.
    pub(super) name: String,
    /// What follows the `@` in the first of `RepoDigests`; empty for one that came from no registry.
    pub(super) digest: String,
    /// `Size`.
    pub(super) bytes: Option<u64>,
    /// `Created`, nanoseconds since 1970.
    pub(super) created_nanos: Option<u64>,
}

/// Bytes of one kind of thing in `GET /system/df`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Disk {
    /// One of [`collector_core::catalogue::ids::DISK_TYPES`].
    pub(super) kind: &'static str,
    /// All.
    pub(super) total: u64,
    /// What a prune could free; never more than all.
    pub(super) reclaimable: u64,
}

fn natural(object: &Object<'_>, key: &str) -> Option<u64> {
    object.integer(key, &Faults::default()).and_then(|number| u64::try_from(number).ok())
}

/// Images and containers of `GET /info`.
pub(super) fn info(body: &str) -> Option<Vec<(&'static str, u64)>> {
    let answer = Object::parse(body)?;
    let counts: Vec<_> = [("images", "Images"), ("containers", "Containers")]
        .into_iter()
        .filter_map(|(kind, key)| Some((kind, natural(&answer, key)?)))
        .collect();
    (!counts.is_empty()).then_some(counts)
}

/// How many `Volumes` there are in `GET /volumes`.
pub(super) fn volumes(body: &str) -> Option<u64> {
    let answer = Object::parse(body)?;
    let has_field = answer.keys().any(|key| key == "Volumes");
    let volumes = answer.array("Volumes", &Faults::default());
    // Null where there is none.
    match (volumes, answer.raw("Volumes")) {
        (Some(volumes), _) => Some(volumes.len() as u64),
        (None, None) if has_field => Some(0),
        (None, _) => None,
    }
}

/// How many there are in `GET /networks`.
pub(super) fn networks(body: &str) -> Option<u64> {
    let networks: Option<Vec<&RawValue>> = serde_json::from_str(body).ok()?;
    Some(networks.map_or(0, |networks| networks.len() as u64))
}

/// The largest images of `GET /images/json`.
pub(super) fn images(body: &str) -> Option<Vec<Image>> {
    let entries: Option<Vec<&RawValue>> = serde_json::from_str(body).ok()?;
    let mut images: Vec<Image> =
        entries.unwrap_or_default().iter().filter_map(|entry| image(entry)).collect();
    images.sort_by(|one, other| other.bytes.cmp(&one.bytes).then_with(|| one.id.cmp(&other.id)));
    // Podman lists an image once for each of its names.
    images.dedup_by(|later, first| later.id == first.id);
    images.truncate(IMAGES_MAX);
    Some(images)
}

fn image(entry: &RawValue) -> Option<Image> {
    let faults = Faults::default();
    let entry = Object::parse(entry.get())?;
    let first = |key| {
        let names = entry.array(key, &faults)?;
        let name: String = serde_json::from_str(names.first()?.get()).ok()?;
        (!name.starts_with("<none>")).then_some(name)
    };
    let digest = first("RepoDigests").and_then(|name| Some(name.split_once('@')?.1.to_owned()));
    let cut = |text: String| text.chars().take(LABEL_CHARS_MAX).collect::<String>();
    Some(Image {
        id: cut(image_id(entry.word("Id", &faults)?).to_string()),
        name: cut(first("RepoTags").unwrap_or_default()),
        digest: cut(digest.unwrap_or_default()),
        bytes: natural(&entry, "Size"),
        created_nanos: natural(&entry, "Created").and_then(|seconds| seconds.checked_mul(1_000_000_000)),
    })
}

/// Sums of one kind: all bytes, those that a prune could free.
type Sums = (u64, u64);

/// Reads `GET /system/df`. From API 1.52 it has sums by kind (`ImageUsage` and the like), which 1.53 has alone; before, it
/// lists everything, and the sums are made as the engine's own command line makes them. A kind that neither shape tells is
/// left out.
pub(super) fn disk(body: &str) -> Option<Vec<Disk>> {
    let answer = Object::parse(body)?;
    let kinds: [(&'static str, &str, Option<Sums>); 4] = [
        ("images", "ImageUsage", listed_images(&answer)),
        ("containers", "ContainerUsage", listed(&answer, "Containers", container)),
        ("volumes", "VolumeUsage", listed(&answer, "Volumes", volume)),
        ("build_cache", "BuildCacheUsage", listed(&answer, "BuildCache", cache)),
    ];
    let disks: Vec<_> = kinds
        .into_iter()
        .filter_map(|(kind, summed, listed)| {
            let (total, reclaimable) = sums(&answer, summed).or(listed)?;
            Some(Disk { kind, total, reclaimable: reclaimable.min(total) })
        })
        .collect();
    (!disks.is_empty()).then_some(disks)
}

/// API ≥ 1.52. What is 0 may be left out.
fn sums(answer: &Object<'_>, key: &str) -> Option<Sums> {
    let usage = answer.object(key, &Faults::default())?;
    let bytes = |key| natural(&usage, key).unwrap_or(0);
    Some((bytes("TotalSize"), bytes("Reclaimable")))
}

/// API < 1.52: each entry adds its bytes to all, and to what could be freed if nobody uses it.
fn listed(answer: &Object<'_>, key: &str, of: fn(&Object<'_>) -> (u64, bool)) -> Option<Sums> {
    if !answer.keys().any(|name| name == key) {
        return None;
    }
    let entries = answer.array(key, &Faults::default()).unwrap_or_default();
    let entries = entries.iter().filter_map(|entry| Object::parse(entry.get()));
    Some(entries.fold((0_u64, 0_u64), |(total, free), entry| {
        let (bytes, is_free) = of(&entry);
        (total.saturating_add(bytes), free.saturating_add(if is_free { bytes } else { 0 }))
    }))
}

/// Layers are shared between images: all of them are in `LayersSize`, and those of an image that no container uses are free
/// but for what it shares.
fn listed_images(answer: &Object<'_>) -> Option<Sums> {
    let all = natural(answer, "LayersSize")?;
    let used = |image: &Object<'_>| {
        let is_used = image.integer("Containers", &Faults::default()).is_some_and(|count| count > 0);
        let own = natural(image, "Size").zip(natural(image, "SharedSize"));
        (own.map_or(0, |(size, shared)| size.saturating_sub(shared)), is_used)
    };
    let (_, used) = listed(answer, "Images", used)?;
    Some((all, all.saturating_sub(used)))
}

/// The writable layer of a container; free where the container has no process.
fn container(entry: &Object<'_>) -> (u64, bool) {
    let state = entry.word("State", &Faults::default()).unwrap_or_default();
    let runs = ["running", "paused", "restarting"].contains(&state.as_str());
    (natural(entry, "SizeRw").unwrap_or(0), !runs)
}

/// A volume whose size is not known counts nothing: the engine says -1 then.
fn volume(entry: &Object<'_>) -> (u64, bool) {
    let Some(usage) = entry.object("UsageData", &Faults::default()) else { return (0, false) };
    (natural(&usage, "Size").unwrap_or(0), natural(&usage, "RefCount") == Some(0))
}

/// A record of the build cache; what is shared belongs to an image.
fn cache(entry: &Object<'_>) -> (u64, bool) {
    let is = |key| entry.flag(key, &Faults::default()) == Some(true);
    (natural(entry, "Size").unwrap_or(0), !is("InUse") && !is("Shared"))
}

#[cfg(test)]
mod tests {
    use test_support::engine::fixture;

    use super::*;
    use crate::read::{self, Owner};

    fn sums_of(body: &str) -> Vec<(&'static str, u64, u64)> {
        let disks = disk(body).expect("an answer");
        disks.iter().map(|disk| (disk.kind, disk.total, disk.reclaimable)).collect()
    }

    /// Both shapes are of one imagined host, so that they must come to the same.
    #[test]
    fn both_shapes_of_disk_usage_say_the_same() {
        let expect = [
            ("images", 7_000_000, 1_500_000),
            ("containers", 4_608, 512),
            ("volumes", 1_052_672, 4_096),
            ("build_cache", 300_000, 200_000),
        ];
        assert_eq!(sums_of(&fixture("engine-20.10/system-df.json")), expect);
        assert_eq!(sums_of(&fixture("engine-29/system-df.json")), expect);
        // API 1.52 itself may tell both ways; the sums are the engine's own.
        let both = r#"{"LayersSize":5,"Images":[],"ImageUsage":{"TotalSize":9,"Reclaimable":12}}"#;
        assert_eq!(sums_of(both), [("images", 9, 9)], "never more than there is");
    }

    #[test]
    fn what_engines_leave_out_is_left_out() {
        assert_eq!(disk("[]"), None);
        assert_eq!(disk("{}"), None);
        assert_eq!(sums_of(r#"{"Volumes":null}"#), [("volumes", 0, 0)]);
        assert_eq!(sums_of(r#"{"VolumeUsage":{}}"#), [("volumes", 0, 0)]);
        let unknown = r#"{"Volumes":[{"UsageData":{"Size":-1,"RefCount":0}},{"UsageData":null},"odd"]}"#;
        assert_eq!(sums_of(unknown), [("volumes", 0, 0)]);
        let huge =
            r#"{"Containers":[{"SizeRw":9223372036854775807},{"SizeRw":9223372036854775807},{"SizeRw":9}]}"#;
        assert_eq!(sums_of(huge), [("containers", u64::MAX, u64::MAX)]);
    }

    #[test]
    fn counts_are_read() {
        assert_eq!(info(&fixture("engine-20.10/info.json")), Some(vec![("images", 1), ("containers", 10)]));
        assert_eq!(info("{}"), None);
        assert_eq!(volumes(r#"{"Volumes":[{},{}],"Warnings":null}"#), Some(2));
        assert_eq!(volumes(r#"{"Volumes":null}"#), Some(0));
        assert_eq!(volumes(r#"{"Volumes":3}"#), None);
        assert_eq!(volumes("{}"), None);
        assert_eq!(networks("[{},{},{}]"), Some(3));
        assert_eq!(networks("null"), Some(0));
        assert_eq!(networks("{}"), None);
    }

    /// However an engine spells them: with or without their algorithm, in its lists and for one container.
    #[test]
    fn containers_and_images_are_joined_by_the_same_id() {
        let owner = Owner { engine: collector_core::Engine::Docker, uid: None };
        for (engine, list, inspect) in [
            ("before API 1.52", "engine-20.10/list.json", "engine-20.10/inspect-web.json"),
            ("API 1.52", "engine-29/list.json", "engine-29/inspect-web.json"),
            ("Podman", "podman/list.json", "podman/inspect-sick.json"),
        ] {
            let (list, inspect) = (fixture(list), fixture(inspect));
            let told =
                read::inspect(&inspect, &collector_core::ContainerId::new("x"), owner).expect("a container");
            let id = told.container.image_id.expect("an image");
            let bare = id.strip_prefix("sha256:").expect("an algorithm").to_owned();
            for spelled in [&*id, &*bare] {
                for list in [list.replace(&*id, spelled), list.clone()] {
                    let listed = read::list(&list, owner).expect("a list").containers;
                    assert!(
                        listed.iter().any(|seen| seen.container.image_id.as_ref() == Some(&id)),
                        "{engine}"
                    );
                }
                let inspect = inspect.replace(&*id, spelled);
                let asked = read::inspect(&inspect, &collector_core::ContainerId::new("x"), owner);
                assert_eq!(asked.expect("a container").container.image_id.as_ref(), Some(&id), "{engine}");
                let body = format!(r#"[{{"Id":"{spelled}","RepoTags":["app:1"],"Size":7}}]"#);
                assert_eq!(images(&body).expect("a list")[0].id, *id, "{engine}");
            }
        }
    }

    #[test]
    fn images_are_the_largest_and_each_once() {
        let body = r#"[{"Id":"sha256:a","RepoTags":["app:1"],"RepoDigests":["app@sha256:d"],"Size":7,"Created":2},
            {"Id":"sha256:b","RepoTags":["<none>:<none>"],"RepoDigests":null,"Size":9,"Created":-5},
            {"Id":"sha256:a","RepoTags":["app:2"],"Size":7},{"Size":99},4]"#;
        let image = |id: &str, name: &str, digest: &str, bytes, created_nanos| Image {
            id: id.into(),
            name: name.into(),
            digest: digest.into(),
            bytes,
            created_nanos,
        };
        let expect = [
            image("sha256:b", "", "", Some(9), None),
            image("sha256:a", "app:1", "sha256:d", Some(7), Some(2_000_000_000)),
        ];
        assert_eq!(images(body).expect("a list"), expect);
        let many: Vec<_> = (0..IMAGES_MAX + 5).map(|n| format!(r#"{{"Id":"{n}","Size":{n}}}"#)).collect();
        let kept = images(&format!("[{}]", many.join(","))).expect("a list");
        assert_eq!((kept.len(), kept[0].bytes), (IMAGES_MAX, Some(IMAGES_MAX as u64 + 4)));
        assert_eq!(images("{}"), None);
    }
}

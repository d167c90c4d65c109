//! What an engine holds and the disk space that takes, against what the engine's own command line says of it.

use std::collections::{BTreeMap, BTreeSet};

use collector_core::catalogue::ids::QUESTIONS;

use crate::harness::{Daemon, LiveRestore, Page, Scope, assert_near, is_emulated, leave_out};
use crate::numbers::table::unix_seconds;

/// What `docker system df` calls the values of the label `type`.
const KINDS: [(&str, &str); 4] = [
    ("Images", "images"),
    ("Containers", "containers"),
    ("Local Volumes", "volumes"),
    ("Build Cache", "build_cache"),
];

/// Bytes as the command line writes them, four digits of them: `1.234MB`.
fn bytes(text: &str) -> f64 {
    let number = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let factor = match &text[number.len()..] {
        "B" => 1.0,
        "kB" => 1e3,
        "MB" => 1e6,
        "GB" => 1e9,
        unit => panic!("{text}: {unit} is no unit of the command line"),
    };
    factor * number.parse::<f64>().expect("a number")
}

/// All bytes of each kind, and those that a prune would free.
fn disk(scope: &Scope) -> BTreeMap<&'static str, [f64; 2]> {
    let said = scope.cli(&["system", "df", "--format", "{{.Type}}|{{.Size}}|{{.Reclaimable}}"]);
    let kind = |line: &str| {
        let mut words = line.split('|');
        let mut word = || words.next().expect("three words");
        let (name, all, free) = (word(), word(), word());
        let kind = KINDS.iter().find(|kind| kind.0 == name).expect("a known type").1;
        // Behind the bytes stands which part of all they are.
        (kind, [bytes(all), bytes(free.split(' ').next().unwrap_or(free))])
    };
    said.lines().map(kind).collect()
}

/// Whether the command line knows the engine's version of the API.
fn is_of_the_same_age(scope: &Scope) -> bool {
    let versions = scope.cli(&["version", "-f", "{{.Client.DefaultAPIVersion}} {{.Server.APIVersion}}"]);
    versions.split_once(' ').is_some_and(|(client, server)| client == server)
}

fn count(scope: &Scope, list: &[&str]) -> f64 {
    let said = scope.cli(list);
    let ids: BTreeSet<&str> = said.lines().collect();
    ids.len() as f64
}

/// Whether the engine has answered all that it is asked in the background.
pub(crate) fn has_answers(page: &Page) -> bool {
    QUESTIONS
        .iter()
        .all(|question| page.value("engine_answer_age_seconds", &[("question", question)]).is_some())
}

#[test]
fn what_an_engine_holds_and_what_that_takes_is_what_its_command_line_says() {
    if is_emulated() {
        return leave_out("an emulated guest is too slow for several engines", "what an engine holds");
    }
    let Some(daemon) = Daemon::start(LiveRestore::Off) else { return };
    let scope = daemon.scope("holdings");
    let volumes = ["used", "unused"].map(|name| scope.name(name));
    for volume in &volumes {
        scope.cli(&["volume", "create", volume]);
    }
    let [used, unused] = volumes.each_ref().map(|volume| format!("{volume}:/v"));
    let write = |to: &str, kilobytes: u32| format!("dd if=/dev/urandom of={to} bs=1000 count={kilobytes}");
    let running = scope.run("running", &["-v", &used], "sleep 1000000");
    assert!(running.exec(&format!("{} && {}", write("/v/x", 3000), write("/x", 1500))).0);
    let gone = scope.run("gone", &["-v", &unused], &write("/v/x", 2000));
    let ended = scope.run("ended", &[], &write("/y", 700));
    scope.cli(&["wait", &gone.id, &ended.id]);
    // Without the volume, which nobody has then.
    scope.cli(&["rm", &gone.id]);
    // It shares its first layer with the other image, and nobody runs it.
    scope.cli(&["commit", &ended.id, "second:local"]);
    let image = scope.cli(&["inspect", "-f", "{{.Image}}", &running.id]);

    let exporter = scope
        .exporter_of_all()
        .config("metrics", "groups = [\"standard\", \"engine\", \"engine_disk\"]")
        .start();
    let page = exporter.await_page("the engine has answered", |page| has_answers(page).then(|| page.clone()));

    let docker = ("source", "docker");
    let taken = disk(&scope);
    for (kind, [all, free]) in &taken {
        let shown = |reclaimable| {
            page.expect("engine_disk_usage_bytes", &[docker, ("type", kind), ("reclaimable", reclaimable)])
        };
        assert_near(&format!("{kind}, all"), shown("true") + shown("false"), *all, all * 1e-3);
        // A command line that is older than its engine takes images in use for free.
        if *kind != "images" || is_of_the_same_age(&scope) {
            assert_near(&format!("{kind}, reclaimable"), shown("true"), *free, free * 1e-3);
        }
    }
    assert_eq!(taken.len(), KINDS.len());
    // So that no comparison above was one of nothing with nothing.
    let [all, free] = taken["volumes"];
    assert!(all >= 5e6 && (2e6..3e6).contains(&free), "{taken:?}");
    let [all, free] = taken["containers"];
    assert!(all >= 2.2e6 && (7e5..1e6).contains(&free), "{taken:?}");
    let free = page.expect("engine_disk_usage_bytes", &[("type", "images"), ("reclaimable", "true")]);
    assert!(free >= 7e5, "the second image's own layer at least: {free}");

    for (kind, list) in [
        ("images", ["image", "ls", "-q", "--no-trunc"].as_slice()),
        ("containers", &["ps", "-a", "-q"]),
        ("volumes", &["volume", "ls", "-q"]),
        ("networks", &["network", "ls", "-q"]),
    ] {
        let shown = page.expect("engine_objects", &[docker, ("type", kind)]);
        assert_eq!(shown, count(&scope, list), "{kind}");
    }

    let listed = scope.cli(&["image", "ls", "--no-trunc", "--format", "{{.ID}}|{{.Size}}|{{.Digest}}"]);
    assert_eq!(page.all("engine_image_size_bytes", &[docker]).len(), listed.lines().count());
    for line in listed.lines() {
        let words: Vec<&str> = line.split('|').collect();
        let of_it = [docker, ("image_id", words[0])];
        let size = bytes(words[1]);
        // Three digits of them here.
        assert_near(line, page.expect("engine_image_size_bytes", &of_it), size, size * 5e-3);
        let digest = page.all("engine_image_size_bytes", &of_it)[0].label("digest");
        assert_eq!(digest, words[2].trim_start_matches("<none>"), "{line}");
        let created = unix_seconds(&scope.cli(&["image", "inspect", "-f", "{{.Created}}", words[0]]));
        assert_near(line, page.expect("engine_image_created_time_seconds", &of_it), created, 1.0);
    }
    let id = page.all("container_info", &[("container_name", &running.name)])[0].label("image_id");
    assert_eq!(id, image, "what joins containers and images");
    assert!(page.value("engine_image_size_bytes", &[("image_id", id)]).is_some(), "{image}: {listed}");
}

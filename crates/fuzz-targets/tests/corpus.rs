//! Every file of every corpus through its target, whole and cut off at every byte, on stable.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use fuzz_targets::TARGETS;

/// The longest prefix of a file that is also tried byte by byte shorter.
const CUT_BYTES_MAX: usize = 512;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus")
}

fn names(directory: &Path) -> BTreeSet<String> {
    let entries =
        std::fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    entries.map(|entry| entry.expect("readable").file_name().into_string().expect("UTF-8")).collect()
}

#[test]
#[expect(clippy::print_stdout, reason = "names the file that failed; shown with a failure only")]
fn every_corpus_passes_its_target() {
    for target in TARGETS {
        let directory = corpus().join(target.name);
        for name in names(&directory) {
            let bytes = std::fs::read(directory.join(&name)).expect("readable");
            // Shown with the failure: a target does not know what file it eats.
            println!("{}/{name}", target.name);
            (target.run)(&bytes);
            for end in 0..bytes.len().min(CUT_BYTES_MAX) {
                (target.run)(&bytes[..end]);
            }
        }
    }
}

#[test]
fn corpora_binaries_and_targets_are_the_same_list() {
    let targets: BTreeSet<String> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
    assert_eq!(targets.len(), TARGETS.len(), "a name twice");
    assert!(TARGETS.is_sorted_by_key(|target| target.name));
    assert_eq!(names(&corpus()), targets);
    let manifest = std::fs::read_to_string(corpus().join("../Cargo.toml")).expect("fuzz/Cargo.toml");
    let binaries: BTreeSet<String> = manifest
        .split("[[bin]]")
        .skip(1)
        .filter_map(|section| section.split_once("name = \"")?.1.split_once('"'))
        .map(|(name, _)| name.to_owned())
        // All of them in one.
        .filter(|name| name != "any")
        .collect();
    assert_eq!(binaries, targets, "fuzz/Cargo.toml");
    let readme = std::fs::read_to_string(corpus().join("../README.md")).expect("fuzz/README.md");
    for target in TARGETS {
        assert!(
            readme.contains(&format!("`{}`", target.name)),
            "fuzz/README.md does not say what {} reads",
            target.name
        );
        let seeds = names(&corpus().join(target.name));
        assert!(seeds.len() >= 2, "{} has {seeds:?}", target.name);
    }
}

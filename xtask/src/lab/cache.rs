//! What was built for a host or for the tests, kept under its recipe.
//!
//! A [`Recipe`] is the text of everything that makes a thing; its hash is in the directory's name. A thing is built beside that
//! and renamed when it is whole, and the recipe is written into it last: a directory without one was cut short, and is built again.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::error::{Context as _, Error, Result};
use crate::install;

/// The file that marks a whole directory.
const MARK: &str = "recipe";

/// What makes programs or files.
#[derive(Debug, Clone)]
pub(crate) struct Recipe {
    /// The host's name, or the program's.
    pub(crate) name: &'static str,
    /// Everything that the result depends on.
    pub(crate) text: String,
    /// What the result cannot do without, in its directory: somebody may have cleaned up there.
    pub(crate) parts: &'static [&'static str],
}

impl Recipe {
    fn directory_in(&self, root: &Path) -> PathBuf {
        root.join(format!("{}-{:016x}", self.name, fnv1a(self.text.as_bytes())))
    }

    /// The whole result, if it is there.
    pub(crate) fn find(&self) -> Option<PathBuf> {
        self.find_in(&root().ok()?)
    }

    fn find_in(&self, root: &Path) -> Option<PathBuf> {
        let directory = self.directory_in(root);
        let marked = fs::read_to_string(directory.join(MARK)).is_ok_and(|text| text == self.text);
        // A part may be a link that only leads somewhere inside the result.
        let has = |part: &&str| directory.join(part).symlink_metadata().is_ok();
        (marked && self.parts.iter().all(has)).then_some(directory)
    }

    /// The whole result; `build` is given an empty directory to make it in if there is none.
    pub(crate) fn ensure(&self, build: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
        self.ensure_in(&root()?, build)
    }

    fn ensure_in(&self, root: &Path, build: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
        if let Some(directory) = self.find_in(root) {
            return Ok(directory);
        }
        let directory = self.directory_in(root);
        let _alone = self.alone(root)?;
        if let Some(built_meanwhile) = self.find_in(root) {
            return Ok(built_meanwhile);
        }
        let draft = directory.with_extension("draft");
        for left in [&draft, &directory] {
            remove(left)?;
        }
        fs::create_dir(&draft).context(|| format!("failed to create {}", draft.display()))?;
        build(&draft)?;
        let finish = || {
            fs::write(draft.join(MARK), &self.text)?;
            fs::rename(&draft, &directory)
        };
        finish().context(|| format!("failed to finish {}", directory.display()))?;
        Ok(directory)
    }

    /// Waits until no other run builds the same; the lock goes with the file.
    fn alone(&self, root: &Path) -> Result<File> {
        let path = root.join(format!("{}.lock", self.name));
        let failed = || format!("failed to lock {}", path.display());
        fs::create_dir_all(root).context(|| format!("failed to create {}", root.display()))?;
        let file = File::create(&path).context(failed)?;
        rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive).context(failed)?;
        Ok(file)
    }

    /// Where it is, if it is built.
    pub(crate) fn built(&self) -> Option<PathBuf> {
        self.find_in(&root().ok()?)
    }

    /// For a person: is it built, is something older, where; else what command builds it.
    pub(crate) fn state(&self, command: &str) -> String {
        let root = match root() {
            Ok(root) => root,
            Err(error) => return error.to_string(),
        };
        let state = match self.find_in(&root) {
            Some(directory) => format!("built: {}", directory.display()),
            None => format!("not built; `{command}` does"),
        };
        let older = self.others(&root).into_iter().map(|path| {
            format!("\n         of another recipe, or cut short: {}; remove it at will", path.display())
        });
        state + &older.collect::<String>()
    }

    fn others(&self, root: &Path) -> Vec<PathBuf> {
        let ours = self.find_in(root);
        let entries = fs::read_dir(root).into_iter().flatten().flatten();
        let prefix = format!("{}-", self.name);
        entries
            .filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix))
            .map(|entry| entry.path())
            .filter(|path| Some(path) != ours.as_ref())
            .collect()
    }
}

fn root() -> Result<PathBuf> {
    let cache = install::cache().ok_or_else(|| {
        Error::failed("neither XDG_CACHE_HOME nor HOME is set, so what is built has no place")
    })?;
    Ok(cache.join("lab"))
}

fn remove(directory: &Path) -> Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::failed(format!("failed to remove {}: {error}", directory.display())))
        }
        _ => Ok(()),
    }
}

/// FNV-1a: the same in every build of this program, as std's hashes need not be. It tells recipes apart; nobody attacks it.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_fnv1a() {
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"a"), 0xaf63_dc4c_8601_ec8c);
    }

    #[test]
    fn another_recipe_has_another_place() {
        let place = |text| recipe(text).directory_in(Path::new("/"));
        assert_eq!(place("a"), place("a"));
        assert_ne!(place("a"), place("b"));
    }

    fn recipe(text: &str) -> Recipe {
        Recipe { name: "here", text: text.to_owned(), parts: &["program"] }
    }

    #[test]
    fn what_is_whole_is_built_once_and_what_is_broken_again() {
        let root = tempfile::tempdir().expect("a directory");
        let mut built = 0;
        let mut ensure = |fails: bool| {
            recipe("a").ensure_in(root.path(), |directory| {
                built += 1;
                assert_eq!(
                    fs::read_dir(directory).expect("it is there").count(),
                    0,
                    "nothing is left of before"
                );
                fs::write(directory.join("program"), "").expect("it can be written");
                if fails { Err(Error::failed("cut short")) } else { Ok(()) }
            })
        };
        assert!(ensure(true).is_err());
        let directory = ensure(false).expect("it is built");
        assert_eq!(ensure(false).expect("it is there"), directory);
        for part in ["program", MARK] {
            fs::remove_file(directory.join(part)).expect("it was there");
            assert!(recipe("a").find_in(root.path()).is_none(), "without {part}");
            ensure(false).expect("it is built again");
        }
        fs::write(directory.join(MARK), "another").expect("it can be written");
        ensure(false).expect("it is built again");
        assert_eq!(built, 5);
    }
}

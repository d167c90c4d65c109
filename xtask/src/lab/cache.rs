//! What was built for a host, kept under its recipe.
//!
//! A [`Recipe`] is the text of everything that makes a thing; its hash is in the directory's name. A thing is built beside that
//! and renamed when it is whole, and the recipe is written into it last: a directory without one was cut short, and is built again.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::error::{Context as _, Error, Result};
use crate::install;

/// The file that marks a whole directory.
const MARK: &str = "recipe";

/// What makes a host's programs or files.
#[derive(Debug, Clone)]
pub(crate) struct Recipe {
    /// The host's name.
    pub(crate) host: &'static str,
    /// Everything that the result depends on.
    pub(crate) text: String,
}

impl Recipe {
    /// Where the result stands, built or not.
    pub(crate) fn directory(&self) -> Result<PathBuf> {
        Ok(root()?.join(format!("{}-{:016x}", self.host, fnv1a(self.text.as_bytes()))))
    }

    /// The whole result, if there is one.
    pub(crate) fn find(&self) -> Option<PathBuf> {
        let directory = self.directory().ok()?;
        fs::read_to_string(directory.join(MARK)).is_ok_and(|text| text == self.text).then_some(directory)
    }

    /// The whole result; `build` is given an empty directory to make it in if there is none.
    pub(crate) fn ensure(&self, build: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
        if let Some(directory) = self.find() {
            return Ok(directory);
        }
        let directory = self.directory()?;
        let _alone = self.alone()?;
        if let Some(built_meanwhile) = self.find() {
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

    /// Waits until no other run builds for this host; the lock goes with the file.
    fn alone(&self) -> Result<File> {
        let path = root()?.join(format!("{}.lock", self.host));
        let failed = || format!("failed to lock {}", path.display());
        let parent = path.parent().unwrap_or(Path::new("/"));
        fs::create_dir_all(parent).context(|| format!("failed to create {}", parent.display()))?;
        let file = File::create(&path).context(failed)?;
        rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive).context(failed)?;
        Ok(file)
    }

    /// For a person: is it built, is something older, where.
    pub(crate) fn state(&self) -> String {
        let state = match (self.find(), self.directory()) {
            (Some(directory), _) => format!("built: {}", directory.display()),
            (None, Ok(_)) => format!("not built; `cargo xtask lab build {}` does", self.host),
            (None, Err(error)) => error.to_string(),
        };
        let older = self.others().into_iter().map(|path| {
            format!("\n         of another recipe, or cut short: {}; remove it at will", path.display())
        });
        state + &older.collect::<String>()
    }

    fn others(&self) -> Vec<PathBuf> {
        let (Ok(root), Ok(ours)) = (root(), self.directory()) else { return Vec::new() };
        let entries = fs::read_dir(root).into_iter().flatten().flatten();
        let prefix = format!("{}-", self.host);
        entries
            .filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix))
            .map(|entry| entry.path())
            .filter(|path| *path != ours || self.find().is_none())
            .collect()
    }
}

fn root() -> Result<PathBuf> {
    let cache = install::cache()
        .ok_or_else(|| Error::failed("neither XDG_CACHE_HOME nor HOME is set, so the hosts have no place"))?;
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
        let recipe = |text: &str| Recipe { host: "here", text: text.to_owned() };
        let place = |text| recipe(text).directory().ok().and_then(|path| Some(path.file_name()?.to_owned()));
        assert_eq!(place("a"), place("a"));
        assert_ne!(place("a"), place("b"));
    }
}

//! Trees of files that look like a machine's `/sys/fs/cgroup` and `/proc`, unpacked from one readable text.
//!
//! The text is a list of files: a line `=== PATH` and then the file's content, up to the next such line. `=== PATH/` is an
//! empty directory, `=== PATH -> TARGET` a symbolic link, `=== PATH == OTHER` a hard link to a file further up. Words between
//! `@` signs stand for what only a running test knows, such as the pids of its processes; `@ROOT@` is the tree's own path.
//!
//! ```
//! use test_support::Tree;
//!
//! let tree = Tree::unpack("=== proc/@PID@/comm\nsleep\n", &[("PID", "7")]);
//! assert_eq!(std::fs::read_to_string(tree.path("proc/7/comm")).unwrap(), "sleep\n");
//! ```

use std::{
    fs,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

/// A tree in a temporary directory, which is removed with it.
#[derive(Debug)]
pub struct Tree {
    root: TempDir,
}

impl Tree {
    /// Writes the files of a text, with these words put in.
    ///
    /// # Panics
    ///
    /// If a file cannot be written, or a word is left that stands for nothing: the test is wrong.
    #[must_use]
    pub fn unpack(text: &str, words: &[(&str, &str)]) -> Self {
        let tree = Self { root: tempfile::tempdir().expect("a temporary directory") };
        let root = tree.root().to_str().expect("a temporary directory in UTF-8").to_owned();
        let mut text = text.replace("@ROOT@", &root);
        for (word, value) in words {
            text = text.replace(&format!("@{word}@"), value);
        }
        assert!(
            !text.contains('@'),
            "a word is left in the tree: {:?}",
            text.lines().find(|l| l.contains('@'))
        );
        for file in text.split("=== ").skip(1) {
            let (head, content) = file.split_once('\n').unwrap_or((file, ""));
            tree.add(head, content);
        }
        tree
    }

    fn add(&self, head: &str, content: &str) {
        if let Some((link, target)) = head.split_once(" -> ") {
            let link = self.made(link);
            std::os::unix::fs::symlink(target, link).expect("a symbolic link");
        } else if let Some((link, other)) = head.split_once(" == ") {
            let link = self.made(link);
            fs::hard_link(self.path(other), link).expect("a hard link to a file further up");
        } else if let Some(directory) = head.strip_suffix('/') {
            fs::create_dir_all(self.path(directory)).expect("a directory");
        } else {
            self.write(head, content);
        }
    }

    /// Where a path of the tree is, its parents made.
    pub(crate) fn made(&self, path: &str) -> PathBuf {
        let path = self.path(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).expect("a directory");
        }
        path
    }

    /// The directory that stands for `/`.
    #[must_use]
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// Where a path of the tree is.
    #[must_use]
    pub fn path(&self, path: &str) -> PathBuf {
        self.root().join(path)
    }

    /// Writes a file in place, so that whoever holds it open sees the change.
    ///
    /// # Panics
    ///
    /// If it cannot be written.
    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        fs::write(self.made(path), content).expect("a file of the tree");
    }

    /// Removes a file, or a directory with all below it, as the end of a container does.
    ///
    /// # Panics
    ///
    /// If it is not there.
    pub fn remove(&self, path: &str) {
        let path = self.path(path);
        let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.unwrap_or_else(|error| panic!("failed to remove {}: {error}", path.display()));
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn files_links_and_words() {
        let text = "a comment\n=== a/@X@\none\ntwo\n=== empty\n=== d/\n=== l -> a/7\n=== b/h == a/7\n";
        let tree = Tree::unpack(text, &[("X", "7")]);
        let read = |path: &str| fs::read_to_string(tree.path(path)).expect("a file");
        assert_eq!(
            (read("a/7"), read("empty"), read("l")),
            ("one\ntwo\n".into(), String::new(), "one\ntwo\n".into())
        );
        assert!(tree.path("d").is_dir());
        let inode = |path: &str| fs::metadata(tree.path(path)).expect("metadata").ino();
        assert_eq!(inode("a/7"), inode("b/h"));
        tree.write("a/7", "three");
        assert_eq!(read("b/h"), "three", "files are written in place");
        tree.remove("a");
        assert!(!tree.path("a").exists());
    }

    #[test]
    #[should_panic(expected = "a word is left")]
    fn words_without_a_meaning_are_refused() {
        let _ = Tree::unpack("=== a\n@Y@\n", &[]);
    }
}

//! `/proc/<pid>/mountinfo`, proc(5).

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mount {
    /// Major and minor number of the device that files on it are said to be on.
    pub device: (u32, u32),
    /// The directory of the file system that is mounted, `/` for all of it.
    pub root: String,
    /// Where it is mounted, as the reading process sees it.
    pub point: String,
    /// `cgroup2`, `overlay`, …
    pub fs_type: String,
    /// What is mounted: a device, or a word.
    pub source: String,
    /// The file system's own options: `rw`, `cpu`, `upperdir=…`. A comma in one is part of it.
    pub options: Vec<String>,
}

impl Mount {
    /// The file system's options one by one.
    pub fn options(&self) -> impl Iterator<Item = &str> {
        self.options.iter().map(String::as_str)
    }
}

/// The root of the process whose table it is: the first mount at `/`. A later one there lies over it and is not what the process
/// uses as its root. The other lines are not parsed.
#[must_use]
pub fn root_mount(bytes: &[u8]) -> Option<Mount> {
    let is_root = |line: &&[u8]| line.split(|&byte| byte == b' ').nth(4) == Some(b"/");
    super::lines(bytes).filter(is_root).find_map(mount)
}

/// The mounts, in the file's order (a later one hides an earlier one at the same point). Lines out of format are left out.
pub fn mountinfo(bytes: &[u8]) -> impl Iterator<Item = Mount> + '_ {
    super::lines(bytes).filter_map(mount)
}

fn mount(line: &[u8]) -> Option<Mount> {
    let mut words = line.split(|&byte| byte == b' ');
    let (major, minor) = std::str::from_utf8(words.nth(2)?).ok()?.split_once(':')?;
    let root = words.next()?;
    let point = words.next()?;
    // Mount options and any number of optional fields, up to a lone dash.
    words.find(|word| *word == b"-")?;
    let (fs_type, source, options) = (words.next()?, words.next()?, words.next()?);
    Some(Mount {
        device: (major.parse().ok()?, minor.parse().ok()?),
        root: unescape(root)?,
        point: unescape(point)?,
        fs_type: unescape(fs_type)?,
        source: unescape(source)?,
        // Separated as written: the kernel escapes a comma that belongs to a value.
        options: options.split(|&byte| byte == b',').map(unescape).collect::<Option<_>>()?,
    })
}

/// Undoes the kernel's octal escapes (`\040` is a space); `None` if the result is not UTF-8.
fn unescape(word: &[u8]) -> Option<String> {
    if !word.contains(&b'\\') {
        return str::from_utf8(word).ok().map(str::to_owned);
    }
    let mut out = Vec::with_capacity(word.len());
    let mut rest = word;
    while let Some((&byte, after)) = rest.split_first() {
        if byte == b'\\'
            && let Some(&[a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7']) = after.get(..3)
        {
            out.push((a - b'0') * 64 + (b - b'0') * 8 + (c - b'0'));
            rest = &after[3..];
        } else {
            out.push(byte);
            rest = after;
        }
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn optional_fields_and_escapes() {
        let text = b"31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n\
            garbage\n\
            32 31 0:29 /docker/x\\040y /mnt/a\\134b\\011c rw,relatime shared:1 master:2 - cgroup cgroup rw,cpu,cpuacct\n\
            33 31 0:29 / /short rw -";
        let mounts: Vec<_> = mountinfo(text).collect();
        assert_eq!(mounts.len(), 2);
        assert_eq!(mounts[0].fs_type, "tmpfs");
        assert_eq!(mounts[1].device, (0, 29));
        assert_eq!(mounts[1].root, "/docker/x y");
        assert_eq!(mounts[1].point, "/mnt/a\\b\tc");
        assert_eq!(mounts[1].options().collect::<Vec<_>>(), ["rw", "cpu", "cpuacct"]);
    }

    #[test]
    fn the_root_is_the_first_that_is_mounted_there() {
        let text = b"3 2 0:3 / /proc rw - proc proc rw\n2 1 8:1 / / rw - ext4 /dev/sda1 rw\n4 2 0:1 / / rw - tmpfs tmpfs rw\n";
        assert_eq!(root_mount(text), mountinfo(text).find(|mount| mount.point == "/"));
        assert_eq!(root_mount(text).map(|mount| mount.fs_type).as_deref(), Some("ext4"));
        assert_eq!(root_mount(b"3 2 0:3 / /proc rw - proc proc rw\n"), None);
    }

    /// As the kernel shows an overlay whose directories have odd names.
    #[test]
    fn a_comma_in_an_option_is_part_of_it() {
        let text = b"9 1 0:50 / / rw - overlay overlay rw,upperdir=/a\\054b\\040c\\134d\\075e,workdir=/w\n";
        let mounts: Vec<_> = mountinfo(text).collect();
        let options: Vec<&str> = mounts[0].options().collect();
        assert_eq!(options, ["rw", "upperdir=/a,b c\\d=e", "workdir=/w"]);
    }

    #[test]
    fn half_escapes_stay() {
        assert_eq!(unescape(b"a\\04").as_deref(), Some("a\\04"));
        assert_eq!(unescape(b"\\999\\").as_deref(), Some("\\999\\"));
        assert_eq!(unescape(b"\\377"), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), text in "[a-z0-9\\\\ \n-]{0,80}") {
            let _ = mountinfo(&bytes).count();
            let _ = mountinfo(text.as_bytes()).count();
        }
    }
}

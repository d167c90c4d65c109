//! Images with the names and the entry points of those that `compose.yaml` pins.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use crate::engine::Engine;
use crate::error::{Context as _, Error, Result};
use crate::install;
use crate::process::{self, When};
use crate::stack::drive;
use crate::stack::programs::Debian;

/// `nobody`, as whom the real ones run.
const NOBODY: u32 = 65534;

/// What an image is made of.
struct Image {
    service: &'static str,
    entrypoint: &'static str,
    /// The data's directory, which the user may write.
    data: Option<&'static str>,
    /// Programs of Debian's packages and where they are in the image.
    programs: &'static [(&'static str, &'static str)],
    /// Directories that they read.
    trees: &'static [&'static str],
}

const IMAGES: &[Image] = &[
    Image {
        service: "prometheus",
        entrypoint: "/bin/prometheus",
        data: Some("/prometheus"),
        programs: &[("usr/bin/prometheus", "/bin/prometheus"), ("usr/bin/promtool", "/bin/promtool")],
        trees: &[],
    },
    Image {
        service: "alertmanager",
        entrypoint: "/bin/alertmanager",
        data: Some("/alertmanager"),
        programs: &[
            ("usr/bin/prometheus-alertmanager", "/bin/alertmanager"),
            ("usr/bin/amtool", "/bin/amtool"),
        ],
        // Debian keeps the templates outside the program.
        trees: &["usr/share/prometheus/alertmanager"],
    },
    Image {
        service: "node-exporter",
        entrypoint: "/bin/node_exporter",
        data: None,
        programs: &[("usr/bin/prometheus-node-exporter", "/bin/node_exporter")],
        trees: &[],
    },
];

const EXPORTER: &str = "container-exporter";
/// The service of the OpenTelemetry Collector.
pub(crate) const COLLECTOR: &str = "otel-collector";

/// Programs that are no package's.
#[derive(Debug)]
pub(crate) struct Own {
    /// The exporter.
    pub(crate) exporter: PathBuf,
    /// An OpenTelemetry Collector, where there is one.
    pub(crate) collector: Option<PathBuf>,
}

impl Own {
    /// The services that can be started with them.
    pub(crate) fn services(&self) -> Vec<&'static str> {
        let collector = self.collector.as_ref().map(|_| COLLECTOR);
        IMAGES.iter().map(|image| image.service).chain([EXPORTER]).chain(collector).collect()
    }
}

/// Imports all of them, each under the name that `compose.yaml` has for its service.
pub(crate) fn import_all(engine: &Engine, debian: &Debian, own: &Own) -> Result<()> {
    let work = engine.path("stack-images");
    for image in IMAGES {
        let tree = Tree::new(work.join(image.service))?;
        for (from, to) in image.programs {
            tree.program(&debian.file(from), to)?;
        }
        for path in image.trees {
            tree.copy_all(&debian.file(path), path)?;
        }
        if let Some(data) = image.data {
            tree.own(data)?;
        }
        tree.import(engine, image.service, image.entrypoint)?;
    }
    let tree = Tree::new(work.join(EXPORTER))?;
    tree.program(&own.exporter, "/container-exporter")?;
    tree.import(engine, EXPORTER, "/container-exporter")?;
    let Some(collector) = &own.collector else { return Ok(()) };
    let tree = Tree::new(work.join(COLLECTOR))?;
    tree.program(collector, "/otelcol")?;
    tree.import(engine, COLLECTOR, "/otelcol")
}

/// The image that `compose.yaml` names for a service.
fn name_of(service: &str) -> Result<String> {
    let text = include_str!("../../../deploy/compose/compose.yaml");
    let mut lines = text.lines().skip_while(|line| *line != format!("  {service}:"));
    let name = lines.find_map(|line| line.strip_prefix("    image: "));
    name.map(str::to_owned).ok_or_else(|| Error::failed(format!("compose.yaml has no image for {service}")))
}

/// The root of an image in the making.
struct Tree {
    root: PathBuf,
}

impl Tree {
    /// With what every one has: a busybox for health checks, and a name for its user.
    fn new(root: PathBuf) -> Result<Self> {
        let tree = Self { root };
        for directory in ["bin", "dev", "etc", "proc", "sys", "tmp"] {
            fs::create_dir_all(tree.at(directory)).context(|| tree.failed(directory))?;
        }
        fs::write(tree.at("etc/passwd"), "root:x:0:0::/:\nnobody:x:65534:65534::/:\n")
            .context(|| tree.failed("etc/passwd"))?;
        let busybox = install::static_busybox()
            .ok_or_else(|| Error::failed("no static busybox is on PATH; install busybox-static"))?;
        tree.copy(&busybox, "bin/busybox")?;
        symlink("busybox", tree.at("bin/wget")).context(|| tree.failed("bin/wget"))?;
        Ok(tree)
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    fn failed(&self, what: &str) -> String {
        format!("failed to make {what} under {}", self.root.display())
    }

    fn copy(&self, from: &Path, to: &str) -> Result<()> {
        let path = self.at(to);
        fs::create_dir_all(path.parent().unwrap_or(&self.root)).context(|| self.failed(to))?;
        // A file of another's may be a link, and is copied as what it leads to.
        fs::copy(from, path).context(|| format!("failed to copy {}", from.display())).map(|_| ())
    }

    fn copy_all(&self, from: &Path, to: &str) -> Result<()> {
        for entry in fs::read_dir(from).context(|| format!("failed to list {}", from.display()))?.flatten() {
            let name = format!("{to}/{}", entry.file_name().to_string_lossy());
            let path = entry.path();
            if path.is_dir() { self.copy_all(&path, &name)? } else { self.copy(&path, &name)? }
        }
        Ok(())
    }

    /// A program with the libraries of this machine that it is linked to.
    fn program(&self, from: &Path, to: &str) -> Result<()> {
        self.copy(from, to)?;
        fs::set_permissions(self.at(to), fs::Permissions::from_mode(0o755)).context(|| self.failed(to))?;
        let said = process::capture(process::command("ldd", &[]).arg(from), When::Working)?.text();
        libraries(&said).try_for_each(|library| self.copy(Path::new(library), library))
    }

    fn own(&self, directory: &str) -> Result<()> {
        let path = self.at(directory);
        fs::create_dir_all(&path)
            .and_then(|()| std::os::unix::fs::chown(&path, Some(NOBODY), Some(NOBODY)))
            .context(|| self.failed(directory))
    }

    fn import(&self, engine: &Engine, service: &str, entrypoint: &str) -> Result<()> {
        let name = name_of(service)?;
        let tar = self.root.with_extension("tar");
        let mut pack = process::command("tar", &["-c", "--numeric-owner", "-C"]);
        process::succeed(pack.arg(&self.root).arg("-f").arg(&tar).arg("."), When::Working)?;
        let entrypoint = format!("ENTRYPOINT [\"{entrypoint}\"]");
        let file = tar.display().to_string();
        let words = ["import", "-c", &entrypoint, "-c", "USER nobody", &file, &name];
        drive(&engine.docker_host(), Path::new("docker"), &words)?;
        // The disk has it in the engine now.
        for left in [&self.root, &tar] {
            let removed = if left.is_dir() { fs::remove_dir_all(left) } else { fs::remove_file(left) };
            removed.context(|| format!("failed to remove {}", left.display()))?;
        }
        Ok(())
    }
}

/// The paths in what `ldd` says; nothing of a static program.
fn libraries(said: &str) -> impl Iterator<Item = &str> {
    said.split_whitespace().filter(|word| word.starts_with('/') && !word.ends_with(':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_image_is_pinned() {
        let own = Own { exporter: PathBuf::new(), collector: Some(PathBuf::new()) };
        for service in own.services() {
            let name = name_of(service).expect("compose.yaml names it");
            let tag = name.rsplit_once(':').map(|(_, tag)| tag).unwrap_or_default();
            assert!(tag.contains('.') && tag.contains(|c: char| c.is_ascii_digit()), "{name}");
        }
    }

    #[test]
    fn ldd_names_libraries_and_the_loader() {
        let said = "\tlinux-vdso.so.1 (0x00007ffc)\n\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f)\n\
            \t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n";
        let found: Vec<&str> = libraries(said).collect();
        assert_eq!(found, ["/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2"]);
        assert_eq!(libraries("\tnot a dynamic executable\n").count(), 0);
    }
}

//! Docker's newest engine, built from its Go modules, run natively beside the machine's containerd.

use std::path::Path;

use crate::engine::{Built, Programs};
use crate::error::Result;
use crate::lab::cache::Recipe;
use crate::lab::go;
use crate::process::{self, When};

/// The host's name.
pub(crate) const HOST: &str = "engine29";

/// A Go program and the tags it is built with.
struct Module {
    package: &'static str,
    tags: &'static str,
}

/// An older runc does not know every namespace that this dockerd asks for.
const MODULES: &[Module] = &[
    Module { package: "github.com/opencontainers/runc@v1.5.2", tags: "seccomp" },
    Module { package: "github.com/moby/moby/v2/cmd/dockerd@v2.0.0-beta.24", tags: "" },
];

/// What is built.
pub(crate) fn recipe() -> Recipe {
    let modules: String =
        MODULES.iter().map(|module| format!("{} tags {:?}\n", module.package, module.tags)).collect();
    let text = format!("go install for {}\n{modules}", std::env::consts::ARCH);
    Recipe { name: HOST, text, parts: &["dockerd", "runc"] }
}

/// The engine's programs, built if they are not there; about five minutes.
pub(crate) fn ensure() -> Result<Programs> {
    let directory =
        recipe().ensure(|directory| MODULES.iter().try_for_each(|module| install(module, directory)))?;
    let built = Built { dockerd: directory.join("dockerd"), runc: directory.join("runc") };
    Ok(Programs { host: HOST, built: Some(built) })
}

fn install(module: &Module, directory: &Path) -> Result<()> {
    println!("building {}", module.package);
    let mut command = go::command(&["install", "-trimpath", "-tags", module.tags, module.package]);
    command.env("GOBIN", directory).env("CGO_ENABLED", "1");
    process::succeed(&mut command, When::Working).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_part_of_the_recipe() {
        assert!(recipe().text.contains("dockerd@v2."), "{}", recipe().text);
        assert!(MODULES.iter().all(|module| module.package.contains("@v")), "nothing floats");
    }
}

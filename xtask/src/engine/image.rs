//! The test image `busybox:local`, made of the machine's own static busybox: no registry is asked.

use std::path::Path;
use std::process::Stdio;

use crate::engine::http;
use crate::engine::record::Record;
use crate::error::{Context as _, Error, Result};
use crate::install;
use crate::process::{self, When};

/// The image's name.
pub(crate) const NAME: &str = "busybox:local";

/// Builds the tree, packs it and hands it to the engine.
pub(crate) fn import(record: &Record) -> Result<()> {
    let busybox = install::static_busybox()
        .ok_or_else(|| Error::failed("no static busybox is on PATH; install busybox-static"))?;
    let tree = record.path("image");
    build_tree(&tree, &busybox)?;
    let mut tar = process::command("tar", &["-c", "--numeric-owner", "--owner=0", "--group=0", "-C"]);
    let packed = process::succeed(tar.arg(&tree).arg(".").stderr(Stdio::piped()), When::Working)?;
    // changes=CMD ["sh"]
    let path = "/images/create?fromSrc=-&repo=busybox&tag=local&changes=CMD%20%5B%22sh%22%5D";
    let answer = http::post(&record.docker_socket(), path, "application/x-tar", &packed.stdout)?;
    // The status is sent before the work: an error stands in the stream of progress.
    let said = String::from_utf8_lossy(&answer.body);
    if answer.status == 200 && !said.contains("\"error\"") {
        return Ok(());
    }
    Err(Error::failed(format!("failed to import {NAME}: {} {}", answer.status, said.trim())))
}

fn build_tree(tree: &Path, busybox: &Path) -> Result<()> {
    let failed = |what: &str| format!("failed to make {what} of {NAME} under {}", tree.display());
    for directory in ["bin", "dev", "etc", "proc", "root", "sys", "tmp", "var"] {
        std::fs::create_dir_all(tree.join(directory)).context(|| failed(directory))?;
    }
    std::fs::write(tree.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n")
        .context(|| failed("etc/passwd"))?;
    std::fs::write(tree.join("etc/group"), "root:x:0:\n").context(|| failed("etc/group"))?;
    std::fs::copy(busybox, tree.join("bin/busybox")).context(|| failed("bin/busybox"))?;
    let applets = process::succeed(&mut process::command(busybox, &["--list"]), When::Working)?.text();
    for applet in applets.lines().filter(|applet| *applet != "busybox" && !applet.contains('/')) {
        std::os::unix::fs::symlink("busybox", tree.join("bin").join(applet)).context(|| failed(applet))?;
    }
    Ok(())
}

/// Runs one container to its end, so that a machine that cannot is known before the tests.
pub(crate) fn try_out(record: &Record) -> Result<()> {
    let socket = record.docker_socket();
    let body = serde_json::json!({ "Image": NAME, "Cmd": ["sh", "-c", "exit 7"] }).to_string();
    let created = http::json(
        http::post(&socket, "/containers/create", "application/json", body.as_bytes()),
        "create a container",
    )?;
    let id = created["Id"]
        .as_str()
        .ok_or_else(|| Error::failed("the engine created a container without an id"))?;
    let started = http::post(&socket, &format!("/containers/{id}/start"), "application/json", &[])?;
    if started.status != 204 {
        let said = String::from_utf8_lossy(&started.body);
        return Err(Error::failed(format!(
            "failed to start a container: {} {}",
            started.status,
            said.trim()
        )));
    }
    let wait = http::post(&socket, &format!("/containers/{id}/wait"), "application/json", &[]);
    let ended = http::json(wait, "wait for a container")?;
    if ended["StatusCode"] != 7 {
        return Err(Error::failed(format!("a container that exits with 7 ended with {ended}")));
    }
    http::delete(&socket, &format!("/containers/{id}?force=1&v=1")).map(|_| ())
}

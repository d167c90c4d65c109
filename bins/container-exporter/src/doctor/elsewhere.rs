//! Engines on other machines: whether they answer, how they are spoken to, and what they give.

use source_docker::Endpoint;

use super::{Finding, machine::Machine};

/// Asks it once.
pub(super) fn check(machine: &Machine<'_>, area: &'static str, remote: &Endpoint) -> Vec<Finding> {
    let said = match (machine.ask_elsewhere)(remote) {
        Ok(said) => said,
        Err(why) => {
            return vec![Finding::problem(area, why, format!("make this work here: {}", command(remote)))];
        }
    };
    let how = match remote.tls() {
        Some(files) => format!("by TLS with the certificates of {}", files.folder.display()),
        None => "without TLS".to_owned(),
    };
    let what = format!(
        "{}, at {remote} {how}; its stats API gives the numbers: no pressure, no writable layer, nothing of its host",
        said.version
    );
    let mut findings = vec![Finding::ok(area, what)];
    if remote.is_exposed() {
        let what = format!("anyone on the way to {remote} can read along and become root there");
        let fix = "start that engine with --tlsverify, and set `docker.cert_path` to the folder of our certificates";
        findings.push(Finding::warning(area, what, fix));
    }
    if let Some(why) = said.no_numbers {
        let what =
            format!("{} containers run at {remote}, and there are no numbers of them: {why}", said.running);
        let fix = "if a proxy stands before the engine, GET /containers/*/stats must be allowed, too";
        findings.push(Finding::problem(area, what, fix));
    }
    findings
}

/// The same connection by Docker's own client.
fn command(remote: &Endpoint) -> String {
    let Some(files) = remote.tls() else { return format!("docker -H {remote} version") };
    let folder = files.folder.display();
    let own = if files.folder.join("cert.pem").exists() {
        format!(" --tlscert {folder}/cert.pem --tlskey {folder}/key.pem")
    } else {
        String::new()
    };
    format!("docker -H {remote} --tlsverify --tlscacert {folder}/ca.pem{own} version")
}

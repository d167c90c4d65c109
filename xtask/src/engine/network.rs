//! A bridge and the one packet-filter rule that it needs.

use std::net::Ipv4Addr;

use crate::engine::record::Record;
use crate::error::{Error, Result};
use crate::process::{self, When};

/// Creates the bridge with an address of an unused private network, and lets its containers reach each other.
pub(crate) fn create(record: &Record) -> Result<()> {
    let address = free_network()?;
    let bridge = record.bridge();
    ip(&["link", "add", bridge, "type", "bridge"], When::Working)?;
    ip(&["address", "add", &format!("{address}/24"), "dev", bridge], When::Working)?;
    ip(&["link", "set", bridge, "up"], When::Working)?;
    let_through(bridge)
}

/// Lets the containers on a bridge reach each other where another engine has set FORWARD to DROP and bridged packets pass the filter.
pub(crate) fn let_through(bridge: &str) -> Result<()> {
    if process::find_program("iptables").is_none() {
        return Ok(());
    }
    let rule = rule(bridge);
    let mut arguments = vec!["--insert", "FORWARD"];
    arguments.extend(rule.iter().map(String::as_str));
    iptables(&arguments, When::Working).map(|_| ())
}

/// The rule that lets traffic through which stays on the bridge.
fn rule(bridge: &str) -> [String; 6] {
    ["--in-interface", bridge, "--out-interface", bridge, "--jump", "ACCEPT"].map(str::to_owned)
}

/// Takes bridge and rules away again; those that were never made are no error.
pub(crate) fn remove(bridge: &str) -> Result<()> {
    for (table, rule) in rules_that_name(bridge)? {
        let mut arguments = vec!["--table", &table, "--delete"];
        arguments.extend(rule.iter().map(String::as_str));
        iptables(&arguments, When::Guarded)?;
    }
    remove_link(bridge)
}

/// Deletes one network interface, if it is there.
pub(crate) fn remove_link(name: &str) -> Result<()> {
    if std::path::Path::new("/sys/class/net").join(name).exists() {
        ip(&["link", "delete", name], When::Guarded)?;
    }
    Ok(())
}

/// Every rule that names the bridge, whoever made it: nobody else knows it.
fn rules_that_name(bridge: &str) -> Result<Vec<(String, Vec<String>)>> {
    let Some(program) = process::find_program("iptables-save") else { return Ok(Vec::new()) };
    let saved = process::succeed(&mut process::command(program, &[]), When::Guarded)?.text();
    Ok(parse_rules(&saved, bridge))
}

/// `*table`, then `-A CHAIN words…`: the table and what stands after `-A`.
fn parse_rules(saved: &str, bridge: &str) -> Vec<(String, Vec<String>)> {
    let mut table = "";
    let mut rules = Vec::new();
    for line in saved.lines() {
        if let Some(name) = line.strip_prefix('*') {
            table = name;
        } else if let Some(rule) = line.strip_prefix("-A ") {
            let words: Vec<String> = rule.split_whitespace().map(str::to_owned).collect();
            if words.iter().any(|word| word == bridge) {
                rules.push((table.to_owned(), words));
            }
        }
    }
    rules
}

fn ip(arguments: &[&str], when: When) -> Result<String> {
    run("ip", arguments, when)
}

fn iptables(arguments: &[&str], when: When) -> Result<String> {
    // Another engine may hold the lock for a moment.
    let mut all = vec!["--wait", "10"];
    all.extend(arguments);
    run("iptables", &all, when)
}

fn run(name: &str, arguments: &[&str], when: When) -> Result<String> {
    let program =
        process::find_program(name).ok_or_else(|| Error::failed(format!("{name} is not on PATH")))?;
    process::succeed(&mut process::command(program, arguments), when).map(|finished| finished.text())
}

/// The first address of a /24 that no address and no route of this machine touches.
fn free_network() -> Result<Ipv4Addr> {
    let known = [
        ip(&["-4", "-o", "address"], When::Working)?,
        ip(&["-4", "route", "show", "table", "all"], When::Working)?,
    ];
    let taken: Vec<Network> =
        known.iter().flat_map(|text| text.split_whitespace()).filter_map(Network::parse).collect();
    pick(&taken)
        .ok_or_else(|| Error::failed("every private network from 172.20.0.0 to 172.29.255.0 is in use here"))
}

fn pick(taken: &[Network]) -> Option<Ipv4Addr> {
    // From the far end of each range: engines hand out networks from the near one.
    (20..30)
        .flat_map(|second| [(second, 255), (second, 254)])
        .map(|(second, third)| Ipv4Addr::new(172, second, third, 1))
        .find(|address| {
            let candidate = Network { address: *address, prefix: 24 };
            !taken.iter().any(|network| network.overlaps(candidate))
        })
}

/// `address/prefix`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Network {
    address: Ipv4Addr,
    prefix: u32,
}

impl Network {
    /// A word as `ip` prints it; a bare address is a network of one. The default route is not a reason.
    fn parse(word: &str) -> Option<Self> {
        let (address, prefix) = word.split_once('/').unwrap_or((word, "32"));
        let (address, prefix) = (address.parse().ok()?, prefix.parse().ok()?);
        (1..=32).contains(&prefix).then_some(Self { address, prefix })
    }

    fn overlaps(self, other: Self) -> bool {
        let shift = 32 - self.prefix.min(other.prefix);
        u64::from(u32::from(self.address)) >> shift == u64::from(u32::from(other.address)) >> shift
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_in_use_is_passed_over() {
        let taken = |words: &str| words.split_whitespace().filter_map(Network::parse).collect::<Vec<_>>();
        assert_eq!(pick(&[]), Some(Ipv4Addr::new(172, 20, 255, 1)));
        assert_eq!(
            pick(&taken("default via 192.0.2.1 dev eth0 0.0.0.0/0")),
            Some(Ipv4Addr::new(172, 20, 255, 1))
        );
        assert_eq!(pick(&taken("inet 172.20.255.9/24")), Some(Ipv4Addr::new(172, 20, 254, 1)));
        assert_eq!(pick(&taken("172.20.0.0/15")), Some(Ipv4Addr::new(172, 22, 255, 1)));
        assert_eq!(pick(&taken("local 172.20.255.77")), Some(Ipv4Addr::new(172, 20, 254, 1)));
        assert_eq!(pick(&taken("172.16.0.0/12")), None);
    }

    #[test]
    fn only_rules_with_the_bridges_name_are_ours() {
        let saved = "*filter\n:FORWARD DROP [0:0]\n-A FORWARD -i docker0 -o docker0 -j ACCEPT\n\
            -A FORWARD -i cxlab-12 -o cxlab-12 -j ACCEPT\n-A FORWARD -i cxlab-123 -j ACCEPT\nCOMMIT\n\
            *nat\n-A POSTROUTING -o cxlab-12 -j MASQUERADE\nCOMMIT\n";
        let rules = parse_rules(saved, "cxlab-12");
        let shown: Vec<String> =
            rules.iter().map(|(table, rule)| format!("{table}: {}", rule.join(" "))).collect();
        assert_eq!(
            shown,
            [
                "filter: FORWARD -i cxlab-12 -o cxlab-12 -j ACCEPT",
                "nat: POSTROUTING -o cxlab-12 -j MASQUERADE"
            ]
        );
    }
}

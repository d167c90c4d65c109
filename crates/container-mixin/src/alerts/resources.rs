//! A container waits for a disk, or runs out of processes, packets or space.

use collector_core::catalogue::ids;
use mixin::{About, Alert, Expr, Runbook, Setting, Signal, Step, Trial, above, below};

use super::{CONTAINER, FIND, ON_CONTAINER, RATE_MINUTES, by_minute, now, rate, select};

pub(super) fn alerts() -> Vec<Alert> {
    vec![io_stalled(), pids_near_limit(), network_drops(), filesystem_nearly_full()]
}

fn io_stalled() -> Alert {
    Alert::new(
        "IoStalled",
        |chosen| rate(ids::PRESSURE_IO_STALLED).gt(chosen.threshold()),
        ON_CONTAINER,
        Runbook::new(
            "For more than 30 % of the time every task of the container that could have worked waited for a disk, for a quarter of an hour.",
            "What it does takes as long as the disk does; writes and commits are slow, and queues in front of it grow.",
            &[
                FIND,
                Step::Shell("The kernel's own averages over 10, 60 and 300 seconds, in percent (cgroup v2).", "cgroup io.pressure"),
                Step::Shell("What it reads and writes, by device (v2, then v1), and which device that is.", "cgroup io.stat; cgroup blkio.throttle.io_service_bytes; lsblk -o NAME,MAJ:MIN,SIZE,MOUNTPOINT"),
                Step::Shell("Whether it is bounded.", "cgroup io.max"),
                Step::Query("Bytes that it reads in a second.", || rate(ids::FS_READS_BYTES)),
                Step::Query("Bytes that it writes in a second.", || rate(ids::FS_WRITES_BYTES)),
                Step::Query("Whether it reads what it had before: file pages dropped too early, for want of memory.", || rate(ids::MEMORY_REFAULT_FILE)),
                Step::Query("Whether the whole host waits.", || rate(ids::HOST_IO_STALLED)),
            ],
            &[
                "If it reads the same again and again for want of page cache, give it memory.",
                "If another container has the disk, bound that one: `docker run --device-write-bps /dev/sda:50mb …`, or `io.max`.",
                "Data that is written much belongs in a volume, not in the writable layer.",
                "If the disk itself is slow (`dmesg`, `smartctl`), move away from it.",
            ],
        ),
        |chosen| {
            let t = chosen.threshold();
            let signal = Signal::counter(select(ids::PRESSURE_IO_STALLED), by_minute(below(t)), by_minute(above(t)));
            Trial::new(About::Container, above(t), vec![signal]).settles_after_minutes(RATE_MINUTES)
        },
    )
    .says(
        "A container stands still for want of a disk.",
        "Every task of container {container_name} on {instance} waited for I/O for {value:percent} of the time.",
    )
    .setting(Setting::threshold(0.3, "share of the time in which every task waits"))
    .wait_minutes(15)
}

fn pids_near_limit() -> Alert {
    const LIMIT: f64 = 1024.0;
    Alert::new(
        "PidsNearLimit",
        |chosen| now(ids::THREADS).per(now(ids::THREADS_MAX)).gt(chosen.threshold()),
        ON_CONTAINER,
        Runbook::new(
            "The container has more than 90 % of the processes and threads that it may have.",
            "At the limit every fork and every new thread fails: `Resource temporarily unavailable`, `can't start new thread`. Health checks by \
             `docker exec` fail then, too.",
            &[
                FIND,
                Step::Shell("How many it has and may have, and how often it was refused one.", "cgroup pids.current; cgroup pids.max; cgroup pids.events"),
                Step::Shell("Which processes have how many threads.", r#"docker top "$C" -eo pid,ppid,nlwp,stat,args | sort -k3 -n -r | head -20"#),
                Step::Shell("Zombies, which count as well: their number and their parents.", r#"docker top "$C" -eo pid,ppid,stat | awk '$3 ~ /^Z/ {n[$2]++} END {for (p in n) print n[p], "of parent", p}'"#),
                Step::Query("How their number went.", || now(ids::THREADS)),
            ],
            &[
                "Zombies: start the container with an init that reaps them (`docker run --init`, `init: true` in Compose).",
                "A pool without a bound: bound it, or restart the container to win time.",
                "Give it more: `docker update --pids-limit 4096 \"$C\"`.",
            ],
        ),
        |chosen| {
            let t = chosen.threshold();
            Trial::new(
                About::Container,
                above(t),
                vec![
                    Signal::gauge(select(ids::THREADS), below(t) * LIMIT, above(t) * LIMIT),
                    Signal::gauge(select(ids::THREADS_MAX), LIMIT, LIMIT).divides(),
                ],
            )
        },
    )
    .says(
        "A container has nearly all the processes and threads that it may have.",
        "Container {container_name} on {instance} has {value:percent} of the processes and threads that it may have.",
    )
    .setting(Setting::threshold(0.9, "share of the limit"))
    .wait_minutes(5)
}

/// Packets of a container over all its interfaces, both ways.
fn packets() -> Expr {
    let both = rate(ids::NETWORK_RECEIVE_PACKETS).plus(rate(ids::NETWORK_TRANSMIT_PACKETS));
    both.sum_by(CONTAINER)
}

fn dropped() -> Expr {
    let both = rate(ids::NETWORK_RECEIVE_DROPPED).plus(rate(ids::NETWORK_TRANSMIT_DROPPED));
    both.sum_by(CONTAINER)
}

fn network_drops() -> Alert {
    Alert::new(
        "NetworkDrops",
        |chosen| dropped().over(packets().gt(chosen.number("floor"))).gt(chosen.threshold()),
        ON_CONTAINER,
        Runbook::new(
            "More than 1 % of the container's packets were dropped at its interfaces for a quarter of an hour, at more than 10 packets a second \
             in all.",
            "What is lost is sent again after a timeout: connections are slow and stutter; datagrams are gone.",
            &[
                FIND,
                Step::Shell(
                    "Drops and errors by interface, as the container sees them, and the queues in front of them.",
                    r#"PID=$(docker inspect -f '{{.State.Pid}}' "$C")
nsenter -t "$PID" -n ip -s -s link
nsenter -t "$PID" -n tc -s qdisc"#,
                ),
                Step::Shell("Sockets whose buffers overflow: the program reads too slowly.", r#"nsenter -t "$PID" -n nstat -az | grep -E 'Drop|Overflow|Prune|RcvbufErrors'"#),
                Step::Shell("Drops that the host's own stack made, one row a CPU (column 2).", "cat /proc/net/softnet_stat"),
                Step::Query("Which direction and interface.", || {
                    rate(ids::NETWORK_RECEIVE_DROPPED).sum_by(&["container_name", "interface"])
                }),
                Step::Query("Whether the container was stopped by its CPU quota meanwhile.", || rate(ids::CPU_THROTTLED)),
            ],
            &[
                "If it is short of CPU, see [CpuThrottled](CpuThrottled.md): who is stopped reads no packets.",
                "If bursts overflow a queue, lengthen it: `ip link set dev IFACE txqueuelen 10000`, `net.core.netdev_max_backlog`.",
                "If all containers of the host drop, look at its own network interface: `ethtool -S`.",
            ],
        ),
        |chosen| {
            let (t, floor) = (chosen.threshold(), chosen.number("floor"));
            // In all, so that half of it goes either way.
            let all = by_minute((floor + 1.0).log2().ceil().exp2() * 2.0);
            let counter = |row, well: f64, ill: f64| Signal::counter(select(row).eq("interface", "eth0"), well / 2.0, ill / 2.0);
            Trial::new(
                About::Container,
                above(t),
                vec![
                    counter(ids::NETWORK_RECEIVE_DROPPED, below(t) * all, above(t) * all),
                    counter(ids::NETWORK_TRANSMIT_DROPPED, below(t) * all, above(t) * all),
                    counter(ids::NETWORK_RECEIVE_PACKETS, all, all).divides(),
                    counter(ids::NETWORK_TRANSMIT_PACKETS, all, all).divides(),
                ],
            )
            .settles_after_minutes(RATE_MINUTES)
        },
    )
    .says(
        "A container loses packets.",
        "{value:percent} of the packets of container {container_name} on {instance} were dropped at its interfaces.",
    )
    .setting(Setting::threshold(0.01, "share of the packets"))
    .setting(Setting::new("floor", 10.0, "packets a second below which nothing is said"))
    .wait_minutes(15)
}

fn filesystem_nearly_full() -> Alert {
    const SIZE: f64 = 68_719_476_736.0;
    Alert::new(
        "FilesystemNearlyFull",
        |chosen| now(ids::FS_USAGE).per(now(ids::FS_LIMIT)).gt(chosen.threshold()),
        ON_CONTAINER,
        Runbook::new(
            "The container's writable layer takes more than 85 % of the file system that it lies on, which is the host's or a quota of its own, \
             for half an hour. What lies in volumes is not counted.",
            "At the end every write fails: `No space left on device`. Where the file system is the host's, that meets the engine and all its \
             containers.",
            &[
                FIND,
                Step::Shell("How large the writable layers are: the first number of SIZE.", "docker ps -a --size --format '{{.Names}}\\t{{.Size}}'"),
                Step::Shell("Which files were made or changed in it, and where most of it lies.", r#"docker diff "$C" | head -50
docker exec "$C" sh -c 'du -xk / 2>/dev/null | sort -n | tail -20'"#),
                Step::Shell("The file system under it, in bytes and inodes, and what else of the engine's lies there.", r#"ROOT=$(docker info -f '{{.DockerRootDir}}') # podman info -f '{{.Store.GraphRoot}}'
df -h "$ROOT"; df -i "$ROOT"; docker system df"#),
                Step::Query("Bytes of the writable layer (walked at most every 10 minutes).", || now(ids::FS_USAGE)),
                Step::Query("Free inodes.", || now(ids::FS_INODES_FREE)),
            ],
            &[
                "Delete what can go in the container (logs, temporary files), or make it anew: `docker rm` takes its writable layer along.",
                "Make room on the host: `docker image prune`, `docker builder prune`, `docker container prune`.",
                "What grows belongs in a volume; logs on stdout, with `max-size` and `max-file` of the engine's log driver.",
            ],
        ),
        |chosen| {
            let t = chosen.threshold();
            let of = |row| select(row).eq("device", "/dev/vda1");
            Trial::new(
                About::Container,
                above(t),
                vec![
                    Signal::gauge(of(ids::FS_USAGE), below(t) * SIZE, above(t) * SIZE),
                    Signal::gauge(of(ids::FS_LIMIT), SIZE, SIZE).divides(),
                ],
            )
        },
    )
    .says(
        "A container has filled its file system.",
        "The writable layer of container {container_name} on {instance} takes {value:percent} of {device}.",
    )
    .setting(Setting::threshold(0.85, "share of the file system"))
    .wait_minutes(30)
}

//! End-to-end tests: the built program against real containers of a real engine.
//!
//! `cargo xtask test` starts an engine and runs these; by hand, with an engine that runs anyway:
//! `CONTAINER_EXPORTER_E2E_ENGINE=unix:///var/run/docker.sock cargo test --test e2e`. The environment is all they know of the
//! host that they run on:
//!
//! | variable | what |
//! |---|---|
//! | `CONTAINER_EXPORTER_E2E_ENGINE` | the engine, as `DOCKER_HOST` has it; without it every test is skipped |
//! | `CONTAINER_EXPORTER_E2E_HOST` | the host's name in the lab; on others than `native` what is the same everywhere is left out |
//! | `CONTAINER_EXPORTER_E2E_PODMAN` | the system's Podman, as `CONTAINER_HOST` has it, where one runs beside the engine |
//! | `CONTAINER_EXPORTER_E2E_USERS` | set where users may be made and removed: the host goes away after the tests |
//! | `CONTAINER_EXPORTER_E2E_CLI` | the program that drives it: `docker` (the default) or `podman` |
//! | `CONTAINER_EXPORTER_E2E_PROGRAM` | the exporter, where it is not where cargo built it |
//! | `CONTAINER_EXPORTER_E2E_DOCKERD`, `_RUNC` | the programs of engines that tests start themselves, where they are not those on `PATH` |
//! | `CONTAINER_EXPORTER_E2E_DIRECTORY` | where such engines have their data: on a disk, not on an overlay |
//! | `CONTAINER_EXPORTER_E2E_SOAK_MINUTES` | how long the long forms take that `cargo xtask soak` runs (feature `soak`); 60 without it |
//! | `CONTAINER_EXPORTER_E2E_DISK` | an unused block device, whose content may go, where no loop device can be had |

mod harness;

mod absent;
mod alerts;
mod cli;
mod contained;
mod cpu;
mod dashboards;
mod deployed;
mod faults;
mod filesystem;
mod holdings;
mod io;
mod lifecycle;
mod memory;
mod network;
mod numbers;
mod oom;
mod otlp;
mod pages;
mod podman;
mod program;
mod prometheus;
mod remote;
mod restarts;
mod server;
mod services;

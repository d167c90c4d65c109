//! libFuzzer feeds the target whose name this binary bears.
#![no_main]

use std::sync::LazyLock;

use fuzz_targets::Target;
use libfuzzer_sys::fuzz_target;

static TARGET: LazyLock<Target> =
    LazyLock::new(|| fuzz_targets::find(env!("CARGO_BIN_NAME")).expect("a name in TARGETS"));

fuzz_target!(|data: &[u8]| (TARGET.run)(data));

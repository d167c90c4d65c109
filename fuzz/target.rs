//! libFuzzer feeds the target whose name this binary bears; the binary `any` feeds the one that FUZZ_TARGET names.
#![no_main]

use std::sync::LazyLock;

use fuzz_targets::Target;
use libfuzzer_sys::fuzz_target;

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let own = env!("CARGO_BIN_NAME");
    let name = if own == "any" { std::env::var("FUZZ_TARGET").unwrap_or_default() } else { own.to_owned() };
    fuzz_targets::find(&name).unwrap_or_else(|| panic!("no target is named {name:?}: set FUZZ_TARGET"))
});

fuzz_target!(|data: &[u8]| (TARGET.run)(data));

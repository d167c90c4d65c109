//! Numbers that look random and are a function of what they are asked for.

/// Mixes a number with another such that each bit depends on all bits (the finaliser of SplitMix64).
pub(crate) const fn mix(seed: u64, what: u64) -> u64 {
    let mut z =
        seed.wrapping_add(what.wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// As [`mix`], of a text.
pub(crate) fn mix_text(seed: u64, text: &str) -> u64 {
    text.bytes().fold(seed, |hash, byte| mix(hash, u64::from(byte)))
}

/// A number from 0 up to but without 1.
pub(crate) const fn unit(seed: u64, what: u64) -> f64 {
    (mix(seed, what) >> 11) as f64 / (1_u64 << 53) as f64
}

/// A number between the two.
pub(crate) const fn between(seed: u64, what: u64, low: f64, high: f64) -> f64 {
    low + (high - low) * unit(seed, what)
}

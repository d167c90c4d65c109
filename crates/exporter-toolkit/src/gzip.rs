//! gzip: who wants it, and a stream that compresses with state kept from earlier responses.
//!
//! The state of one deflate is some 300 kB; making and freeing it for each scrape is what would grow the memory of
//! a small exporter. So a few are kept and reset.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use flate2::{Compress, FlushCompress};

/// Size of a compressed piece: large enough to cost few system calls, small enough to keep per connection.
const OUTPUT_BYTES: usize = 32 << 10;

/// Input compressed before the task lets others run: about a millisecond of work.
pub(crate) const INPUT_BYTES_PER_TURN: usize = 256 << 10;

/// Compressors kept for reuse. A second scraper at the same moment gets a kept one too; more make their own.
const KEPT: usize = 2;

/// 32 KiB of window, the most that gzip has.
const WINDOW_BITS: u8 = 15;

/// When a route's responses are compressed, of those whose peer accepts gzip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Compression {
    /// Never.
    Never,
    /// Unless the peer is on a loopback address, to whom bytes are cheaper than compressing and decompressing them.
    #[default]
    Auto,
    /// Always.
    Always,
}

impl Compression {
    pub(crate) fn applies_to(self, peer: std::net::IpAddr) -> bool {
        match self {
            Self::Never => false,
            Self::Auto => !peer.to_canonical().is_loopback(),
            Self::Always => true,
        }
    }
}

/// Whether an Accept-Encoding list (RFC 9110 section 12.5.3) prefers gzip to plain bytes.
///
/// Equal weights mean gzip, because that is why a client names it.
pub(crate) fn accepted(list: &str) -> bool {
    let (mut gzip, mut identity, mut any) = (None, None, None);
    for item in list.split(',') {
        let mut parts = item.split(';').map(str::trim);
        let coding = parts.next().unwrap_or_default();
        let weight = parts.find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")));
        // A weight that cannot be read is not a wish.
        let weight = weight.map_or(1.0, |text| text.trim().parse().unwrap_or(0.0_f32));
        if coding.eq_ignore_ascii_case("gzip") || coding.eq_ignore_ascii_case("x-gzip") {
            gzip = Some(weight);
        } else if coding.eq_ignore_ascii_case("identity") {
            identity = Some(weight);
        } else if coding == "*" {
            any = Some(weight);
        }
    }
    // Plain bytes that nobody named are acceptable, but wanted less than anything named.
    let gzip = gzip.or(any).unwrap_or(0.0);
    gzip > 0.0 && gzip >= identity.unwrap_or(0.0)
}

/// Compressors that wait for their next response.
#[derive(Debug)]
pub(crate) struct Pool {
    kept: Mutex<Vec<Compress>>,
}

impl Pool {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { kept: Mutex::default() })
    }

    fn take(&self) -> Compress {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).pop();
        kept.unwrap_or_else(|| Compress::new_gzip(flate2::Compression::new(LEVEL), WINDOW_BITS))
    }

    /// Takes back the state of a stream that was finished. That of one that broke off is dropped: with zlib-rs 0.6.8 at
    /// level 1 a reset in the middle of a block leaves the block open, and the next stream is corrupt.
    fn give_back(&self, mut compress: Compress) {
        compress.reset();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < KEPT {
            kept.push(compress);
        }
    }
}

/// The level for pages of metrics. Of 835,179 bytes level 1 leaves 70,142 in 1.36 ms,
/// level 2 53,155 in 1.21 ms, level 3 48,957 in 1.93 ms, level 6 49,105 in 2.68 ms.
const LEVEL: u32 = 2;

/// What one call of [`Gzip::step`] came to.
#[derive(Debug)]
pub(crate) enum Step {
    /// A piece of output.
    Piece(Bytes),
    /// Enough was compressed for one turn; nothing to send yet.
    Yield,
    /// The stream is complete.
    End,
}

/// Compresses pieces into larger pieces; keeps one input and one output at most.
pub(crate) struct Gzip {
    /// `None` once the stream has ended, when the state went back to the pool.
    compress: Option<Compress>,
    pool: Arc<Pool>,
    input: Bytes,
    ended: bool,
    output: Vec<u8>,
}

impl Gzip {
    pub(crate) fn new(pool: &Arc<Pool>) -> Self {
        let output = Vec::with_capacity(OUTPUT_BYTES);
        Self { compress: Some(pool.take()), pool: pool.clone(), input: Bytes::new(), ended: false, output }
    }

    /// Works until a piece is full, the stream ends, or enough was done; `next` gives the next input.
    pub(crate) fn step(&mut self, mut next: impl FnMut() -> io::Result<Option<Bytes>>) -> io::Result<Step> {
        let Some(compress) = &mut self.compress else { return Ok(Step::End) };
        let start = compress.total_in();
        loop {
            if self.input.is_empty() && !self.ended {
                match next()? {
                    Some(input) => self.input = input,
                    None => self.ended = true,
                }
            }
            let flush = if self.ended { FlushCompress::Finish } else { FlushCompress::None };
            let before = compress.total_in();
            // A large body that is there whole must not be compressed in one go.
            let part = &self.input[..self.input.len().min(INPUT_BYTES_PER_TURN)];
            let status = compress.compress_vec(part, &mut self.output, flush).map_err(io::Error::other)?;
            // At most the length of the input, so it fits.
            let consumed = (compress.total_in() - before) as usize;
            self.input = self.input.slice(consumed..);

            if status == flate2::Status::StreamEnd {
                if let Some(compress) = self.compress.take() {
                    self.pool.give_back(compress);
                }
                return Ok(Step::Piece(std::mem::take(&mut self.output).into()));
            }
            if self.output.len() == self.output.capacity() {
                let full = std::mem::replace(&mut self.output, Vec::with_capacity(OUTPUT_BYTES));
                return Ok(Step::Piece(full.into()));
            }
            if compress.total_in() - start >= INPUT_BYTES_PER_TURN as u64 {
                return Ok(Step::Yield);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn accept_encoding_is_weighed() {
        let check = |list: &str, expect: bool| assert_eq!(accepted(list), expect, "{list:?}");
        check("", false);
        check("gzip", true);
        check("GZip", true);
        check("x-gzip", true);
        check("gzip, deflate, br", true);
        check("deflate, br", false);
        check("gzip;q=0", false);
        check("gzip; q=0.000", false);
        check("gzip;q=0.5", true);
        check("gzip;q=0.5, identity", false);
        check("gzip;q=0.5, identity;q=0.5", true);
        check("identity;q=0, gzip;q=0.1", true);
        check("*", true);
        check("*;q=0", false);
        check("gzip;q=0, *", false);
        check("gzip;q=nonsense", false);
        check("notgzip, gzip-not", false);
        check(",;,;q=1,", false);
    }

    #[test]
    fn loopback_is_spared_by_auto_alone() {
        let check = |peer: &str, expect: [bool; 3]| {
            let peer = peer.parse().expect("an address");
            let modes = [Compression::Never, Compression::Auto, Compression::Always];
            assert_eq!(modes.map(|mode| mode.applies_to(peer)), expect, "{peer}");
        };
        check("127.0.0.1", [false, false, true]);
        check("127.9.9.9", [false, false, true]);
        check("::1", [false, false, true]);
        check("::ffff:127.0.0.1", [false, false, true]);
        check("10.0.0.1", [false, true, true]);
        check("2001:db8::1", [false, true, true]);
    }

    fn compress(pool: &Arc<Pool>, pieces: Vec<Vec<u8>>) -> Vec<u8> {
        let mut gzip = Gzip::new(pool);
        let mut pieces = pieces.into_iter();
        let mut out = Vec::new();
        loop {
            match gzip.step(|| Ok(pieces.next().map(Bytes::from))).expect("compressing") {
                Step::Piece(piece) => {
                    assert!(piece.len() <= OUTPUT_BYTES);
                    out.extend_from_slice(&piece);
                }
                Step::Yield => {}
                Step::End => return out,
            }
        }
    }

    fn decompress(bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        flate2::read::GzDecoder::new(bytes).read_to_end(&mut out).expect("a gzip stream");
        out
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8))]
        #[test]
        fn streams_come_back_whole(seeds in prop::collection::vec((0_usize..50_000, any::<u64>(), any::<bool>()), 0..5)) {
            let pool = Pool::new();
            let pieces: Vec<Vec<u8>> = seeds.iter().map(|&(length, seed, plain)| {
                let mut state = seed | 1;
                (0..length).map(|_| {
                    state ^= state << 13; state ^= state >> 7; state ^= state << 17;
                    if plain { b'a' + (state % 3) as u8 } else { state as u8 }
                }).collect()
            }).collect();
            // Twice: the second runs on the state that the first gave back.
            for _ in 0..2 {
                prop_assert_eq!(decompress(&compress(&pool, pieces.clone())), pieces.concat());
            }
        }
    }

    #[test]
    fn one_turn_is_bounded_however_well_the_input_compresses() {
        let pool = Pool::new();
        let large = Bytes::from(vec![b'x'; 2 << 20]);
        for pieces in [vec![large.clone()], large.chunks(64 << 10).map(Bytes::copy_from_slice).collect()] {
            let mut gzip = Gzip::new(&pool);
            let mut pieces = pieces.into_iter();
            let mut steps = 0;
            let mut before = 0;
            while !matches!(gzip.step(|| Ok(pieces.next())).expect("compressing"), Step::End) {
                steps += 1;
                let total = gzip.compress.as_ref().map_or(large.len() as u64, Compress::total_in);
                assert!(total - before <= INPUT_BYTES_PER_TURN as u64 + (64 << 10), "in step {steps}");
                before = total;
            }
            assert!(steps >= large.len() / (INPUT_BYTES_PER_TURN + (64 << 10)));
        }
    }

    #[test]
    fn state_is_reused_and_bounded() {
        let pool = Pool::new();
        let kept = || pool.kept.lock().expect("no panic").len();
        let page = b"up 1\n".to_vec();
        let mut streams = [Gzip::new(&pool), Gzip::new(&pool), Gzip::new(&pool)];
        for gzip in &mut streams {
            assert!(matches!(gzip.step(|| Ok(None)), Ok(Step::Piece(_))));
            assert!(matches!(gzip.step(|| Ok(None)), Ok(Step::End)));
        }
        assert_eq!(kept(), KEPT);
        // One that breaks off does not come back, and what it left behind does not show.
        let mut broken_off = Gzip::new(&pool);
        let step = broken_off.step(|| Ok(Some(Bytes::from(vec![7_u8; INPUT_BYTES_PER_TURN]))));
        assert!(matches!(step, Ok(Step::Yield | Step::Piece(_))));
        drop(broken_off);
        assert_eq!(kept(), KEPT - 1);
        for _ in 0..3 {
            assert_eq!(decompress(&compress(&pool, vec![page.clone()])), page);
        }
        assert_eq!(kept(), KEPT - 1);
    }
}

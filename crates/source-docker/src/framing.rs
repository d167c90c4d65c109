//! Cuts the event stream into JSON documents.
//!
//! Engines write one document a line, but nothing promises it: documents may stand side by side, and a read may
//! end anywhere. So brackets are counted, not lines. A document past the size limit is skipped, not kept, and
//! the stream goes on after it.

/// One piece of the stream.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// A whole document.
    Document(Vec<u8>),
    /// Something that is none, or one that is too long.
    Junk,
}

/// Splits bytes into documents, however they are cut.
#[derive(Debug)]
pub(crate) struct Splitter {
    document: Vec<u8>,
    depth: u32,
    in_string: bool,
    escaped: bool,
    oversized: bool,
    in_junk: bool,
    bytes_max: usize,
}

impl Splitter {
    /// A splitter for documents of at most this many bytes.
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self {
            document: Vec::new(),
            depth: 0,
            in_string: false,
            escaped: false,
            oversized: false,
            in_junk: false,
            bytes_max,
        }
    }

    /// Whether the bytes so far end inside a document.
    pub(crate) fn is_inside(&self) -> bool {
        self.depth > 0
    }

    /// Takes the next bytes and hands each finished piece to `sink`.
    pub(crate) fn push(&mut self, bytes: &[u8], mut sink: impl FnMut(Piece)) {
        for &byte in bytes {
            if self.depth == 0 {
                self.outside(byte, &mut sink);
            } else {
                self.inside(byte, &mut sink);
            }
        }
    }

    fn outside(&mut self, byte: u8, sink: &mut impl FnMut(Piece)) {
        match byte {
            b'{' => {
                self.in_junk = false;
                self.depth = 1;
                self.document.clear();
                self.document.push(byte);
            }
            // 0x1E separates the records of application/json-seq.
            b' ' | b'\t' | b'\r' | b'\n' | 0x1e => self.in_junk = false,
            _ => {
                if !std::mem::replace(&mut self.in_junk, true) {
                    sink(Piece::Junk);
                }
            }
        }
    }

    fn inside(&mut self, byte: u8, sink: &mut impl FnMut(Piece)) {
        if self.document.len() < self.bytes_max {
            self.document.push(byte);
        } else if !self.oversized {
            self.oversized = true;
            self.document = Vec::new();
        }
        if self.in_string {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.in_string = false,
                // JSON has no raw line break in a string: the document was cut, and the next line is another.
                b'\n' => {
                    self.reset();
                    sink(Piece::Junk);
                }
                _ => {}
            }
            return;
        }
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' => self.depth = self.depth.saturating_add(1),
            b'}' | b']' => {
                self.depth -= 1;
                if self.depth == 0 {
                    let oversized = self.oversized;
                    let document = std::mem::take(&mut self.document);
                    self.reset();
                    sink(if oversized { Piece::Junk } else { Piece::Document(document) });
                }
            }
            _ => {}
        }
    }

    fn reset(&mut self) {
        self.document.clear();
        self.depth = 0;
        self.in_string = false;
        self.escaped = false;
        self.oversized = false;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(chunks: &[&[u8]], bytes_max: usize) -> (Vec<String>, bool) {
        let mut splitter = Splitter::new(bytes_max);
        let mut pieces = Vec::new();
        for chunk in chunks {
            splitter.push(chunk, |piece| {
                pieces.push(match piece {
                    Piece::Document(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
                    Piece::Junk => "junk".to_owned(),
                });
            });
        }
        (pieces, splitter.is_inside())
    }

    #[test]
    fn documents() {
        let check = |input: &str, expect: &[&str]| {
            let (pieces, inside) = split(&[input.as_bytes()], 64);
            assert_eq!(pieces, expect, "{input}");
            assert!(!inside, "{input}");
        };
        check("{}\n{\"a\":1}\n", &["{}", "{\"a\":1}"]);
        check("{\"a\":[{}]}{\"b\":\"}{\\\"\\\\\"}", &["{\"a\":[{}]}", "{\"b\":\"}{\\\"\\\\\"}"]);
        check("\u{1e}{}\r\n\u{1e}{}", &["{}", "{}"]);
        check("oops! {} [1] {}", &["junk", "{}", "junk", "{}"]);
        check("{\"cut\":\"in the mid\n{\"next\":1}\n", &["junk", "{\"next\":1}"]);
        check(&format!("{{\"long\":\"{}\"}}{{}}", "x".repeat(100)), &["junk", "{}"]);
    }

    #[test]
    fn a_cut_document_is_seen_as_cut() {
        assert!(split(&[b"{}\n{\"Type\":\"cont"], 64).1);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn cuts_do_not_matter(documents in prop::collection::vec("[a-z{}\\[\\]\"\\\\ \n]{0,20}", 0..6), size in 1usize..9) {
            let documents: Vec<String> = documents
                .iter()
                .map(|text| serde_json::json!({ "text": text, "list": [text, {}] }).to_string())
                .collect();
            let stream = documents.join("\n");
            let chunks: Vec<&[u8]> = stream.as_bytes().chunks(size).collect();
            prop_assert_eq!(split(&chunks, 4096), (documents, false));
        }

        #[test]
        fn nothing_panics_and_memory_is_bounded(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut splitter = Splitter::new(16);
            splitter.push(&bytes, |_| {});
            prop_assert!(splitter.document.len() <= 16);
        }
    }
}

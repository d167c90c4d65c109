//! Escaping of label values and HELP texts.

/// Appends a label value: `\` as `\\`, `"` as `\"`, a line feed as `\n`. The same in text 0.0.4 and OpenMetrics.
pub(crate) fn label_value(out: &mut String, value: &str) {
    escape(value, true, |piece| out.push_str(piece));
}

/// Appends a HELP text. Text 0.0.4 leaves `"` alone, OpenMetrics escapes it.
pub(crate) fn help(out: &mut Vec<u8>, help: &str, open_metrics: bool) {
    escape(help, open_metrics, |piece| out.extend_from_slice(piece.as_bytes()));
}

fn escape(text: &str, quotes: bool, mut push: impl FnMut(&str)) {
    let mut clean_from = 0;
    for (at, byte) in text.bytes().enumerate() {
        let escaped = match byte {
            b'\\' => r"\\",
            b'\n' => r"\n",
            b'"' if quotes => "\\\"",
            _ => continue,
        };
        push(&text[clean_from..at]);
        push(escaped);
        clean_from = at + 1;
    }
    push(&text[clean_from..]);
}

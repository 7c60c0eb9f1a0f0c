//! Finds the model's name in the first bytes of a body, so that a request that can't be served is refused before its
//! body is held. It believes nothing: what it finds is read again with the whole body, and what it does not find is
//! no fault.

/// Longest key or model name that is recognised, in bytes.
const TEXT_BYTES_MAX: usize = 512;

/// Follows a body from its first byte on, in constant memory.
#[derive(Debug, Default)]
pub(crate) struct ModelScan {
    depth: u32,
    in_text: bool,
    is_escaped: bool,
    /// The next text of the outermost object is a key.
    at_key: bool,
    /// The value that comes is the model's.
    at_model: bool,
    text: Vec<u8>,
    /// The search is over.
    done: bool,
}

impl ModelScan {
    /// Takes the next bytes; gives the name once, when it is there.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Option<String> {
        for &byte in bytes {
            if self.done {
                return None;
            }
            if self.in_text {
                if let Some(name) = self.text_byte(byte) {
                    return Some(name);
                }
                continue;
            }
            match byte {
                b'"' => {
                    self.in_text = true;
                    self.text.clear();
                }
                b'{' | b'[' => {
                    self.depth = self.depth.saturating_add(1);
                    self.at_key = self.depth == 1;
                    self.at_model = false;
                }
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    self.done = self.depth == 0;
                }
                b',' if self.depth == 1 => (self.at_key, self.at_model) = (true, false),
                _ => {}
            }
        }
        None
    }

    fn text_byte(&mut self, byte: u8) -> Option<String> {
        match byte {
            _ if self.is_escaped => self.is_escaped = false,
            b'\\' => {
                self.is_escaped = true;
                // A name that needs escapes is read with the whole body.
                self.done |= self.at_model;
                self.text.push(byte);
            }
            b'"' => {
                self.in_text = false;
                if self.depth != 1 {
                    return None;
                }
                if self.at_key {
                    (self.at_key, self.at_model) = (false, self.text == b"model");
                } else if self.at_model {
                    self.done = true;
                    return String::from_utf8(std::mem::take(&mut self.text)).ok();
                }
            }
            _ if self.depth == 1 && self.text.len() < TEXT_BYTES_MAX => self.text.push(byte),
            // Too long for a name.
            _ if self.depth == 1 && self.at_model => self.done = true,
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(body: &str) -> Option<String> {
        let whole = ModelScan::default().push(body.as_bytes());
        let mut scan = ModelScan::default();
        let piecewise = body.bytes().find_map(|it| scan.push(&[it]));
        assert_eq!(whole, piecewise, "{body}");
        whole
    }

    #[test]
    fn early_model_is_found_wherever_it_stands() {
        for body in [
            r#"{"model":"a/b""#,
            r#" { "model" : "a/b", "messages": [ "#,
            r#"{"messages":[{"role":"user","content":"\"model\":\"x\" }]"}],"model":"a/b"}"#,
            r#"{"x":{"model":"x"},"n":1,"y":["model","x"],"z":"model","model":"a/b"}"#,
            r#"{"stream":true,"model":"a/b"}"#,
        ] {
            assert_eq!(found(body).as_deref(), Some("a/b"), "{body}");
        }
    }

    #[test]
    fn early_name_with_escapes_is_left_to_the_parser() {
        let long = format!(r#"{{"model":"{}"}}"#, "x".repeat(TEXT_BYTES_MAX + 1));
        for body in [
            "",
            "{",
            r#"{"model":1,"x":"y"}"#,
            r#"{"model":["a"]}"#,
            r#"{"model":"a\u0062"}"#,
            r#"{"model":"a"#,
            &long,
            r#"{"a":1}{"model":"a"}"#,
        ] {
            assert_eq!(found(body), None, "{body}");
        }
    }

    #[test]
    fn early_long_text_takes_no_memory() {
        let mut scan = ModelScan::default();
        scan.push(b"{\"x\":\"");
        for _ in 0..1_000 {
            scan.push(&[b'a'; 1_000]);
        }
        assert!(scan.text.capacity() <= 2 * TEXT_BYTES_MAX, "{}", scan.text.capacity());
    }
}

//! Turns sampled tokens' bytes into text that may be sent: never half a character, never a part of a stop text.

/// Collects bytes and releases text.
#[derive(Debug, Default)]
pub struct TextOut {
    held: Vec<u8>,
    stops: Vec<Vec<u8>>,
}

/// What one token released.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct TextDelta {
    /// Text to send, possibly empty.
    pub text: String,
    /// Whether a stop text was met; nothing comes after it.
    pub stopped: bool,
}

impl TextOut {
    /// Text that ends before the first of `stops`.
    #[must_use]
    pub fn new(stops: &[String]) -> Self {
        Self { held: Vec::new(), stops: stops.iter().map(|it| it.as_bytes().to_vec()).collect() }
    }

    /// Takes one token's bytes and gives what can be sent now.
    pub fn push(&mut self, bytes: &[u8]) -> TextDelta {
        self.held.extend_from_slice(bytes);
        if let Some(at) = self.earliest_stop() {
            let text = String::from_utf8_lossy(&self.held[..at]).into_owned();
            self.held.clear();
            return TextDelta { text, stopped: true };
        }
        let free = self.held.len() - self.stop_beginning();
        TextDelta { text: self.release(free), stopped: false }
    }

    /// The end: gives what was held back.
    pub fn finish(&mut self) -> String {
        let text = String::from_utf8_lossy(&self.held).into_owned();
        self.held.clear();
        text
    }

    fn earliest_stop(&self) -> Option<usize> {
        self.stops.iter().filter_map(|stop| find(&self.held, stop)).min()
    }

    /// How many bytes at the end could be the beginning of a stop text.
    fn stop_beginning(&self) -> usize {
        let longest = |stop: &Vec<u8>| {
            let most = self.held.len().min(stop.len().saturating_sub(1));
            (1..=most).rev().find(|&len| self.held.ends_with(&stop[..len])).unwrap_or(0)
        };
        self.stops.iter().map(longest).max().unwrap_or(0)
    }

    /// Takes whole characters out of the first `free` bytes. Bytes that can never become one are replaced.
    fn release(&mut self, free: usize) -> String {
        let whole = match std::str::from_utf8(&self.held[..free]) {
            Ok(text) => {
                let text = text.to_owned();
                self.held.drain(..free);
                return text;
            }
            Err(_incomplete_or_invalid) => free - incomplete_end(&self.held[..free]),
        };
        let text = String::from_utf8_lossy(&self.held[..whole]).into_owned();
        self.held.drain(..whole);
        text
    }
}

/// How many bytes at the end begin a character that more bytes could complete.
fn incomplete_end(bytes: &[u8]) -> usize {
    let mut last = bytes.utf8_chunks();
    let Some(chunk) = last.by_ref().last() else { return 0 };
    let end = chunk.invalid();
    match std::str::from_utf8(end) {
        Err(error) if error.error_len().is_none() => end.len(),
        Ok(_) | Err(_) => 0,
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|it| it == needle)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn run(stops: &[&str], chunks: &[&[u8]]) -> (Vec<String>, bool) {
        let stops: Vec<_> = stops.iter().map(|it| (*it).to_owned()).collect();
        let mut out = TextOut::new(&stops);
        let mut texts = Vec::new();
        for chunk in chunks {
            let delta = out.push(chunk);
            texts.push(delta.text);
            if delta.stopped {
                return (texts, true);
            }
        }
        texts.push(out.finish());
        (texts, false)
    }

    #[test]
    fn a_character_split_over_tokens_is_sent_whole() {
        let (texts, _) = run(&[], &[b"a\xe2", b"\x82", b"\xacb"]);
        assert_eq!(texts, ["a", "", "€b", ""]);
    }

    #[test]
    fn text_bytes_that_are_invalid_are_replaced() {
        let (texts, _) = run(&[], &[b"a\xff\xfeb", b"\xe2"]);
        assert_eq!(texts.concat(), "a\u{fffd}\u{fffd}b\u{fffd}");
    }

    #[test]
    fn a_stop_text_over_token_borders_is_never_seen() {
        assert_eq!(
            run(&["END"], &[b"one E", b"N", b"D two"]),
            (vec!["one ".into(), String::new(), String::new()], true)
        );
    }

    #[test]
    fn stop_text_that_is_incomplete_is_sent() {
        assert_eq!(run(&["END"], &[b"E", b"N", b"ough"]).0.concat(), "ENough");
    }

    #[test]
    fn stop_text_that_is_earliest_wins() {
        assert_eq!(run(&["world", "o"], &[b"hello world"]), (vec!["hell".into()], true));
    }

    proptest! {
        #[test]
        fn text_is_the_same_wherever_it_is_cut(text in "[aé€😀EN]{0,20}", cuts in prop::collection::vec(0_usize..80, 0..6)) {
            let bytes = text.as_bytes();
            let mut cuts: Vec<_> = cuts.into_iter().map(|it| it.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let chunks: Vec<_> = cuts.windows(2).map(|it| &bytes[it[0]..it[1]]).collect();
            prop_assert_eq!(run(&["END"], &chunks).0.concat(), text);
        }
    }
}

//! Splits a byte stream into server-sent events, however it was split on its way. Only `data` fields
//! count; nothing grows beyond the line limit.

use memchr::memchr;

/// Longest line, and longest event.
pub(crate) const LINE_BYTES_MAX: usize = 1 << 20;

/// A line or an event is too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooLong;

/// What is left of the bytes so far.
#[derive(Debug, Default)]
pub(crate) struct Events {
    /// A line whose end has not come.
    line: Vec<u8>,
    /// The data of an event whose end has not come.
    data: Vec<u8>,
    has_data: bool,
}

impl Events {
    /// Takes a chunk and hands the data of each event that it completes to `each`.
    pub(crate) fn push<E: From<TooLong>>(
        &mut self,
        mut chunk: &[u8],
        mut each: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        while let Some(end) = memchr(b'\n', chunk) {
            let (line, rest) = chunk.split_at(end);
            chunk = rest.get(1..).unwrap_or_default();
            if self.line.is_empty() {
                self.line(line, &mut each)?;
            } else {
                let mut whole = std::mem::take(&mut self.line);
                fits(whole.len() + line.len())?;
                whole.extend_from_slice(line);
                self.line(&whole, &mut each)?;
                whole.clear();
                self.line = whole;
            }
        }
        fits(self.line.len() + chunk.len())?;
        self.line.extend_from_slice(chunk);
        Ok(())
    }

    fn line<E: From<TooLong>>(
        &mut self,
        line: &[u8],
        each: &mut impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            if self.has_data {
                each(&self.data)?;
            }
            self.data.clear();
            self.has_data = false;
        } else if let Some(data) = line.strip_prefix(b"data:") {
            let data = data.strip_prefix(b" ").unwrap_or(data);
            fits(self.data.len() + data.len() + 1)?;
            if self.has_data {
                self.data.push(b'\n');
            }
            self.data.extend_from_slice(data);
            self.has_data = true;
        }
        Ok(())
    }
}

fn fits(bytes: usize) -> Result<(), TooLong> {
    if bytes <= LINE_BYTES_MAX { Ok(()) } else { Err(TooLong) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn events<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<String>, TooLong> {
        let (mut events, mut seen) = (Events::default(), Vec::new());
        for chunk in chunks {
            events.push(chunk, |data| {
                seen.push(String::from_utf8_lossy(data).into_owned());
                Ok::<_, TooLong>(())
            })?;
        }
        Ok(seen)
    }

    const SAMPLE: &str = ": hello\r\n\r\ndata: {\"a\":\"é🦀\"}\n\nevent: x\nid: 7\ndata:one\ndata: two\r\n\r\n\n\ndata:\n\ndata: [DONE]\n\ndata: cut";

    #[test]
    fn sse_events_are_the_same_wherever_they_are_cut() {
        let whole = events([SAMPLE.as_bytes()]).unwrap();
        assert_eq!(whole, ["{\"a\":\"é🦀\"}", "one\ntwo", "", "[DONE]"]);
        for at in 0..=SAMPLE.len() {
            let (left, right) = SAMPLE.as_bytes().split_at(at);
            assert_eq!(events([left, right]).unwrap(), whole, "cut at {at}");
        }
        assert_eq!(events(SAMPLE.as_bytes().chunks(1)).unwrap(), whole);
    }

    #[test]
    fn sse_without_an_end_is_refused_in_bounded_memory() {
        let chunk = vec![b'x'; 64 * 1024];
        assert_eq!(events(std::iter::repeat_n(&chunk[..], 17)), Err(TooLong));
        let line = format!("data: {}\n", "x".repeat(1_000));
        assert_eq!(events(std::iter::repeat_n(line.as_bytes(), 2_000)), Err(TooLong));
        assert!(events(std::iter::repeat_n(format!("{line}\n").as_bytes(), 2_000)).is_ok());
    }

    proptest! {
        #[test]
        fn sse_bytes_in_any_chunks_give_the_same_events(
            bytes in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), Just(b':'), Just(b'd'), any::<u8>()], 0..400),
            lines in proptest::collection::vec("(data: ?)?[a-z\n]{0,5}", 0..20),
            size in 1_usize..17,
        ) {
            let all = [lines.join("\n").into_bytes(), bytes].concat();
            prop_assert_eq!(events([&all[..]]), events(all.chunks(size)));
        }
    }
}

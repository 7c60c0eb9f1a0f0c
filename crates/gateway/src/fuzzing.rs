//! What must hold of any bytes that clients and engines send. Run by the targets in `fuzz/`, and over their kept inputs
//! by the tests.

#![expect(clippy::expect_used, reason = "a promise that does not hold ends the fuzzer with a message")]

use crate::request::{Kind, Parsed};
use crate::stream::{Broken, Events, Rewriter, TooLong};

/// Requests whose answers are rewritten, by the first byte of an input.
const ASKED: [(Kind, &[u8]); 5] = [
    (Kind::Chat, br#"{"model":"m","messages":[{"role":"user","content":"a"}],"stream":true}"#),
    (Kind::Chat, br#"{"model":"m","messages":[{"role":"user","content":"a"}],"stream":true,"n":2,"seed":7}"#),
    (Kind::Chat, br#"{"model":"m","messages":[{"role":"user","content":"a"}],"stream":true,"echo":true}"#),
    (Kind::Completions, br#"{"model":"m","prompt":"one two","stream":true,"echo":true,"logprobs":1}"#),
    (Kind::Completions, br#"{"model":"m","prompt":"one two","stream":true,"n":3}"#),
];

/// Events mean the same however their bytes were cut.
pub fn sse(input: &[u8]) {
    let Some((size, bytes)) = input.split_first() else { return };
    let events = |size: usize| {
        let (mut events, mut seen) = (Events::default(), Vec::new());
        for piece in bytes.chunks(size.max(1)) {
            events.push(piece, |data| {
                assert!(data.len() <= bytes.len());
                seen.push(data.to_vec());
                Ok::<_, TooLong>(())
            })?;
        }
        Ok::<_, TooLong>(seen)
    };
    let whole = events(bytes.len());
    assert_eq!(whole, events(usize::from(*size)));
    assert_eq!(whole, events(1));
}

/// A body that is taken becomes a request that an engine can read, for the model that it is given.
pub fn request(input: &[u8]) {
    let Some((kind, body)) = input.split_first() else { return };
    let kind = Kind::ALL[usize::from(*kind) % Kind::ALL.len()];
    let Ok(parsed) = Parsed::read(kind, body) else { return };
    let Ok(job) = parsed.translate(4_096) else { return };
    assert!(job.n > 0 && !job.model.is_empty());
    let body = job.body_for("an \"engine's\" name");
    let sent: serde_json::Value = serde_json::from_slice(&body).expect("the engine's request is JSON");
    assert_eq!(sent["model"], "an \"engine's\" name", "{sent}");
    // What we write we take again.
    assert!(sent.as_object().is_some_and(|it| it.len() > 1), "{sent}");
}

/// A stream is rewritten to whole events of the contract, the same ones however it was cut, and ends once.
pub fn stream(input: &[u8]) {
    let [asked, size, bytes @ ..] = input else { return };
    let (kind, body) = ASKED[usize::from(*asked) % ASKED.len()];
    let parsed = Parsed::read(kind, body).expect("it is a request");
    let mut job = parsed.translate(4_096).expect("it is a right one");
    job.is_openai = asked & 0x80 != 0;
    let rewrite = |size: usize| {
        let mut rewriter = Rewriter::new("req_1", 7, &job);
        let mut out = Vec::new();
        let mut went = Ok(());
        for piece in bytes.chunks(size.max(1)) {
            went = rewriter.push(piece, &mut out);
            if went.is_err() {
                break;
            }
        }
        (out, went, rewriter.is_done())
    };
    let whole = rewrite(bytes.len());
    assert_eq!(whole, rewrite(usize::from(*size)));
    let (out, went, is_done) = whole;
    check_events(&out, is_done);
    assert!(!(is_done && went == Err(Broken::Unfinished)));
}

fn check_events(out: &[u8], is_done: bool) {
    let text = std::str::from_utf8(out).expect("what clients get is UTF-8");
    let mut n_usages = 0;
    assert!(text.is_empty() || text.ends_with("\n\n"), "a part of an event was written");
    let events: Vec<&str> = text.split_terminator("\n\n").collect();
    for (at, event) in events.iter().enumerate() {
        let data = event.strip_prefix("data: ").expect("an event is one line of data");
        if data == "[DONE]" {
            assert!(is_done && at + 1 == events.len(), "it is the last event");
            continue;
        }
        let value: serde_json::Value = serde_json::from_str(data).expect("an event is JSON");
        assert!(value["choices"].as_array().is_some_and(|it| !it.is_empty()), "{data}");
        n_usages += u32::from(!value["usage"].is_null());
    }
    assert!(n_usages <= 1, "usage is told {n_usages} times");
    assert_eq!(is_done, events.last() == Some(&"data: [DONE]"));
}

#[cfg(test)]
mod tests {
    #[test]
    fn fuzz_corpus_of_sse_holds() {
        dedi_testing::replay("sse", super::sse);
    }

    #[test]
    fn fuzz_corpus_of_requests_holds() {
        dedi_testing::replay("request", super::request);
    }

    #[test]
    fn fuzz_corpus_of_streams_holds() {
        dedi_testing::replay("stream", super::stream);
    }
}

//! What a program says last, of its own accord, when it gives itself up.

/// Where an assertion's message is followed by a debugger's try to look, the runtime's own farewell or a list of frames,
/// the message is what tells.
const FAREWELLS: [&str; 9] = [
    "GGML_ASSERT(",
    "GGML_ABORT(",
    "terminate called",
    "what():",
    "Assertion `",
    "assertion failed",
    "panicked at",
    "fatal runtime error",
    "stack smashing detected",
];
/// Languages whose libraries put the place of a failed assertion before its message: `…/ggml.c:123: fatal error`.
const SOURCES: [&str; 8] = [".c:", ".cc:", ".cpp:", ".cu:", ".h:", ".hpp:", ".m:", ".mm:"];

/// Whether a program says with this line that it gives itself up.
pub fn is_farewell(line: &str) -> bool {
    FAREWELLS.iter().any(|it| line.contains(it)) || SOURCES.iter().any(|it| is_place(line, it))
}

/// Whether a line begins with a place in a source, as `file.c:123: `.
fn is_place(line: &str, source: &str) -> bool {
    let Some((file, rest)) = line.trim_start().split_once(source) else { return false };
    let Some((number, said)) = rest.split_once(':') else { return false };
    let is_number = !number.is_empty() && number.bytes().all(|it| it.is_ascii_digit());
    is_number && !file.contains(char::is_whitespace) && !said.trim().is_empty()
}

/// The line that tells most of an end, of lines that come oldest first: the last in which the program gives itself up,
/// else the last with anything in it.
pub fn last_words(lines: &[String]) -> Option<&str> {
    let said = lines.iter().rev().find(|it| is_farewell(it));
    let last = || lines.iter().rev().find(|it| !it.trim().is_empty());
    said.or_else(last).map(|it| it.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(all: &[&str]) -> Vec<String> {
        all.iter().map(|it| (*it).to_owned()).collect()
    }

    #[test]
    fn last_words_of_an_assertion_are_its_message() {
        let asserted = "/src/ggml/src/ggml.c:1721: GGML_ASSERT(n_dims >= 1) failed";
        let after = ["loading", asserted, "ptrace: Operation not permitted.", "No stack.", "", " "];
        assert_eq!(last_words(&lines(&after)), Some(asserted));
        for line in [
            "/build/llama-vocab.cpp:88: fatal error",
            "terminate called after throwing an instance of 'std::out_of_range'",
            "thread 'model' panicked at src/main.rs:1:1:",
            "python: a.c:7: f: Assertion `x > 0' failed.",
        ] {
            assert!(is_farewell(line), "{line}");
        }
    }

    #[test]
    fn last_words_without_an_assertion_are_the_last_line() {
        assert_eq!(last_words(&lines(&["a", "b ", ""])), Some("b"));
        assert_eq!(last_words(&lines(&["", " "])), None);
        for line in
            ["see main.c:12", "open /models/a.c:12", "at 12:30: done", "a.cpp: no such file", "GET /a.h:1:"]
        {
            assert!(!is_farewell(line), "{line}");
        }
    }
}

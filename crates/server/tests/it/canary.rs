//! What a client says and the key it says it with are nowhere but in the answer and, of the key, its hash in the
//! database: no log, metric, event, error, file or environment has them.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::fakes;
use crate::plane::{Answer, TestPlane};

/// In every prompt. Not a word that any model would say.
const PROMPT: &str = "zyxCANARYprompt4711";

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            files(&entry.path(), found);
        } else if kind.is_file() {
            found.push(entry.path());
        }
    }
}

fn contains(bytes: &[u8], word: &str) -> bool {
    bytes.windows(word.len()).any(|it| it == word.as_bytes())
}

/// Says everything that goes wrong and right in its own way, with the prompt in each.
fn talk(plane: &TestPlane, id: &str) -> Vec<Answer> {
    let message = json!([{"role": "user", "content": PROMPT}]);
    let chat = |more: Value| {
        let mut body = json!({"model": id, "messages": message, "max_tokens": 4, "temperature": 0});
        for (name, value) in more.as_object().unwrap() {
            body[name] = value.clone();
        }
        plane.post("/chat/completions", &body)
    };
    plane.stream(
        &json!({"model": id, "messages": message, "max_tokens": 4, "temperature": 0, "stream": true}),
        |_| true,
    );
    vec![
        chat(json!({})),
        plane.post("/completions", &json!({"model": id, "prompt": PROMPT, "max_tokens": 4})),
        chat(json!({"temperature": PROMPT})),
        chat(json!({"temperature": 99})),
        chat(json!({"messages": PROMPT})),
        chat(json!({"messages": [{"role": "nobody", "content": PROMPT}]})),
        chat(json!({"stop": [[PROMPT]]})),
        chat(
            json!({"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "nothing", "description": PROMPT}}}}),
        ),
        chat(json!({"model": "nobody/nothing"})),
        plane.post("/embeddings", &json!({"model": id, "input": {"text": PROMPT}})),
    ]
}

/// Where a word is that should be nowhere.
fn leaks(plane: &TestPlane, word: &str, but: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    files(plane.data().parent().unwrap(), &mut found);
    let is_other = |it: &PathBuf| !but.iter().any(|name| it.ends_with(name));
    let mut leaks: Vec<String> = found
        .into_iter()
        .filter(is_other)
        .filter(|it| std::fs::read(it).is_ok_and(|bytes| contains(&bytes, word)))
        .map(|it| it.display().to_string())
        .collect();
    for pid in plane.processes() {
        for part in ["cmdline", "environ"] {
            let file = format!("/proc/{pid}/{part}");
            if std::fs::read(&file).is_ok_and(|bytes| contains(&bytes, word)) {
                leaks.push(file);
            }
        }
    }
    let metrics = fakes::ask(&plane.data().join("admin.sock"), "/metrics");
    assert!(metrics.contains("dedi_"), "{metrics}");
    if metrics.contains(word) {
        leaks.push("the metrics".to_owned());
    }
    leaks
}

fn must_be_quiet(plane: &TestPlane, id: &str, answers: &[Answer]) {
    let key = plane.key().to_owned();
    // The key's public part is its name; the rest of it is the secret.
    let secret = key.rsplit('_').nth(1).unwrap().to_owned();
    assert_eq!(secret.len(), 43, "the form of a key");
    for path in [format!("/endpoints/{id}"), format!("/endpoints/{id}/events"), "/endpoints".to_owned()] {
        let said = plane.get(&path).body.to_string();
        assert!(!said.contains(PROMPT) && !said.contains(&secret), "{path}: {said}");
    }
    for it in answers.iter().filter(|it| it.status != 200) {
        let said = it.body.to_string();
        assert!(!said.contains(PROMPT) && !said.contains(&secret), "an error says what was asked: {said}");
    }
    assert_eq!(leaks(plane, PROMPT, &[]), [""; 0]);
    assert_eq!(leaks(plane, &secret, &["admin.key"]), [""; 0]);
}

#[test]
fn prompts_and_keys_are_in_no_log_metric_event_error_or_row() {
    let plane = TestPlane::start();
    let id = plane.create("1x_cpu_1gb", 1, 1)["id"].as_str().unwrap().to_owned();
    plane.until_state(&id, "STARTED");
    let answers = talk(&plane, &id);
    let statuses: Vec<u16> = answers.iter().map(|it| it.status).collect();
    assert_eq!(statuses[..2], [200, 200], "{statuses:?}");
    assert!(statuses[2..].iter().all(|it| (400..500).contains(it)), "{statuses:?}");
    must_be_quiet(&plane, &id, &answers);
    // That it looks where it would be.
    assert!(plane.log().contains(&id));
    assert_ne!(leaks(&plane, &id, &[]), [""; 0]);
}

#[test]
fn engines_that_fail_take_no_prompt_or_key_into_a_log() {
    let plane = fakes::plane("", "");
    for (mode, status) in [("busy.1", 503), ("crash-at-token.2", 502)] {
        let id = fakes::create(&plane, mode);
        plane.until_state(&id, "STARTED");
        let answers = vec![plane.chat(&id, PROMPT)];
        assert_eq!(answers[0].status, status, "{mode}: {}", answers[0].body);
        must_be_quiet(&plane, &id, &answers);
    }
}

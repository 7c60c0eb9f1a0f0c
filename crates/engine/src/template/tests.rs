use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/templates")
}

fn read(name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(folder().join(name)).unwrap()).unwrap()
}

fn compiled(source: &str) -> Result<ChatTemplate, TemplateError> {
    let environment = on_deep_stack(|| environment(source, "<s>".into(), "</s>".into()))?;
    Ok(ChatTemplate {
        environment,
        habits: Habits::default(),
        source: source.to_owned(),
        gate: gate::Gate::default(),
        fuel: FUEL,
    })
}

/// Renders as the reference does: everything is a variable, and nothing is tried out before.
fn render_with(source: &str, variables: &Value) -> Result<String, TemplateError> {
    let template = compiled(source)?;
    let mut more: Map<String, Value> = variables.as_object().unwrap().clone();
    let messages = more.remove("messages").unwrap();
    let tools = more.remove("tools").filter(|it| !it.is_null());
    let add_generation_prompt = more.remove("add_generation_prompt").unwrap() == true;
    let messages = messages.as_array().unwrap();
    raw(&template, &Conversation { messages, tools: tools.as_ref(), add_generation_prompt, more })
}

fn raw(template: &ChatTemplate, conversation: &Conversation<'_>) -> Result<String, TemplateError> {
    on_deep_stack(|| template.render_here(conversation))
}

/// How renderings stand to Jinja2's: what `differences.json` lists is left out, and must be there.
#[derive(Default)]
struct Comparison {
    new: BTreeMap<String, String>,
    met: BTreeSet<String>,
}

impl Comparison {
    fn add(&mut self, name: &str, ours: Result<String, TemplateError>, theirs: &Value, listed: &Value) {
        let said = theirs["error"].as_str().unwrap_or_default();
        let (list, what, how) = match (&ours, theirs["prompt"].as_str()) {
            (Ok(ours), Some(theirs)) if ours == theirs => return,
            (Err(_), None) => return,
            (Ok(ours), Some(theirs)) => {
                let same = ours.chars().zip(theirs.chars()).take_while(|(a, b)| a == b).count();
                let near = |it: &str| it.chars().skip(same.saturating_sub(20)).take(60).collect::<String>();
                ("otherwise", name.to_owned(), format!("{:?} instead of {:?}", near(ours), near(theirs)))
            }
            (Err(error), Some(_)) => ("refused", error.to_string(), error.to_string()),
            (Ok(_), None) => ("taken", said.to_owned(), said.to_owned()),
        };
        let known = listed[list].as_object().unwrap().keys().find(|it| what.contains(*it));
        match known {
            Some(known) => drop(self.met.insert(format!("{list}: {known}"))),
            None => drop(self.new.insert(name.to_owned(), format!("{list}: {how}"))),
        }
    }

    fn check(&self, listed: &Value) {
        let all = listed.as_object().unwrap().iter();
        let all =
            all.flat_map(|(list, it)| it.as_object().unwrap().keys().map(move |it| format!("{list}: {it}")));
        let gone: Vec<_> = all.filter(|it| !self.met.contains(it)).collect();
        assert!(
            self.new.is_empty() && gone.is_empty(),
            "new: {:#?}\nlisted and not met: {gone:#?}",
            self.new
        );
    }
}

#[test]
fn template_constructs_render_as_jinja2_renders_them() {
    let (context, expected) = (read("context.json"), read("expected.json"));
    let listed = &read("differences.json")["constructs"];
    let source = std::fs::read_to_string(folder().join("constructs.txt")).unwrap();
    let mut comparison = Comparison::default();
    let mut count = 0;
    for part in format!("\n{source}").split("\n=== ").skip(1) {
        let (name, template) = part.split_once('\n').unwrap();
        let theirs = expected.get(name).unwrap_or_else(|| panic!("run constructs.py: {name} is new"));
        count += 1;
        comparison.add(name, render_with(template, &context), theirs, listed);
    }
    assert_eq!(count, expected.as_object().unwrap().len());
    comparison.check(listed);
}

/// The published templates, when `make template-sweep` has put Jinja2's renderings there.
#[test]
fn template_sweep_of_published_templates_has_no_unlisted_difference() {
    let Some(path) = std::env::var_os("DEDI_TEMPLATE_SWEEP") else { return };
    let sweep: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let now: jiff::civil::DateTime = sweep["now"].as_str().unwrap().parse().unwrap();
    let now = now.to_zoned(jiff::tz::TimeZone::UTC).unwrap();
    let listed = &read("differences.json")["published"];
    let mut comparison = Comparison::default();
    let mut templates = BTreeMap::new();
    for case in sweep["cases"].as_array().unwrap() {
        let name = case["template"].as_str().unwrap();
        let template = templates.entry(name).or_insert_with(|| {
            let mut template = compiled(sweep["templates"][name].as_str().unwrap()).unwrap();
            let now = now.clone();
            template.environment.add_function("strftime_now", move |it: &str| filters::strftime(it, &now));
            template
        });
        let mut more = case["context"].as_object().unwrap().clone();
        let messages = more.remove("messages").unwrap();
        let tools = more.remove("tools").filter(|it| !it.is_null());
        let add_generation_prompt = more.remove("add_generation_prompt").unwrap() == true;
        let conversation = Conversation {
            messages: messages.as_array().unwrap(),
            tools: tools.as_ref(),
            add_generation_prompt,
            more,
        };
        let name = format!("{name}: {}", case["conversation"].as_str().unwrap());
        comparison.add(&name, raw(template, &conversation), case, listed);
    }
    comparison.check(listed);
}

const PIECES: [&str; 60] = [
    "{{",
    "}}",
    "{%",
    "%}",
    "{#",
    "#}",
    "{%-",
    "-%}",
    "{{-",
    "-}}",
    "+%}",
    "{",
    "}",
    "(",
    ")",
    "[",
    "]",
    "'",
    "\"",
    "\\",
    "\\x",
    "\\u00e9",
    "\n",
    " ",
    "é",
    "🙂",
    "\u{1c}",
    "raw",
    "endraw",
    "generation",
    "endgeneration",
    "for",
    "in",
    "if",
    "endif",
    "endfor",
    "set",
    "=",
    "macro",
    "m(a=1)",
    "endmacro",
    "%",
    "~",
    "+",
    "-",
    "*",
    "**",
    ",",
    ".",
    "|",
    "x",
    "1",
    "0x",
    "1e5",
    "1.",
    "_",
    "not",
    "is",
    "upper",
    "kwargs",
];

proptest! {
    #[test]
    fn template_source_of_any_pieces_is_read_or_refused(pieces in prop::collection::vec(prop::sample::select(&PIECES[..]), 0..40)) {
        let source = pieces.concat();
        let inside = format!("{{{{ {} }}}}", pieces.join(" "));
        for source in [source, inside] {
            if let Ok(template) = compiled(&source) {
                let _refused_or_not = raw(&template, &Conversation::default());
            }
        }
    }

    #[test]
    fn template_formats_of_any_pieces_are_written_or_refused(form in "[%{}:!a-z0-9.<>^=+# \\[\\]*,é-]{0,12}", number in any::<f64>()) {
        let template = compiled("{{ form % number }}{{ form.format(number, a=number) }}{{ form % form }}{{ form.format(form) }}").unwrap();
        let separate = ["{{ form % number }}", "{{ form.format(number, a=number) }}", "{{ form % form }}", "{{ form.format(form) }}"];
        let more = Map::from_iter([("form".to_owned(), json!(form)), ("number".to_owned(), json!(number))]);
        let _refused_or_not = raw(&template, &Conversation { more: more.clone(), ..Conversation::default() });
        for source in separate {
            let _refused_or_not = raw(&compiled(source).unwrap(), &Conversation { more: more.clone(), ..Conversation::default() });
        }
    }
}

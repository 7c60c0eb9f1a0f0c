//! What templates do to take time, memory or the stack; each is refused, in bounded time.

use std::time::{Duration, Instant};

use serde_json::json;

use super::*;

// A busy machine, and a build without optimizations.
const TIME_MAX: Duration = Duration::from_secs(60);
// The same limits as in earnest but this one, which is what takes time.
const LITTLE_FUEL: u64 = 10_000;

fn outcome(source: &str) -> Result<String, TemplateError> {
    outcome_with(source, LITTLE_FUEL)
}

fn outcome_with(source: &str, fuel: u64) -> Result<String, TemplateError> {
    let begun = Instant::now();
    let template = ChatTemplate::with_fuel(source, "<s>".into(), "</s>".into(), fuel);
    let outcome = template.and_then(|it| {
        let messages = [json!({"role": "user", "content": "Hi"})];
        match it.render(&Conversation { messages: &messages, ..Conversation::default() }) {
            // That the message is not in it is not what these are about.
            Err(TemplateError::Empty) => Ok(String::new()),
            other => other,
        }
    });
    assert!(begun.elapsed() < TIME_MAX, "{source} took {:?}", begun.elapsed());
    outcome
}

fn assert_refused(source: &str) {
    let outcome = outcome(source);
    let begins: String = source.chars().take(200).collect();
    assert!(outcome.is_err(), "taken, {} bytes: {begins}", outcome.map_or(0, |it| it.len()));
}

/// A loop that doubles what `ns.x` holds.
fn doubling(start: &str, doubled: &str, then: &str) -> String {
    format!(
        "{{% set ns = namespace(x={start}) %}}{{% for i in range(60) %}}{{% set ns.x = {doubled} %}}{{% endfor %}}{then}"
    )
}

#[test]
fn template_loops_end() {
    let endless = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}";
    assert!(
        matches!(outcome_with(endless, FUEL), Err(TemplateError::Unusable(it)) if it.contains("limit of computation"))
    );
    assert_refused(endless);
    assert_refused("{% for a in range(100001) %}{% endfor %}");
    assert_refused("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}");
    assert_refused("{% macro m() %}{{ m() }}{{ m() }}{% endmacro %}{{ m() }}");
    assert_refused("{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}");
}

#[test]
fn template_texts_do_not_grow_without_end() {
    for doubled in [
        "ns.x ~ ns.x",
        "ns.x + ns.x",
        "ns.x * 2",
        "ns.x|replace('a', 'aa')",
        "[ns.x, ns.x]|join",
        "ns.x.replace('a', 'aa')",
        "''.join([ns.x, ns.x])",
        "'%s%s' % (ns.x, ns.x)",
        "'{0}{0}'.format(ns.x)",
        "ns.x|string ~ ns.x",
        "(ns.x ~ ns.x)|trim",
        "'%s%s'|format(ns.x, ns.x)",
    ] {
        assert_refused(&doubling("'a'", doubled, ""));
    }
    assert_refused(&doubling(
        "'a\\n'",
        "ns.x|indent(9)",
        "{% for i in range(9) %}{{ ns.x * 9999999 }}{% endfor %}",
    ));
    assert_refused(
        "{% set ns = namespace(x='') %}{% for i in range(60) %}{% set ns.x %}{{ ns.x }}{{ ns.x }}a{% endset %}{% endfor %}",
    );
}

#[test]
fn template_widths_and_counts_are_bounded() {
    for source in [
        "{{ 'x' * 1000000000000 }}",
        "{{ ([0] * 1000000000)|list|length }}",
        "{{ 'x'.center(10000000000) }}",
        "{{ 'x'.ljust(10000000000) }}",
        "{{ '7'.zfill(10000000000) }}",
        "{{ 'x'|center(10000000000) }}",
        "{{ '\t'.expandtabs(10000000000) }}",
        "{{ '%10000000000s' % 'x' }}",
        "{{ '%.10000000000f' % 1 }}",
        "{{ '{:10000000000}'.format(1) }}",
        "{{ '%*d' % (10000000000, 1) }}",
        "{{ 'a\nb'|indent(10000000000) }}",
        "{{ [1]|batch(1000000000, 0)|list|length }}",
        "{{ [1]|slice(1000000000)|list|length }}",
        "{{ 10 ** 100000000 }}",
        "{{ ('a' * 9000).replace('', 'b' * 90000)|length }}",
        "{{ ('a' * 9000).split('a')|join('b' * 90000)|length }}",
        "{{ ('a' * 9000)|replace('a', 'b' * 90000)|length }}",
        "{{ [1]|tojson(indent=1000000000) }}",
        "{{ 1.5|round(1000000000) }}",
    ] {
        assert_refused(source);
    }
}

#[test]
fn template_lists_do_not_grow_without_end() {
    for then in [
        "{{ ns.x }}",
        "{{ ns.x|tojson }}",
        "{{ ns.x|string|length }}",
        "{{ ns.x ~ '' }}",
        "{{ ns.x|list|length }}",
        "{% for a in ns.x %}{% endfor %}",
        "{{ ns.x|sort|length }}",
        "{{ ns.x|unique|list }}",
        "{{ ns.x == ns.x + [1] }}",
        "{{ 7 in ns.x }}",
        "{{ ns.x|sum }}",
        "{{ ns.x|join }}",
        "{{ ns.x|map('string')|list }}",
        "{{ ns.x|select('gt', 3)|list }}",
    ] {
        assert_refused(&doubling("[1]", "ns.x + ns.x", then));
    }
    for then in ["{{ ns.x }}", "{{ ns.x|tojson }}", "{{ ns.x|string|length }}", "{{ ns.x ~ '' }}"] {
        assert_refused(&doubling("[1]", "[ns.x, ns.x]", then));
        assert_refused(&doubling("{'a': 1}", "{'a': ns.x, 'b': ns.x}", then));
    }
}

#[test]
fn template_sorting_and_splitting_again_and_again_ends() {
    for what in [
        "range(9000)|sort|length",
        "('b a ' * 9000).split()|length",
        "('ab' * 9000)|list|sort|length",
        "range(9000)|map('string')|unique|list|length",
        "('a' * 9000)|upper|length",
        "('a' * 9000).count('b')",
        "range(9000)|list|tojson|length",
        "'b' in 'a' * 9000",
        "('a\n' * 9000).splitlines()|length",
        "range(9000)|groupby(attribute=0)|length",
        "('a' * 9000)|title|wordcount",
        "range(9000)|batch(2)|list|length",
    ] {
        assert_refused(&format!(
            "{{% for i in range(99999) %}}{{% if {what} == 0 %}}{{% endif %}}{{% endfor %}}"
        ));
    }
}

/// Values piled up by a loop: the fuel ends it, or it ends, and what they hold is let go without a fall.
#[test]
fn template_values_nested_deep_do_not_overflow_the_stack() {
    for piled in
        ["[ns.x]", "{'a': ns.x}", "(ns.x,)", "namespace(x=ns.x)", "[ns.x] + [1]", "ns.x|map('string')"]
    {
        for then in [
            "",
            "{{ ns.x }}",
            "{{ ns.x|tojson }}",
            "{{ ns.x == ns.x }}",
            "{{ ns.x ~ 1 }}",
            "{{ ns.x is in [ns.x] }}",
        ] {
            let source = format!(
                "{{% set ns = namespace(x=[]) %}}{{% for a in range(99) %}}{{% for b in range(99) %}}\
                 {{% set ns.x = {piled} %}}{{% endfor %}}{{% endfor %}}{then}"
            );
            let _refused_or_not = outcome(&source);
            let shorter = source.replacen("range(99)", "range(2)", 1);
            let _refused_or_not = outcome(&shorter);
        }
    }
}

#[test]
fn template_source_nested_or_chained_deep_is_refused() {
    let many = 20_000;
    for source in [
        format!("{{{{ {}1{} }}}}", "(".repeat(many), ")".repeat(many)),
        format!("{{{{ {}{} }}}}", "[".repeat(many), "]".repeat(many)),
        format!("{{{{ {}1{} }}}}", "{1:".repeat(many), "}".repeat(many)),
        format!("{{{{ {}1 }}}}", "not ".repeat(many)),
        format!("{{{{ {}1 }}}}", "-".repeat(many)),
        format!("{{{{ 1{} }}}}", " + 1".repeat(many)),
        format!("{{{{ 1{} }}}}", " ~ 1".repeat(many)),
        format!("{{{{ 1{} }}}}", " ** 1".repeat(many)),
        format!("{{{{ '%s'{} }}}}", " % 1".repeat(many)),
        format!("{{{{ 1{} }}}}", " and 1".repeat(many)),
        format!("{{{{ 1{} }}}}", " == 1".repeat(many)),
        format!("{{{{ 1{} }}}}", " if 1 else 1".repeat(many / 10)),
        format!("{{{{ a{} }}}}", ".a".repeat(many)),
        format!("{{{{ a{} }}}}", "[0]".repeat(many)),
        format!("{{{{ a{} }}}}", "()".repeat(many)),
        format!("{{{{ a{} }}}}", "|upper".repeat(many)),
        format!("{{{{ a{} }}}}", " is defined".repeat(many / 10)),
        format!("{}{}", "{% if 1 %}".repeat(many / 10), "{% endif %}".repeat(many / 10)),
        format!("{}{}", "{% for a in [1] %}".repeat(many / 10), "{% endfor %}".repeat(many / 10)),
        format!("{{% if 0 %}}{}{{% endif %}}", "{% elif 0 %}".repeat(many / 10)),
        format!("{}{}", "{% macro a() %}".repeat(many / 10), "{% endmacro %}".repeat(many / 10)),
        format!("{}{}", "{% set a %}".repeat(many / 10), "{% endset %}".repeat(many / 10)),
        "x".repeat(SOURCE_BYTES_MAX + 1),
    ] {
        let outcome = outcome(&source);
        let begins: String = source.chars().take(60).collect();
        assert!(matches!(outcome, Err(TemplateError::Unusable(_))), "{begins}: {outcome:?}");
    }
}

#[test]
fn template_source_at_its_limits_is_taken() {
    let is_taken = |source: &str| assert_eq!(outcome_with(source, FUEL).err().map(|it| it.to_string()), None);
    is_taken(&format!("{{{{ 1{} }}}}", " + 1".repeat(600)));
    is_taken(&format!("{{{{ 1{} }}}}", " ~ 1".repeat(600)));
    is_taken(&format!("{{{{ {}1{} }}}}", "(".repeat(48), ")".repeat(48)));
    is_taken(&format!("{}a{}", "{% if 1 %}".repeat(48), "{% endif %}".repeat(48)));
    is_taken(&format!("{{% if 0 %}}{}{{% else %}}a{{% endif %}}", "{% elif 0 %}".repeat(200)));
    let values = vec!["1"; 9_000].join(", ");
    is_taken(&format!("{{{{ [{values}]|length }}}}"));
    is_taken(&"a{# b #}c\n".repeat(90_000));
}

#[test]
fn template_output_is_bounded() {
    assert_refused("{% for a in range(999) %}{{ 'x' * 10000 }}{% endfor %}");
    let mut output = Bounded(vec![b'x'; OUTPUT_BYTES_MAX - 1]);
    assert!(io::Write::write_all(&mut output, b"x").is_ok());
    assert!(io::Write::write_all(&mut output, b"x").is_err());
}

#[test]
fn template_limits_at_a_request_are_the_templates_own_words() {
    let source = "{% if messages|length > 1 %}{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}{% endif %}a";
    let template = ChatTemplate::with_fuel(source, String::new(), String::new(), LITTLE_FUEL).unwrap();
    let messages = [json!({"role": "user", "content": "a"}), json!({"role": "user", "content": "b"})];
    let error =
        template.render(&Conversation { messages: &messages, ..Conversation::default() }).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the model's chat template took more than its limit of computation and memory"
    );
}

/// What a conversation needs grows with it, and so does what it may take.
#[test]
fn template_limits_leave_room_for_long_conversations() {
    let source = "{% for m in messages %}{{ m.role }}: {{ m.content.split('</think>')[-1].strip()|trim }}{% if '<x>' in m.content %}x{% endif %}\n{% endfor %}";
    let template = ChatTemplate::new(source, String::new(), String::new()).unwrap();
    let content = "word ".repeat(800);
    let messages = vec![json!({"role": "user", "content": content}); 2048];
    let prompt = template.render(&Conversation { messages: &messages, ..Conversation::default() }).unwrap();
    assert!(prompt.len() > 8_000_000);
}

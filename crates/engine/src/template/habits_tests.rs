use super::*;

fn habits(source: &str) -> Habits {
    ChatTemplate::new(source, String::new(), String::new()).unwrap().habits
}

const LOOP: &str = "{% for m in messages %}{{ m.role }}:{{ m.content }}\n{% endfor %}";

#[test]
fn template_that_prints_roles_and_contents_knows_no_tools() {
    assert_eq!(habits(LOOP), Habits { system: true, ..Habits::default() });
}

#[test]
fn template_that_walks_parts_of_one_role_gets_parts_for_it() {
    let source = "{% for m in messages %}{% if m.role == 'user' %}{% for p in m.content %}{{ p.text }}{% endfor %}{% else %}\
                  {{ m.content }}{% endif %}{% endfor %}";
    assert_eq!(habits(source).parts, ["user"]);
}

#[test]
fn template_that_prints_arguments_gets_them_as_text() {
    let calls = |printed: &str| {
        habits(&format!(
            "{{{{ tools }}}}{{% for m in messages %}}{{{{ m.content }}}}{{% for c in m.tool_calls or [] %}}\
             {{{{ c.function.name }}}}{{{{ {printed} }}}}{{% endfor %}}{{% endfor %}}"
        ))
    };
    assert!(calls("c.function.arguments").text_arguments);
    assert!(calls("'(' + c.function.arguments + ')'").text_arguments);
    assert!(!calls("c.function.arguments|tojson").text_arguments);
    assert!(!calls("c.function.arguments|items|list").text_arguments);
}

#[test]
fn template_that_asks_for_a_content_of_none_gets_it() {
    let source = "{% for m in messages %}{% if m.content is none %}{% for c in m.tool_calls %}{{ c.function.name }}{% endfor %}\
                  {% else %}{{ m.content }}{% endif %}{% endfor %}";
    let habits = habits(source);
    assert!(habits.null_content && habits.calls && !habits.results);
}

#[test]
fn template_without_system_or_with_turns_is_recognised() {
    let habits = habits(
        "{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}{% for m in messages %}\
         {% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('turns') }}{% endif %}{{ m.content }}{% endfor %}",
    );
    assert!(!habits.system && habits.alternates && !habits.calls && !habits.results);
}

"""Renders chat templates with Jinja2, set up as transformers sets it up: what dedi's own rendering is held against."""

import json
from contextvars import ContextVar
from datetime import datetime

import jinja2
import jinja2.ext
import jinja2.nodes
import jinja2.sandbox


class Generation(jinja2.ext.Extension):
    """`{% generation %}` marks what the assistant wrote, for training. It adds nothing to a prompt."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_inside"), [], [], body).set_lineno(line)

    @jinja2.pass_eval_context
    def _inside(self, context, caller):
        return caller()


class Dict:
    def __call__(self, *args, **kwargs):
        return dict(*args, **kwargs)


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def environment(now=None):
    env = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols]
    )
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = lambda format: (now or datetime.now()).strftime(format)
    env.globals["dict"] = Dict()
    return env


def render(env, source, context):
    """The prompt, or why there is none."""
    try:
        return {"prompt": env.from_string(source).render(**context)}
    except Exception as error:  # noqa: BLE001 - whatever Python raises, the template is refused
        return {"error": f"{type(error).__name__}: {error}"}


def sections(text):
    """`=== name` and what follows it, up to the next."""
    parts = ("\n" + text).split("\n=== ")[1:]
    return dict(part.split("\n", 1) for part in parts)

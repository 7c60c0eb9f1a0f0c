"""Renders published chat templates with conversations, for dedi to be held against.

usage: sweep.py TEMPLATES_DIR OUT.json
"""

import json
import pathlib
import sys
from datetime import datetime

from reference import environment, render

HERE = pathlib.Path(__file__).parent
NOW = datetime(2026, 11, 5, 9, 7, 3)
TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}


def main():
    folder, out = sys.argv[1:]
    tools = json.loads((HERE / "tools.json").read_text())
    conversations = json.loads((HERE / "conversations.json").read_text())
    env = environment(NOW)
    cases = []
    for path in sorted(pathlib.Path(folder).glob("*.jinja")):
        source = path.read_bytes().decode()
        for name, given in conversations.items():
            # What is absent is none, as transformers passes it.
            context = {"tools": None, "documents": None, **TOKENS, **given}
            if context["tools"]:
                context["tools"] = tools[context["tools"]]
            cases.append({"template": path.name, "conversation": name, "context": context, **render(env, source, context)})
    sources = {path.name: path.read_bytes().decode() for path in pathlib.Path(folder).glob("*.jinja")}
    pathlib.Path(out).write_text(json.dumps({"now": NOW.isoformat(), "templates": sources, "cases": cases}))
    refused = sum("error" in case for case in cases)
    print(f"{len(sources)} templates, {len(cases)} cases, {refused} of them refused by Jinja2")


main()

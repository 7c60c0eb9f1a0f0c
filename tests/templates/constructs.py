"""Renders every construct in constructs.txt with Jinja2, and writes down what comes: expected.json, which is committed."""

import json
import pathlib

from reference import environment, render, sections

HERE = pathlib.Path(__file__).parent


def main():
    context = json.loads((HERE / "context.json").read_text())
    env = environment()
    constructs = sections((HERE / "constructs.txt").read_bytes().decode())
    expected = {name: render(env, source, context) for name, source in constructs.items()}
    (HERE / "expected.json").write_text(json.dumps(expected, indent=1, ensure_ascii=False) + "\n")
    print(f"{len(expected)} constructs, {sum('error' in it for it in expected.values())} of them refused by Jinja2")


main()

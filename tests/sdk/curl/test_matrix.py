"""The table of what is compatible names tests that exist and leaves nothing blank."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]


def names():
    sdk = ROOT / "tests/sdk"
    python = "\n".join(it.read_text() for it in sdk.glob("*/test_*.py"))
    node = "\n".join(it.read_text() for it in sdk.glob("node/*.mjs"))
    rust = "\n".join(it.read_text() for it in (ROOT / "crates").glob("*/*/**/*.rs"))
    return (
        set(re.findall(r"^(?:async )?def test_(\w+)", python, re.M))
        | set(re.findall(r"^ *test\(['`](.+?)['`],", node, re.M))
        | set(re.findall(r"fn (\w+)\(", rust))
    )


def test_every_cell_names_a_test_that_there_is_or_says_why_not():
    known = names()
    lines = (ROOT / "docs/compatibility.md").read_text().splitlines()
    rows = [[cell.strip() for cell in it.strip("|").split("|")] for it in lines if it.startswith("|")]
    assert len(rows) > 50
    for row in rows:
        assert all(row), f"a blank cell: {row}"
        if "---" in row[0] or row[0] in ("call", "refusal", "`together endpoints …`", "what"):
            continue
        for cell in row[1:]:
            for name in re.findall(r"`([^`]+)`", cell):
                assert name in known, f"no test is called `{name}`: {row[0]}"

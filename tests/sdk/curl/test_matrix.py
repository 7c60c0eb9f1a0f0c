"""The tables of what is compatible name tests that their column's own suite has, and leave nothing blank."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
SDK = ROOT / "tests/sdk"
# The suites behind a column, by its heading.
COLUMNS = {
    "Python `together` 2.42.0": ["v2/test_*.py"],
    "Python `together` 1.5.35": ["v1/test_*.py"],
    "npm `together-ai` 0.52.0": ["node/together*.test.mjs"],
    "`together` 2.42.0": ["v2/test_*.py"],
    "`together` 1.5.35": ["v1/test_*.py"],
    "`together-ai`": ["node/together*.test.mjs"],
    "`openai` (Python)": ["openai/test_*.py"],
    "`openai` (npm)": ["node/openai*.test.mjs"],
    "curl": ["curl/test_*.py"],
    "2.42.0": ["v2/test_cli*.py"],
    "1.5.35": ["v1/test_cli*.py"],
}
# Why a cell may have no test. That another client has one is no reason.
REASONS = {
    "does not apply",
    "every call is async",
    "inference only",
    "it repeats nothing",
    "not in this client",
    "the client can't ask so",
    "the client drops nulls",
    "the client has none",
    "the client sends none",
    "the program has none",
}


def names_of(patterns):
    files = [it for pattern in patterns for it in SDK.glob(pattern)]
    assert files, patterns
    found = set()
    for it in files:
        text = it.read_text()
        # What a suite takes from the shared one is its own.
        shared = re.search(r"^from fields_suite import|fields\.suite\.mjs", text, re.M)
        text += (SDK / ("fields_suite.py" if it.suffix == ".py" else "node/fields.suite.mjs")).read_text() if shared else ""
        found |= set(re.findall(r"^(?:async )?def test_(\w+)", text, re.M))
        found |= set(re.findall(r"^ *test\(['`](.+?)['`],", text, re.M))
    return found


def rust_tests():
    texts = [it.read_text() for it in (ROOT / "crates").glob("*/*/**/*.rs")]
    attribute = r"#\[(?:tokio::)?test[^\n]*\]\n(?:\s*(?:#\[[^\n]*\]|//[^\n]*)\n)*"
    return {name for text in texts for name in re.findall(attribute + r"\s*(?:async )?fn (\w+)\(", text)}


def tables():
    """(headings, rows) of each table."""
    blocks = re.findall(r"(?:^\|.*\|\n)+", (ROOT / "docs/compatibility.md").read_text(), re.M)
    for block in blocks:
        head, _, *rows = [[cell.strip() for cell in it.strip("|").split("|")] for it in block.splitlines()]
        assert all(len(it) == len(head) for it in rows), f"a row of another length below {head}"
        yield head, rows


def test_every_cell_names_a_test_of_its_own_suite_or_says_why_there_is_none():
    rust, n_cells = rust_tests(), 0
    assert len(rust) > 100
    every = rust | names_of([it for patterns in COLUMNS.values() for it in patterns])
    for head, rows in tables():
        for row in rows:
            assert all(row), f"a blank cell: {row}"
            for heading, cell in zip(head[1:], row[1:]):
                n_cells += 1
                if heading == "shown by":
                    check(cell, row, every, rust)
                elif heading != "why":
                    check(cell, row, names_of(COLUMNS[heading]), rust)
    assert n_cells > 300


def check(cell, row, known, rust):
    if cell in REASONS:
        return
    names = [it for it in re.findall(r"`([^`]+)`", cell) if it != "[DONE]"]
    assert names, f"neither a test nor a known reason: {cell!r} in {row[0]}"
    for name in names:
        marked = name.removeprefix("rust:")
        assert marked in (rust if marked != name else known), f"this column has no test `{name}`: {row[0]}"

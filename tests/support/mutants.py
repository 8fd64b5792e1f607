"""Mutants: correct classes with one classic bug each, to show that the gradient checker catches it.

``python tests/support/mutants.py`` checks them all and prints the kill matrix; with ``--write`` it renews
``docs/gradcheck-mutants.md``. The classes themselves are in `planted`.
"""

import argparse
from collections import Counter
from pathlib import Path

from planted import LOOKALIKES, MUTANTS

TABLE = Path(__file__).parent.parent.parent / "docs" / "gradcheck-mutants.md"


def kill_matrix(reports):
    """Return the tables of mutants and lookalikes with what became of them, as Markdown."""
    parts = [
        "# What the gradient checker makes of known bugs",
        "",
        "Each row is a right class with one bug, checked with the arguments that its author would choose. The numbers "
        "are those of a list of classic backward bugs. Written by `python tests/support/mutants.py --write`; "
        "`tests/gradcheck/test_mutants.py` keeps it true.",
    ]
    for title, rows in (("Bugs", MUTANTS), ("Not bugs, though they look like it", LOOKALIKES)):
        counts = Counter(reports[m.name].verdict.name for m in rows).most_common()
        refused = sum(not reports[m.name].ok for m in rows)
        numbers = ", ".join(f"{count} {verdict}" for verdict, count in counts)
        parts += ["", f"## {title}", "", f"{refused} of {len(rows)} refused: {numbers}.", ""]
        parts += ["| # | name | what | verdict | first finding |", "|--:|---|---|---|---|"]
        for m in rows:
            report = reports[m.name]
            evidence = str(report.findings[0]) if report.findings else ""
            cells = (str(m.number), m.name, m.what, report.verdict.name, evidence)
            parts.append("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |")
    return "\n".join(parts) + "\n"


def main():
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--write", action="store_true", help=f"write docs/{TABLE.name}")
    options = parser.parse_args()
    reports = {m.name: m.check() for m in MUTANTS + LOOKALIKES}
    matrix = kill_matrix(reports)
    print(matrix)
    surprises = [m for m in MUTANTS + LOOKALIKES if reports[m.name].verdict not in m.verdicts]
    for m in surprises:
        print(f"{m.name}: expected {' or '.join(v.name for v in m.verdicts)}, got {reports[m.name].verdict.name}")
    if options.write:
        TABLE.write_text(matrix, encoding="utf-8")
    return 1 if surprises else 0


if __name__ == "__main__":
    raise SystemExit(main())

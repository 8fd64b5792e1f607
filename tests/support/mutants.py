"""Mutants: correct classes with one classic bug each, to show that the gradient checker catches it.

``python tests/support/mutants.py`` checks them all and renews the kill matrix, ``docs/gradcheck-mutants.md``. The
classes themselves are in `planted`.
"""

from collections import Counter
from pathlib import Path

from planted import LOOKALIKES, MUTANTS

TABLE = Path(__file__).parent.parent.parent / "docs" / "gradcheck-mutants.md"


def kill_matrix(reports):
    """Return the tables of mutants and lookalikes with their verdicts, as Markdown."""
    parts = [
        "# The gradient checker's verdicts on known bugs",
        "",
        "Each row is a correct class with one bug, checked with the arguments that its author would choose. Column # "
        "is the number of the bug in our list of classic bugs. Written by `python tests/support/mutants.py`. A test "
        "keeps this page up to date.",
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


if __name__ == "__main__":
    TABLE.write_text(kill_matrix({m.name: m.check() for m in MUTANTS + LOOKALIKES}), encoding="utf-8")

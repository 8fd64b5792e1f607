"""Train again what a report states, and say number by number whether it comes out.

The folder is one that `minidl report` wrote: its results.json has the options, the seeds and a digest of the images. On
the same kind of machine every number must come out to the bit. Elsewhere an accuracy may differ by three standard
errors and a loss by 1 %, or by the range of the second half of its curve: where that never settles, it decides little.
A changed digit in results.json, results.csv, a history or report.html is named.

examples:
  minidl verify runs/cifar_softmax           all settings; takes as long as the report
  minidl verify runs/cifar_softmax --quick   the quickest setting, the rest by comparing the files
"""

import argparse
from pathlib import Path

from minidl._core.tables import text_table
from minidl._core.texts import legible
from minidl.cli.ending import Answer

HELP = "train again what a report states, and compare"
_SHOWN = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, help="a folder that `minidl report` wrote")
    parser.add_argument("--quick", action="store_true", help="train the quickest setting alone")


def run(options: argparse.Namespace) -> Answer:
    # It needs the whole job, and the other commands do not.
    from minidl.lab_report.verify import Verification

    check = Verification(options.folder)
    check.compare_files()
    check.train_again(options.quick)
    results, differences = check.results, check.differences
    unchecked = "the pictures, but for the digest of report.html"
    if options.quick or check.other_machine:
        unchecked = "the texts and pictures of report.html, but for its tables and its digest"
    if options.quick:
        unchecked += f"; the training of the other {len(check.runs) - 1} runs and the gradient check were not repeated"
    kind = "the same kind of machine, to the bit"
    if check.other_machine:
        changed = ", ".join(f"{name} was {value}" for name, value in check.other_machine.items())
        kind = f"another kind of machine ({changed}), within a spread"
    lines = [f"{results['title']}, {results['date']}; compared on {kind}"]
    counts = [[name, count, sum(d.file == name for d in differences)] for name, count in check.compared.items()]
    lines.append(text_table(["file", "compared", "different"], counts))
    lines += [f"{d.file}: {d.number}: stated {d.stated}, found {d.found}" for d in differences[:_SHOWN]]
    if len(differences) > _SHOWN:
        lines.append(f"and {len(differences) - _SHOWN} more differences; --json lists all")
    lines += [f"Not compared: {unchecked}."]
    lines.append("Something does not come out." if differences else "Every number compared comes out.")
    document = {"folder": str(options.folder), "ok": not differences, "quick": options.quick}
    document |= {"other_machine": check.other_machine, "compared": dict(check.compared), "not_compared": unchecked}
    document |= {"differences": [d._asdict() for d in differences]}
    return Answer(document, "\n".join(legible(line) for line in lines), not differences)

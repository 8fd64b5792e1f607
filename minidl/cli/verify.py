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
from minidl.cli.ending import CommandResult

HELP = "train again what a report states, and compare"
_SHOWN = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, help="a folder that `minidl report` wrote")
    parser.add_argument("--quick", action="store_true", help="train the quickest setting alone")


def run(options: argparse.Namespace) -> CommandResult:
    # It needs the whole job, and the other commands do not.
    from minidl.lab_report.verify import Verification

    check = Verification(options.folder)
    check.compare_files()
    check.train_again(options.quick)
    differences = check.differences
    left_out = ["pictures, but for the digest of report.html"]
    if options.quick or check.other_machine:
        texts = "all texts" if "minidl" in check.other_machine else "templates and mistakes"
        left_out.append(f"{texts} of report.html, but for its digest")
    if options.quick:
        left_out += ["the training of other runs", "the gradient check"]
    kind = "the same kind of machine: to the bit"
    if check.other_machine:
        changed = ", ".join(f"{name} was {value}" for name, value in check.other_machine.items())
        kind = f"another kind of machine ({changed}): within a spread"
    files = sorted(check.compared, key=lambda name: not name.startswith("re"))
    counts = [[name, check.compared[name], sum(d.file == name for d in differences)] for name in files]
    lines = [f"{check.results['title']}, {check.results['date']}. Compared on {kind}."]
    lines += text_table(["file", "numbers", "different"], counts).splitlines()
    lines += [f"{d.file}: {d.number}: stated {d.stated}, found {d.found}" for d in differences[:_SHOWN]]
    if len(differences) > _SHOWN:
        lines.append(f"{len(differences) - _SHOWN} more differences; --json lists all")
    lines.append(f"Not compared: {'; '.join(left_out)}.")
    lines.append("Not every number comes out." if differences else "Every number that was compared comes out.")
    document = {"folder": str(options.folder), "ok": not differences, "other_machine": check.other_machine}
    document |= {"compared": check.compared, "not_compared": left_out}
    document |= {"differences": [difference._asdict() for difference in differences]}
    return CommandResult(document, "\n".join(map(legible, lines)), not differences)

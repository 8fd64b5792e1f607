"""A mini deep-learning framework on NumPy, from the command line.

examples:
  minidl report --quick            make the lab report in seconds, on synthetic images
  minidl verify runs/cifar_softmax train again and compare with a report
  minidl data fetch                download CIFAR-10 once
  minidl checkgrad layers.py:make  check your own layer
  minidl show runs/cifar_softmax   show the results of a run

exit status: 0 success, 1 failure, 2 wrong usage, 130 interrupted
"""

import argparse
import re
import sys
import textwrap
from collections.abc import Sequence
from contextlib import nullcontext, redirect_stdout
from typing import Any

from minidl._core.bars import coloured
from minidl._core.spelling import nearest
from minidl.cli import checkgrad, data, report, show, verify
from minidl.cli.ending import CommandResult, exit_status, print_json

_COMMANDS = {"report": report, "verify": verify, "data": data, "checkgrad": checkgrad, "show": show}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command in `arguments` (by default, those of the program), and return the exit status."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    parser = _parser()
    if arguments and not arguments[0].startswith("-") and arguments[0] not in _COMMANDS:
        likely = nearest(arguments[0], _COMMANDS, 1)
        hint = f"; did you mean {likely[0]}?" if likely else f"; commands are {', '.join(_COMMANDS)}"
        parser.error(f"no command {arguments[0]!r}{hint}")
    options = parser.parse_args(arguments)
    return exit_status(lambda: _status(options))


def _status(options: argparse.Namespace) -> int:
    """Run the command, print its result, and return the exit status."""
    # With --json, other output goes to standard error.
    with redirect_stdout(sys.stderr) if options.json else nullcontext():
        result: CommandResult = _COMMANDS[options.command].run(options)
    if options.json:
        print_json(result.document)
    elif result.text:
        print(coloured(result.text))
    return 0 if result.good else 1


def _parser() -> argparse.ArgumentParser:
    import minidl

    parser = argparse.ArgumentParser(prog="minidl", **_texts(__doc__))
    parser.add_argument("--version", action="version", version=f"minidl {minidl.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", title="commands")
    for name, module in _COMMANDS.items():
        one = commands.add_parser(name, help=module.HELP, **_texts(module.__doc__))
        one.set_defaults(parser=one)
        module.add_arguments(one)
        one.add_argument("--json", action="store_true", help="print one JSON document and nothing else")
    return parser


class _Help(argparse.HelpFormatter):
    """A formatter that wraps text to the terminal's width and keeps indented lines separate."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        lines = re.sub(r"(?<=\S)\n(?=\S)", " ", text.strip("\n")).splitlines()
        return "\n".join(textwrap.fill(line, width, subsequent_indent="    " * line.startswith(" ")) for line in lines)


def _texts(docstring: str | None) -> dict[str, Any]:
    """Return a parser's text before its options, and, from the examples on, its text after them."""
    about, colon, examples = (docstring or "").partition("examples:\n")
    return {"description": about, "epilog": f"{colon}{examples}", "formatter_class": _Help}

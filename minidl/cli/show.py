"""Show what a run has left in a folder, or what is in one file of it.

Known are results.json, histories (CSV, JSON, JSON lines), checkpoints, weights and sweeps. A damaged file is told, the
rest is shown, and the exit status is 1. With --json all rows are given, not the last alone.

examples:
  minidl show runs/cifar_softmax
  minidl show runs/mine/best.safetensors
  minidl show sweep.jsonl --json
"""

import argparse
from collections import Counter
from pathlib import Path

from minidl._core.errors import DataError, MinidlError
from minidl._core.tables import cell, text_table
from minidl.cli.contents import Content, read_content
from minidl.cli.ending import Answer

HELP = "what is in a run's folder, or in one file of it"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", type=Path, help="a folder or a file")


def run(options: argparse.Namespace) -> Answer:
    path: Path = options.path
    if not path.exists():
        raise DataError(f"{path}: there is no such file or folder")
    # Hidden ones are for minidl itself; only regular ones can be read to their end.
    names = sorted(p for p in path.iterdir() if not p.name.startswith(".")) if path.is_dir() else [path]
    found: dict[str, Content | None] = {}
    damaged: dict[str, str] = {}
    for file in names:
        try:
            found[file.name] = read_content(file) if file.is_file() else None
        except (MinidlError, OSError) as error:
            damaged[file.name] = str(error)
    contents = {name: content for name, content in found.items() if content is not None}
    others = [name for name in found if name not in contents]
    if others and not path.is_dir():
        raise DataError(f"{path}: expected a file that a run writes: .json, .jsonl, .csv or .safetensors")
    files = {name: {"kind": c.kind, **c.facts, "rows": c.rows} for name, c in contents.items()}
    document = {"path": str(path), "files": files, "damaged": damaged, "others": others}
    parts = [_described(name, content) for name, content in contents.items()]
    if damaged:
        parts.append("\n".join(_printable(f"{name}: DAMAGED: {fault}") for name, fault in damaged.items()))
    if others:
        kinds = Counter(Path(name).suffix or name for name in others)
        parts.append(_printable(f"Also there: {', '.join(f'{count} {kind}' for kind, count in sorted(kinds.items()))}"))
    return Answer(document, "\n\n".join(parts) or "There is nothing in it.", not damaged)


def _described(name: str, content: Content) -> str:
    lines = [f"{name}: {content.kind}", *(f"  {key}: {cell(value)}" for key, value in content.facts.items())]
    rows = content.rows[-content.last :]
    if len(rows) < len(content.rows):
        lines.append(f"  the last {len(rows)} of {len(content.rows)}:")
    if rows:
        header = list(content.columns or dict.fromkeys(column for row in rows for column in row))
        cells = [[_printable(cell(row.get(column))) for column in header] for row in rows]
        lines += [f"  {line}" for line in text_table([*map(_printable, header)], cells).splitlines()]
    return "\n".join(map(_printable, lines))


def _printable(text: str) -> str:
    """Return a text from a file without what could steer the terminal, on one line."""
    return "".join(c if c.isprintable() else "?" for c in text)

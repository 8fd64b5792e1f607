"""Show where CIFAR-10 is on this machine, download it, or verify it.

The place is --data-dir; else the folder or archive named by MINIDL_DATA_DIR; else the cache.

examples:
  minidl data                       list the files, without reading them
  minidl data fetch                 download missing data into the cache: 139 to 170 MB
  minidl data verify --data-dir d   compare every batch with its known SHA-256; exit status 1 if one differs

Every load also verifies the data.
"""

import argparse
import os
from pathlib import Path
from typing import Any

from minidl._core.errors import DataError
from minidl._core.tables import text_table
from minidl.cli.ending import CommandResult
from minidl.data.datasets import cifar10_content, load_cifar10
from minidl.data.datasets.cifar10 import ARCHIVES, CACHE_FOLDER, OFFICIAL_FOLDER, cache_folder, read_place

HELP = "find, download or verify CIFAR-10"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = ["where", "fetch", "verify"]
    parser.add_argument("action", choices=actions, nargs="?", default="where", help="default: where")
    parser.add_argument("--data-dir", help="folder or archive with CIFAR-10")


def run(options: argparse.Namespace) -> CommandResult:
    if options.action == "fetch":
        if options.data_dir is not None:
            options.parser.error("argument --data-dir: fetch downloads into the cache; leave out --data-dir")
        load_cifar10()
    place, named_by = _place(options.data_dir)
    document: dict[str, Any] = {"place": str(place), "named_by": named_by, "files": _files(place)}
    if options.action == "verify":
        document["batches"] = _verdicts(place)
    elif options.action == "fetch":
        # Loading them has verified them.
        document["batches"] = dict.fromkeys(cifar10_content.NAMES, "ok")
    good = all(verdict == "ok" for verdict in document.get("batches", {}).values())
    return CommandResult(document, _text(document), good)


def _place(data_dir: str | None) -> tuple[Path, str]:
    """Return the place of CIFAR-10, and the setting that names it."""
    for given, name in [(data_dir, "--data-dir"), (os.environ.get("MINIDL_DATA_DIR"), "MINIDL_DATA_DIR")]:
        if given:
            return Path(given).expanduser().absolute(), name
    return cache_folder(), "the cache"


def _files(place: Path) -> dict[str, int]:
    """Return the files at `place` that may have batches: their relative paths and sizes in bytes."""
    if place.is_file():
        return {place.name: place.stat().st_size}
    starts = (*cifar10_content.NAMES, *ARCHIVES)
    files = {}
    for folder in (place, place / OFFICIAL_FOLDER, place / CACHE_FOLDER):
        for path in sorted(folder.iterdir()) if folder.is_dir() else []:
            if path.name.startswith(starts) and path.is_file():
                files[path.relative_to(place).as_posix()] = path.stat().st_size
    return files


def _verdicts(place: Path) -> dict[str, str]:
    """Return for each batch "ok" if it is as published, else its error."""
    try:
        read_place(place, cifar10_content.NAMES)
        return dict.fromkeys(cifar10_content.NAMES, "ok")
    except DataError:
        # The error names only the first wrong batch.
        return {name: _verdict(place, name) for name in cifar10_content.NAMES}


def _verdict(place: Path, name: str) -> str:
    try:
        read_place(place, [name])
    except DataError as error:
        return str(error)
    return "ok"


def _text(document: dict[str, Any]) -> str:
    table = "CIFAR-10 is not there; `minidl data fetch` downloads it into the cache."
    if files := document["files"]:
        table = text_table(["file", "bytes"], [[name, f"{size:,}"] for name, size in files.items()])
    lines = [f"{document['place']} ({document['named_by']})", table]
    for name, verdict in document.get("batches", {}).items():
        lines.append(f"{name}: {'as published' if verdict == 'ok' else verdict}")
    return "\n".join(lines)

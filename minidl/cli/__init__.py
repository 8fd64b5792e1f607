"""The command line: ``minidl COMMAND``, with one module per command."""

from minidl.cli.program import main

__all__ = ["main"]

"""The command line: ``minidl`` with a command behind it, each in a module of its own."""

from minidl.cli.program import main

__all__ = ["main"]

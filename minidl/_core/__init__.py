"""The base of all other parts: errors, checks, randomness, texts, tables and bars. Imports nothing else of minidl."""

__version__ = "0.1.0"

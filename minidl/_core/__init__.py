"""What everyone stands on: errors, checks, randomness, words, tables and bars. It imports nothing else of minidl."""

__version__ = "0.1.0"

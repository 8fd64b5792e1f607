"""Report: a document of headings, paragraphs, tables and figures; a module for each kind of file."""

from minidl.report.blocks import Link
from minidl.report.report import Report

__all__ = ["Link", "Report"]

"""What a file is that is not what its name says, told from its first bytes for an error message."""

_KINDS = (
    (b"version https://git-lfs", "a git-LFS pointer, not the file itself (run `git lfs pull`)"),
    (b"<", "an HTML or XML page (a login page of the network?)"),
    (b"{", "JSON text"),
    (b"[", "JSON text"),
    (b"MATLAB", "a MATLAB file; the Python version is needed"),
    (b"\x1f\x8b", "a gzip file"),
    (b"PK", "a zip file"),
    (b"\x89PNG", "a PNG picture"),
)


def kind_of(head: bytes) -> str:
    """Say what a file seems to be, given its first hundred bytes or more."""
    if not head:
        return "an empty file (0 bytes)"
    if b"annex/objects/" in head[:400]:
        return "a git-annex pointer, not the file itself (run `git annex get`)"
    if head[0] == 0x80 and head[1:2]:
        return f"a pickle of protocol {head[1]}"
    start = f"a file that starts with {head[:40]!r}"
    for mark, kind in _KINDS:
        if head.lstrip().startswith(mark):
            return f"{kind}: {start}"
    return start

"""Make the reference from the docstrings: `python docs/make_reference.py` writes docs/reference/*.md.

Each page covers a group of modules; a name is on the page of the module that defines it. Signatures are copied from
the source, and docstrings (numpydoc) become Markdown. tests/docs/test_reference.py fails when the pages are out of
date.
"""

import ast
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from enum import Enum
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import minidl
import minidl.testing

FOLDER = Path(__file__).with_name("reference")
# For each page: its title, and the modules of minidl that it covers.
GROUPS = {
    "training": (
        "Models and training",
        "nn.model nn.summary nn.parameter nn.ensemble training.trainer training.history",
    ),
    "layers": ("Layers", "nn.layers"),
    "losses": ("Losses and regularizers", "nn.losses nn.regularizers"),
    "optimizers": ("Optimizers and schedules", "training.optimizers"),
    "initializers": ("Initializers", "nn.initializers"),
    "data": ("Data", "data"),
    "callbacks": ("Callbacks", "training.callback training.callbacks"),
    "metrics": ("Metrics", "nn.metrics"),
    "gradient-checks": ("Gradient checks", "gradcheck"),
    "diagnostics": ("Diagnostics", "diagnostics"),
    "plotting": ("Plotting", "plotting"),
    "reports": ("Reports and sweeps", "report training.run_report training.describe training.compare sweeps"),
    "testing": ("Tests for classes of your own", "testing"),
    "errors": ("Errors", "_core.errors"),
}
NOTE = "<!-- Made by `python docs/make_reference.py` from the docstrings: edit those. -->"


def public_names() -> dict[str, Any]:
    """Return every public class and function, by the name that a user writes after ``dl.``."""
    names: dict[str, Any] = {}
    # The last two modules hold the classes of results.
    for prefix in ("", "testing.", "diagnostics.", "sweeps."):
        module = getattr(minidl, prefix[:-1]) if prefix else minidl
        for name in module.__all__:
            item = getattr(module, name)
            if isinstance(item, ModuleType):
                names |= {f"{name}.{inner}": getattr(item, inner) for inner in item.__all__}
            elif prefix == "testing." or name not in names:
                names[prefix + name] = item
    return names


def pages() -> dict[str, str]:
    """Return the text of each page by file name."""
    names = public_names()
    index = [
        "# Reference",
        NOTE,
        "Every public name, by topic. The examples assume `import minidl as dl`. The two estimators of "
        "`minidl.sklearn` have [their own page](../scikit-learn.md).",
    ]
    texts = {}
    for page, (title, _) in GROUPS.items():
        here = [name for name in names if page_of(names[name]) == page]
        here.sort(key=lambda name: (not inspect.isclass(names[name]), name.lower()))
        if here:
            listed = ", ".join(f"[{name}]({page}.md#{anchor(name)})" for name in here)
            index.append(f"**[{title}]({page}.md)**: {listed}")
            parts = [f"# {title}", NOTE]
            for name in here:
                parts += entry(name, names[name], names)
            texts[f"{page}.md"] = "\n\n".join(parts) + "\n"
    return {"README.md": "\n\n".join(index) + "\n", **texts}


def page_of(item: Any) -> str:
    """Return the page of a public class or function, by the module that defines it."""
    for page, (_, modules) in GROUPS.items():
        if any(f"{item.__module__}.".startswith(f"minidl.{module}.") for module in modules.split()):
            return page
    raise LookupError(f"{item.__module__} belongs to no page: add it to GROUPS in {__file__}")


def anchor(name: str) -> str:
    """Return what GitHub calls the heading `name`."""
    return name.lower().replace(".", "")


def entry(name: str, item: Any, names: dict[str, Any]) -> list[str]:
    """Return the entry of one class or function, as parts."""
    if not inspect.isclass(item):
        return [f"## {name}", fence(signature(name, item)), *markdown(item)]
    parts = [f"## {name}", *([] if issubclass(item, Enum) else [fence(signature(name, constructor(item)))])]
    classes = {cls: other for other, cls in names.items() if inspect.isclass(cls)}
    public = [cls for cls in item.__mro__[1:] if cls in classes]
    if public:
        base = classes[public[0]]
        parts.append(f"A subclass of [{base}]({page_of(public[0])}.md#{anchor(base)}).")
    parts += markdown(item)
    if issubclass(item, Enum):
        parts.append("\n".join(f"- `{member.name}`: {member.value}" for member in item))
    # Bases without an entry, such as that of Layer and Loss, are documented with the class.
    private = [cls for cls in item.__mro__[1:] if cls.__module__.startswith("minidl") and not public]
    for cls in [item, *private]:
        for line, text in attributes(cls):
            parts += [f"**{name}.{re.split('[ :]', line)[0]}**", fence(line), _prose(text)]
        for member, function, is_property in members(cls):
            parts.append(f"**{name}.{member}**")
            parts += [*([] if is_property else [fence(signature(member, function))]), *markdown(function)]
    return parts


def attributes(cls: type) -> list[tuple[str, str]]:
    """Return (assignment, text) of the public class attributes that have a docstring below them."""
    body = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0].body  # type: ignore[attr-defined]
    found = []
    for node, below in pairwise(body):
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(below, ast.Expr):
            line, text = ast.unparse(node), ast.literal_eval(below.value)
            found += [] if line.startswith("_") else [(line, inspect.cleandoc(text))]
    return found


def constructor(cls: type) -> Any:
    """Return the source of the signature of `cls`: a dataclass or named tuple itself, an `__init__`, or None."""
    for base in cls.__mro__:
        if not vars(base).keys().isdisjoint(["__dataclass_fields__", "_fields"]):
            return base
        if "__init__" in vars(base) and base.__module__.startswith("minidl"):
            return vars(base)["__init__"]
    return None


def members(cls: type) -> Iterator[tuple[str, Any, bool]]:
    """Yield (name, function, is_property) of the public methods that `cls` itself documents."""
    for name, value in vars(cls).items():
        is_property = isinstance(value, property)
        function = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
        if inspect.isfunction(function) and function.__doc__ and (not name.startswith("_") or name == "__call__"):
            yield name, function, is_property


def signature(name: str, item: Any) -> str:
    """Return the signature of `item` as in its source."""
    if item is None:
        return f"{name}()"
    try:
        source = textwrap.dedent(inspect.getsource(item))
    except OSError:
        # Hypothesis made this strategy; it has no source.
        return f"{name}({', '.join(inspect.signature(item).parameters)})"
    node = ast.parse(source).body[0]
    if isinstance(node, ast.ClassDef):
        fields = [ast.unparse(line) for line in node.body if isinstance(line, ast.AnnAssign)]
        fields = [re.sub(r"field\(default_factory=(\w+)\)", r"\1()", field) for field in fields]
        fields = [field.removesuffix(" = field(repr=False)") for field in fields]
        return "\n".join([f"{name}(", *(f"    {field}," for field in fields), ")"])
    lines = source.splitlines()[node.lineno - 1 : node.body[0].lineno - 1]  # type: ignore[attr-defined]
    head = "\n".join(re.sub(r"  # .*", "", line) for line in lines if line.strip() not in ("self,", "cls,"))
    head = re.sub(r"^def \w+", name, head).removesuffix(":").removesuffix(" -> None")
    head = re.sub(r"([( ])(?:self|cls)(?:, |(?=\)))", r"\1", head, count=1)
    # A type that is defined later has quotes.
    return re.sub(r'(: |-> )"([^"]+)"', r"\1\2", head)


def fence(text: str, kind: str = "py") -> str:
    """Return `text` as a literal block. Its kind is not ``python``, because the tests run such blocks."""
    return f"```{kind}\n{text}\n```"


def markdown(item: Any) -> list[str]:
    """Return the docstring of `item` as parts in Markdown, with lists and literal blocks."""
    pieces = re.split(r"^(\w[\w ]*)\n-{3,}$", inspect.getdoc(item) or "", flags=re.MULTILINE)
    parts = [_prose(pieces[0])]
    for title, body in zip(pieces[1::2], pieces[2::2], strict=True):
        text = _SECTIONS.get(title, _prose)(body.strip("\n"))
        if title == "Attributes":
            # With the class, so that a search for "Dense.weight" finds it.
            text = re.sub(r"^- `", f"- `{item.__name__}.", text, flags=re.MULTILINE)
        parts += [f"*{title}*", text]
    return [part for part in parts if part]


def _prose(body: str) -> str:
    """Return prose in which only code is markup. An indented block after ``::`` becomes a literal block."""
    text = ""
    for i, piece in enumerate(re.split(r"(?<=:):\n\n((?:    .*\n?|\n)+)", body)):
        if i % 2:
            text += "\n\n" + fence(textwrap.dedent(piece).strip("\n"), "text") + "\n\n"
        else:
            text += re.sub(r"(`[^`]*`)|([*<])", lambda m: m[1] or f"\\{m[2]}", piece.replace("``", "`"))
    return text.strip()


def _listed(body: str) -> str:
    """Return entries of ``name : type``, each with an indented text, as a list."""
    items = []
    for head, text in re.findall(r"^(\S.*)\n((?: .*\n|\n)*)", body + "\n", re.MULTILINE):
        name, _, kind = head.partition(" : ")
        meaning = _prose(textwrap.dedent(text)).replace("\n", "\n  ")
        items.append(f"- `{name}`{f' ({_prose(kind)})' if kind else ''}{f': {meaning}' if meaning else ''}")
    return "\n".join(items)


def _examples(body: str) -> str:
    return fence(body, "pycon")


_SECTIONS: dict[str, Callable[[str], str]] = {
    **dict.fromkeys(["Parameters", "Attributes", "Returns", "Yields", "Raises", "Warns", "See Also"], _listed),
    "Examples": _examples,
}


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    made = pages()
    for page in FOLDER.glob("*.md"):
        if page.name not in made:
            page.unlink()
    for file, text in made.items():
        (FOLDER / file).write_text(text, encoding="utf-8", newline="\n")
    print(f"{len(made)} pages in {FOLDER}")

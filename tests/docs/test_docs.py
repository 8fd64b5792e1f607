"""The documentation is right: its programs run, its links have targets, and the index lists every page."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from time import sleep

import pytest

import minidl as dl

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"
INDEX = DOCS / "README.md"
PAGES = [*sorted(DOCS.rglob("*.md")), *(ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "SECURITY"))]
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
# The packages that the programs of a page need.
NEEDS = re.compile(r"<!-- needs: (.*?) -->")

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())


def blocks(page, kind):
    return [code for name, code in FENCED.findall(page.read_text(encoding="utf-8")) if name == kind]


def prose(page):
    """Return a page without its programs, where brackets and # have another meaning."""
    return re.sub(r"`[^`\n]*`", "code", FENCED.sub("", page.read_text(encoding="utf-8")))


def links(page):
    """Return (file, anchor) of every link within the project."""
    targets = re.findall(r"\]\(([^)\s]+)\)", prose(page))
    return [target.partition("#")[::2] for target in targets if not target.startswith("https://")]


def anchors(page):
    """Return what GitHub calls the headings of a page."""
    text = FENCED.sub("", page.read_text(encoding="utf-8"))
    found = []
    for heading in re.findall(r"^#{1,6} +(.*)$", text, re.MULTILINE):
        name = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        found.append(f"{name}-{found.count(name)}" if name in found else name)
    return found


@pytest.fixture
def no_network(monkeypatch):
    """Replace CIFAR-10 by synthetic images."""

    def drawn(*sizes):
        return [dl.datasets.synthetic_images(n, rng=part) for part, n in enumerate(sizes)]

    monkeypatch.setattr(dl.datasets, "load_cifar10_course_split", lambda: drawn(300, 200, 200))
    monkeypatch.setattr(dl.datasets, "load_cifar10_split", lambda: drawn(100, 20, 20))


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=lambda page: page.name)
def test_the_programs_of_a_page_run(page, capsys, tmp_path, monkeypatch, no_network):
    packages = [name for names in NEEDS.findall(page.read_text(encoding="utf-8")) for name in names.split(", ")]
    for package in packages:
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"its programs need {package}")
    monkeypatch.chdir(tmp_path)
    if packages:
        # In a separate process: JAX, for example, warns at every fork of a process that has imported it.
        program = "\n".join(blocks(page, "python"))
        done = subprocess.run([sys.executable, "-"], input=program, capture_output=True, text=True, encoding="utf-8")
        assert done.returncode == 0, done.stderr
        return
    namespace = {"__name__": "page"}
    for code in blocks(page, "python"):
        # Two epochs show as much as forty.
        exec(compile(code.replace("epochs=40", "epochs=2"), page.name, "exec"), namespace)
    assert "Traceback" not in capsys.readouterr().out


@every_page
def test_the_links_of_a_page_have_targets_and_the_files_that_it_names_exist(page):
    for file, anchor in links(page):
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), file
        assert not anchor or anchor in anchors(target), f"{file}#{anchor}"
    text = page.read_text(encoding="utf-8")
    for file in re.findall(r"\b(?:examples|docs|tests|minidl)/[\w./-]*\w\.(?:py|md)\b", text):
        assert (ROOT / file).exists(), file
    # Every fence is closed.
    assert not re.search(r"^```", FENCED.sub("", text), re.MULTILINE)


def test_every_page_is_in_the_index():
    listed = {(INDEX.parent / file).resolve() for file, _ in links(INDEX)}
    for page in DOCS.glob("*.md"):
        assert page == INDEX or page in listed, f"docs/README.md does not list {page.name}"
    reference = DOCS / "reference" / "README.md"
    listed = {(reference.parent / file).resolve() for file, _ in links(reference)}
    assert {page for page in reference.parent.glob("*.md") if page != reference} <= listed


def test_every_callback_and_figure_is_on_a_page_that_says_what_it_is_for():
    """The reference has all names, but a reader must know them first."""
    text = " ".join(page.read_text(encoding="utf-8") for page in DOCS.glob("*.md"))
    # Parts of find_learning_rate(...).plot and plot_weight_templates.
    parts = {"plot_learning_rates", "template_images"}
    assert {*dl.callbacks.__all__, *dl.plotting.__all__} - parts - {*re.findall(r"\w+", text)} == set()


def test_the_citation_names_this_version():
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.search(r"^version: (.*)$", citation, re.MULTILINE)[1] == dl.__version__


def test_the_page_on_the_architecture_lists_every_part_and_names_existing_files():
    page = (DOCS / "architecture.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    parts = {name.removesuffix(".py") for row in rows for name in re.findall(r"`([\w.]+)`", row)}
    there = {path.stem for path in (ROOT / "minidl").iterdir() if path.is_dir() or path.suffix == ".py"}
    assert parts == there - {"__init__", "__main__", "__pycache__"}
    for name in re.findall(r"`(\w[\w/]*\.py)`", page):
        assert (ROOT / "minidl" / name).exists() or (ROOT / name).exists(), name


def test_the_readme_is_short_and_begins_with_how_to_install():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(readme.splitlines()) <= 130
    assert "\npip install -e . && python examples/cifar_softmax.py\n" in readme
    assert '\npip install -e ".[test]" && pytest\n' in readme


def test_the_readme_shows_what_its_first_program_prints(capsys):
    readme = ROOT / "README.md"
    exec(blocks(readme, "python")[0], {"__name__": "page"})
    # The last digits depend on the processor.
    shown, printed = (
        re.sub(r"[\d.]{6,}|\d+e-\d+", "#", text) for text in (blocks(readme, "text")[0], capsys.readouterr().out)
    )
    assert shown == printed


def test_the_program_of_the_readme_that_is_killed_resumes_to_the_bit(tmp_path):
    (program,) = (code for code in blocks(ROOT / "README.md", "python") if "resume_from" in code)
    command = [sys.executable, "-c", program.replace("epochs=40", "epochs=8")]

    def run(folder):
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout

    (tmp_path / "undisturbed").mkdir()
    killed = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL)
    while killed.poll() is None and not [*tmp_path.glob("run/*.safetensors")]:
        sleep(0.01)
    killed.kill()
    killed.wait()
    assert run(tmp_path) == run(tmp_path / "undisturbed") != ""

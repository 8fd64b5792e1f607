"""A page: an HTML document by itself, readable on a phone and on a wide screen, by day and by night."""

from string import Template

from minidl._core.tables import escape

# The policy forbids the browser whatever would make the page depend on another file, or run anything.
_PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
$renewal<title>$title</title>
<style>
:root { color-scheme: light dark; --text: #1c1e21; --quiet: #5b6168; --page: #fff; --line: #d9dce0; --head: #f4f5f7; }
@media screen and (prefers-color-scheme: dark) {
  :root { --text: #e4e6e9; --quiet: #a3a9b1; --page: #17191c; --line: #3a3f45; --head: #22262a; }
}
body { max-width: 72rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; background: var(--page); color: var(--text);
  font: 1rem/1.55 system-ui, sans-serif; overflow-wrap: break-word; }
h1 { font-size: 1.8rem; line-height: 1.2; margin: 1rem 0; }
h2 { font-size: 1.35rem; margin: 2.5rem 0 0.75rem; padding-bottom: 0.25rem; border-bottom: 1px solid var(--line); }
h3 { font-size: 1.1rem; margin: 2rem 0 0.5rem; }
p { max-width: 44rem; margin: 0.75rem 0; }
.scroll { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-size: 0.95rem; }
.caption, figcaption { color: var(--quiet); font-size: 0.9rem; text-align: left; }
.caption { margin: 1rem 0 -0.6rem; }
th, td { padding: 0.35rem 0.7rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
th { background: var(--head); font-weight: 600; line-height: 1.3; vertical-align: bottom; }
.number { text-align: right; font-variant-numeric: tabular-nums; }
td.number { white-space: nowrap; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 20rem), 1fr)); gap: 1rem;
  margin: 1rem 0; align-items: start; }
figure { margin: 0; min-width: 0; }
img { display: block; box-sizing: border-box; width: 100%; max-width: 40rem; padding: 0.5rem; background: #fff;
  border: 1px solid var(--line); border-radius: 0.4rem; }
figcaption { margin-top: 0.4rem; }
@page { size: A4; margin: 18mm 16mm; }
@media print {
  body { max-width: none; padding: 0; font-size: 10pt; }
  .figures { grid-template-columns: repeat(2, 1fr); }
  .scroll { overflow: visible; }
  h2, h3, .caption { break-after: avoid; }
  p, figure, tr { break-inside: avoid; }
  thead { display: table-header-group; }
}
</style>
</head>
<body>
<main>
<h1>$heading</h1>
$body
</main>
</body>
</html>
""")


def html_page(title: str, body: str, *, heading: str = "", renewed_after: int | None = None) -> str:
    """Return a page that needs no other file and no network.

    Parameters
    ----------
    title : str
        Of the window; taken literally.
    body : str
        HTML below the heading. Figures stand in a ``<div class="figures">``, wide tables in a ``<div class="scroll">``.
    heading : str
        Of the page, taken literally; "" is the title.
    renewed_after : int, optional
        So many seconds after it was shown the browser is to load the page again.
    """
    renewal = "" if renewed_after is None else f'<meta http-equiv="refresh" content="{renewed_after}">\n'
    return _PAGE.substitute(renewal=renewal, title=escape(title), heading=escape(heading or title), body=body)

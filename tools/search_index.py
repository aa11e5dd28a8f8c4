"""An extension of Sphinx: what the book's search looks through, written as a script that a file may load.

One entry for each section, glossary term, exercise and box with an anchor: its address, titles, prose, and
the words of its code. The glossary and the index name the sections in which a subject is introduced; those
sections are found by the subject's name as well. Read off the documents, not off the pages, so a build that
leaves pages as they are writes the same index.

Sphinx's own index, which knows pages and not sections, is not made.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

GLOSSARY, SUBJECTS = "book/glossary", "book/subject_index"
NAMES = {"eq": "the formula", "numref": "the figure"}  # for a number that is not known yet
SYMBOLS = {
    "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "epsilon": "ε", "varepsilon": "ε", "eta": "η",
    "theta": "θ", "lambda": "λ", "Lambda": "Λ", "mu": "μ", "pi": "π", "rho": "ρ", "sigma": "σ", "tau": "τ",
    "phi": "φ", "varphi": "φ", "omega": "ω", "Omega": "Ω", "Delta": "Δ", "Phi": "Φ", "star": "*",
    "nabla": "∇", "partial": "∂", "int": "∫", "sum": "∑", "prod": "∏", "infty": "∞", "varnothing": "∅",
    "cdot": "·", "times": "×", "circ": "∘", "pm": "±", "le": "≤", "leq": "≤", "ge": "≥", "geq": "≥",
    "ne": "≠", "neq": "≠", "approx": "≈", "sim": "~", "to": "→", "in": "∈", "mid": "|", "Vert": "‖", "|": "‖",
    "lvert": "|", "rvert": "|", "dots": "…", "ldots": "…", "cdots": "…", "top": "T", "perp": "⊥", "ell": "ℓ",
}  # fmt: skip
WORDS = ("log", "exp", "det", "min", "max", "sin", "cos", "arcsin", "tan", "div", "tr")


def readable(tex: str) -> str:
    r"""A formula as a line of text: `\log|\det J_f(z)|` becomes `log|det J_f(z)|`."""
    part = r"\s*(\{[^{}]*\}|\\[a-zA-Z]+|\w)"
    tex = re.sub(rf"\\[dt]?frac{part}{part}", r"\1/\2", tex)
    tex = re.sub(
        r"\\(?:begin|end)\{\w+\}|\\(?:big|Big|bigg|left|right|quad|qquad)[lr]?(?![a-zA-Z])", " ", tex
    )
    tex = re.sub(r"\\([a-zA-Z]+|\|)", lambda one: SYMBOLS.get(one[1], one[1] if one[1] in WORDS else ""), tex)
    tex = re.sub(r"\\.|[{}&]", "", tex)
    return " ".join(tex.split())


@dataclass
class Entry:
    """What is found as one: a section without the sections in it, a term, an exercise, a box."""

    page: str
    anchor: str
    kind: str
    title: str
    text: list[str] = field(default_factory=list)
    code: set[str] = field(default_factory=set)

    def prose(self) -> str:
        """Its text on one line."""
        line = " ".join(" ".join(self.text).split())
        return re.sub(r" (?=[.,;:?!)])", "", line)


def plain_text(node: nodes.Node) -> str:
    """The prose in a node: formulas made readable, no code blocks, no markup."""
    if isinstance(node, nodes.math):
        return readable(node.astext())
    if isinstance(node, nodes.math_block):
        return " … "
    if isinstance(node, addnodes.pending_xref) and node.get("reftype") in NAMES:
        return NAMES[node["reftype"]]
    if isinstance(node, addnodes.pending_xref) and node.get("refdomain") == "cite":
        return ""
    if isinstance(node, nodes.Text):
        return node.astext()
    if isinstance(node, (nodes.raw, nodes.literal_block, nodes.image, nodes.comment, nodes.target)):
        return ""
    if isinstance(node, nodes.Element):
        glue = "" if isinstance(node, (nodes.TextElement, nodes.Inline)) else " "
        return glue.join(plain_text(child) for child in node.children)
    return ""


def split(section: nodes.section, page: str, depth: int = 0) -> Iterator[Entry]:
    """The entries of a section, in order."""
    title = plain_text(section.children[0])
    kind = "page" if not depth else "term" if page == GLOSSARY and depth == 2 else "section"
    whole = Entry(page, section["ids"][0] if depth else "", kind, title)
    entries, current = [whole], whole
    for child in section.children[1:]:
        if isinstance(child, nodes.section):
            continue
        anchor = next(
            (name for name in child.get("ids", []) if re.fullmatch(r"[a-z-]+-\d+(-\d+)?", name)), ""
        )
        if anchor and isinstance(child, nodes.paragraph):
            current = Entry(
                page,
                anchor,
                "exercise",
                f"Exercise {plain_text(next(child.findall(nodes.strong))).rstrip('.')}",
            )
            entries.append(current)
        if anchor and "fr-box" in child.get("classes", []):
            entries.append(
                Entry(page, anchor, "box", plain_text(next(child.findall(nodes.strong))).rstrip("."))
            )
            fill(entries[-1], child)
        else:
            fill(current, child)
    yield from entries
    for child in section.children:
        if isinstance(child, nodes.section):
            yield from split(child, page, depth + 1)


def fill(entry: Entry, node: nodes.Element) -> None:
    """Add a block to an entry: what a cell prints is no prose, and the captions of its figures are."""
    for block in node.findall(nodes.literal_block):
        entry.code |= set(re.findall(r"[a-zA-Z_]{3,}", block.astext()))
    blocks = node.findall(nodes.caption) if "cell" in node.get("classes", []) else [node]
    entry.text += [plain_text(block) for block in blocks]


def aims(node: nodes.Element) -> list[tuple[str, str]]:
    """Where the links in a node lead: pages and anchors."""
    links = [link for link in node.findall(addnodes.pending_xref) if isinstance(link.get("reftargetid"), str)]
    return [(link["reftarget"], link["reftargetid"]) for link in links]


def introduced(env: BuildEnvironment) -> dict[tuple[str, str], list[str]]:
    """By section, the subjects that the glossary and, in bold, the index say it introduces.

    A term has other names, which the glossary sets in italics.
    """
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    if GLOSSARY in env.found_docs:
        for section in env.get_doctree(GLOSSARY).findall(nodes.section):
            if not any(isinstance(child, nodes.section) for child in section.children):
                names = [section.children[0], *section.findall(nodes.emphasis)]
                for aim in aims(section):
                    found[aim] += [plain_text(name) for name in names]
    if SUBJECTS in env.found_docs:
        items = list(env.get_doctree(SUBJECTS).findall(nodes.list_item))
        lines = {re.split(r": |, see ", plain_text(item))[0].strip(): item for item in items}
        for subject, item in lines.items():
            if other := re.search(r", see (?:also )?(.*)", plain_text(item)):
                item = lines.get(other[1].strip(), item)
            for bold in item.findall(nodes.strong):
                for aim in aims(bold):
                    found[aim].append(subject)
    return {aim: list(dict.fromkeys(subjects)) for aim, subjects in found.items()}


def entries_of(env: BuildEnvironment) -> Iterator[Entry]:
    """All of the book's, page by page."""
    for page in sorted(env.found_docs):
        for section in env.get_doctree(page).children:
            if isinstance(section, nodes.section):
                entries = split(section, page)
                # The index is a search by itself, and of a letter of the glossary there is nothing to tell.
                yield from (
                    one for one in entries if one.kind == "page" or (page != SUBJECTS and one.prose())
                )


def script(
    entries: Iterable[Entry], subjects: dict[tuple[str, str], list[str]], numbers: dict[str, str]
) -> str:
    """The index as a script that sets `fiveRingsIndex`."""
    titles, rows = {}, []
    for entry in entries:
        if entry.kind == "page":
            titles[entry.page] = f"{numbers.get(entry.page, '')}{entry.title}"
        named = "; ".join(subjects.get((entry.page, entry.anchor), []))
        words = " ".join(sorted(entry.code))
        rows.append([entry.page, entry.anchor, entry.kind, entry.title, entry.prose(), words, named])
    index = json.dumps({"pages": titles, "entries": rows}, ensure_ascii=False, separators=(",", ":"))
    return f"window.fiveRingsIndex = {index};\n"


def write_index(app: Sphinx, error: Exception | None) -> None:
    """When the book is built."""
    if error or app.builder.format != "html":
        return
    counted = app.env.toc_secnumbers
    numbers = {page: f"{'.'.join(map(str, found['']))}. " for page, found in counted.items() if found.get("")}
    static = Path(app.outdir) / "_static"
    text = script(entries_of(app.env), introduced(app.env), numbers)
    (static / "search_index.js").write_text(text, encoding="utf-8", newline="\n")
    for stock in ("searchtools.js", "language_data.js"):
        (static / stock).unlink(missing_ok=True)


PAGE = """<h1>Search</h1>
<noscript><p>The search needs scripts, and this browser runs none. The
<a href="book/subject_index.html">Index</a> and the <a href="book/glossary.html">Glossary</a> lead to the
sections as well.</p></noscript>
<div class="fr-search pst-js-only">
<form class="bd-search d-flex align-items-center" action="search.html" method="get">
<input type="search" class="form-control" name="q" placeholder="Search this book"
aria-label="Search this book" autocomplete="off" autocorrect="off" autocapitalize="off" spellcheck="false">
</form></div>
"""


def search_page(_: Sphinx) -> Iterator[tuple[str, dict[str, str], str]]:
    """The page for results that have an address, in place of Sphinx's."""
    yield "search", {"title": "Search", "body": PAGE}, "page.html"


def without_stock(app: Sphinx) -> None:
    """Let Sphinx make no index and no page for it."""
    app.builder.search = False


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("builder-inited", without_stock)
    app.connect("html-collect-pages", search_page)
    app.connect("build-finished", write_index)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

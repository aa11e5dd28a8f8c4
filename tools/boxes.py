"""Theorems, key results, proofs and exercises as boxes with anchors, from words that any notebook shows well.

A quotation that begins with a bold "Theorem 7.1" is a box with the anchor `theorem-7-1`; from "*Proof.*" to
the white square is a proof; a bold "**2. Title**" in the section of exercises has the anchor `exercise-2`. So
links like `07_continuous_flows.ipynb#theorem-7-1` work in the book, and JupyterLab shows what it should.
"""

import re

from docutils import nodes
from docutils.transforms import Transform

NAMED = re.compile(r"(Theorem|Lemma|Proposition|Corollary|Key result|Definition) (\d+)\.(\d+)")
EXERCISE = re.compile(r"(\d+)\. ")
END = "□"


def lead(paragraph: nodes.Node) -> str:
    """The bold or slanted words that a paragraph begins with."""
    if not isinstance(paragraph, nodes.paragraph):
        return ""
    first = next(
        (part for part in paragraph.children if part.astext()), None
    )  # MyST begins with an empty text
    return first.astext() if isinstance(first, (nodes.strong, nodes.emphasis)) else ""


class Boxes(Transform):
    """Gives a page its boxes before its links are resolved."""

    default_priority = 400

    def apply(self, **_: object) -> None:
        """Called by Sphinx for each page that it reads."""
        for quotation in list(self.document.findall(nodes.block_quote)):
            if named := NAMED.match(lead(quotation.children[0]) if quotation.children else ""):
                self.box(quotation, named)
        for paragraph in list(self.document.findall(nodes.paragraph)):
            if lead(paragraph).startswith("Proof"):
                self.proof(paragraph)
            elif "exercises" in paragraph.parent.get("ids", []) and EXERCISE.match(lead(paragraph)):
                number, title = lead(paragraph).split(".", 1)
                self.anchor(paragraph, f"exercise-{number}", title.strip(". "))

    def box(self, quotation: nodes.block_quote, named: re.Match[str]) -> None:
        """Make a quotation a box."""
        kind = named[1].lower().replace(" ", "-")
        made = nodes.container("", *quotation.children, classes=["fr-box", kind])
        quotation.replace_self(made)
        self.anchor(made, f"{kind}-{named[2]}-{named[3]}", named[0])

    def proof(self, begin: nodes.paragraph) -> None:
        """Wrap what follows, to the white square, if it is there."""
        parent, start = begin.parent, begin.parent.index(begin)
        ends = (i for i, part in enumerate(parent.children[start:], start) if END in closing(part))
        if (end := next(ends, None)) is not None and not isinstance(parent, nodes.container):
            made = nodes.container("", *parent.children[start : end + 1], classes=["fr-proof"])
            parent.children[start : end + 1] = []
            parent.insert(start, made)

    def anchor(self, node: nodes.Element, name: str, text: str) -> None:
        """Let links lead to a node."""
        node["ids"].insert(0, name)
        environment = self.document.settings.env
        slugs = environment.metadata[environment.docname].setdefault("myst_slugs", {})
        slugs[name] = (node.line, name, text)
        if getattr(self.document, "myst_slugs", None) is not None:
            self.document.myst_slugs[name] = slugs[name]


def closing(part: nodes.Node) -> str:
    """A block's text, with the white square where its formulas have one."""
    return part.astext().replace(r"\square", END)

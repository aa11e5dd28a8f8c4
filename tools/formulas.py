r"""Displayed formulas of two statements: on a narrow page the line breaks between them, and not within one.

MathJax breaks a line rather before an equals sign than at a wide space. Each statement in braces is a
thing of its own, so the space between two is the better place; on a wide page nothing changes.
"""

import re

from docutils import nodes

STEP = re.compile(r"\\begin\b|\\end\b|\\left\b|\\right\b|\\[{}]|[{}]|\\qquad(?![a-zA-Z])")
CLOSING = re.compile(r"\\[bB]igg?r\b")  # no line begins with the second of two bars
OPENS, CLOSES = (r"\begin", r"\left", "{"), (r"\end", r"\right", "}")


def group(formula: str) -> str:
    r"""The formula with what stands between its outermost \qquad in braces."""
    depth, start, parts = 0, 0, []
    for step in STEP.finditer(formula):
        depth += (step[0] in OPENS) - (step[0] in CLOSES)
        if step[0] == r"\qquad" and depth == 0:
            parts.append(formula[start : step.start()])
            start = step.end()
    if not parts:
        return formula
    return r"\qquad".join(f"{{{part.strip()}}}" for part in [*parts, formula[start:]])


def group_statements(document: nodes.document) -> None:
    """Go over the displayed formulas of a page that has been read; those with columns of their own stay."""
    for block in document.findall(nodes.math_block):
        text = block.astext()
        if "&" not in re.sub(r"\\begin\{(\w+\*?)\}.*?\\end\{\1\}", "", text, flags=re.DOTALL):
            block[:] = [nodes.Text(CLOSING.sub(r"\\nobreak\g<0>", group(text)))]

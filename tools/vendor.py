"""Put together what the pages need of other projects: MathJax as one file, the text face as a style sheet.

python tools/vendor.py NODE_MODULES    after, in some folder:
npm install mathjax@4.1.0 @mathjax/mathjax-stix2-font@4.1.0 @fontsource/stix-two-text@5.3.0 minisearch@7.2.0

A page that is opened as a file may load scripts and styles, but no fonts and no modules. So the parts of
MathJax that the book uses stand in one script, and the faces as data in the style sheet.
"""

import base64
import shutil
import sys
from pathlib import Path

STATIC = Path(__file__).resolve().parent.parent / "book" / "_static"
# MathJax's combined components hold menus, speech, and another font; these parts are all that a page needs.
PARTS = ("core", "input/tex", "output/svg", "a11y/assistive-mml")
# Signs that few formulas have, each loaded when a formula needs it.
RARE = ("accents", "accents-other", "arrows", "calligraphic", "double-struck", "fraktur", "greek", "math")
RARE += ("monospace", "sans-serif", "script", "shapes", "stretchy", "symbols", "symbols-other", "upright")
RARE += ("variants",)
DRAWING = 'role:"img",focusable:!1'
NO_MENU = "MathJax.config.options&&!1!==MathJax.config.options.enableAssistiveMml&&"
NO_MENU += 'i(MathJax.config,"options",{menuOptions:{settings:{assistiveMml:!0}}}),'
FACES = (("normal", 400), ("italic", 400), ("normal", 600), ("italic", 600))
FACE = """@font-face {{
  font-family: "STIX Two Text";
  font-style: {style};
  font-weight: {weight};
  font-display: block;
  src: url(data:font/woff2;base64,{data}) format("woff2");
  unicode-range: {signs};
}}
"""
# The signs of the latin subset, by the package's unicode.json.
LATIN = "U+0-FF, U+131, U+152-153, U+2BB-2BC, U+2C6, U+2DA, U+2DC, U+304, U+308, U+329, U+2000-206F, U+20AC,"
LATIN += " U+2122, U+2191, U+2193, U+2212, U+2215"


def join_mathjax(packages: Path, to: Path) -> None:
    """Write the engine as one script, the rare signs beside it, and the license."""
    engine, font = packages / "mathjax", packages / "@mathjax" / "mathjax-stix2-font"
    files = [engine / "startup.js", *(engine / f"{part}.js" for part in PARTS), font / "svg.js"]
    code = [path.read_text(encoding="utf-8").rstrip() for path in files]
    assert sum(part.count(NO_MENU) for part in code) == 1  # it sets a menu's option, and warns where none is
    code = [part.replace(NO_MENU, "") for part in code]
    # Who listens hears the MathML that stands beside each drawing.
    assert sum(part.count(DRAWING) for part in code) == 1
    code = [
        part.replace(DRAWING, '"aria-hidden":"true"' + DRAWING.removeprefix('role:"img"')) for part in code
    ]
    names = ", ".join(f'"{part}"' for part in ("loader", "startup", *PARTS))
    # The first part starts the others when this script is over; they need not be fetched.
    code.append(f"MathJax.loader.preLoaded({names});")
    (to / "mathjax.js").write_text("\n".join(code) + "\n", encoding="utf-8", newline="\n")
    (to / "svg" / "dynamic").mkdir(parents=True, exist_ok=True)
    for name in RARE:
        shutil.copyfile(font / "svg" / "dynamic" / f"{name}.js", to / "svg" / "dynamic" / f"{name}.js")
    shutil.copyfile(engine / "LICENSE", to / "LICENSE")


def join_faces(packages: Path, to: Path) -> None:
    """Write the text face as a style sheet that holds its fonts, and the license."""
    package = packages / "@fontsource" / "stix-two-text"
    rules = ["/* STIX Two Text, under the SIL Open Font License 1.1: see LICENSE. By tools/vendor.py. */\n"]
    for style, weight in FACES:
        font = package / "files" / f"stix-two-text-latin-{weight}-{style}.woff2"
        data = base64.b64encode(font.read_bytes()).decode()
        rules.append(FACE.format(style=style, weight=weight, data=data, signs=LATIN))
    (to / "stix-two-text.css").write_text("".join(rules), encoding="utf-8", newline="\n")
    shutil.copyfile(package / "LICENSE", to / "LICENSE")


def copy_search(packages: Path, to: Path) -> None:
    """Copy the search engine, without the line that points to its source map, and the license."""
    package = packages / "minisearch"
    code = (package / "dist" / "umd" / "index.js").read_text(encoding="utf-8")
    kept = [line for line in code.splitlines() if not line.startswith("//# sourceMappingURL")]
    to.mkdir(exist_ok=True)
    (to / "minisearch.js").write_text("\n".join(kept) + "\n", encoding="utf-8", newline="\n")
    shutil.copyfile(package / "LICENSE.txt", to / "LICENSE")


if __name__ == "__main__":
    join_mathjax(Path(sys.argv[1]), STATIC / "mathjax")
    join_faces(Path(sys.argv[1]), STATIC / "fonts")
    copy_search(Path(sys.argv[1]), STATIC / "minisearch")

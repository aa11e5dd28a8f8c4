"""Write every page as a reader sees it, wide and narrow, light and dark, to _build/screenshots.

python tools/screenshots.py [NAME ...]    only the pages whose names hold one of these
"""

import sys

from browser import FETCH_IMAGES, HTML, ROOT, browser, pages, program

if not program():
    sys.exit("Screenshots need Chromium or Chrome, and none was found.")
folder = ROOT / "_build" / "screenshots"
folder.mkdir(parents=True, exist_ok=True)
with browser() as chromium:
    for width in (1280, 390):
        for scheme in ("light", "dark"):
            context = chromium.new_context(color_scheme=scheme, viewport={"width": width, "height": 900})
            tab = context.new_page()
            for page in pages():
                if sys.argv[1:] and not any(name in page for name in sys.argv[1:]):
                    continue
                tab.goto((HTML / f"{page}.html").as_uri())
                # MathJax sets the formulas of a hidden proof as well, so all are there when it is done.
                tab.evaluate("() => window.MathJax ? MathJax.startup.promise : null")
                tab.evaluate(FETCH_IMAGES)
                path = folder / f"{page.rsplit('/')[-1]}-{width}-{scheme}.png"
                tab.screenshot(path=path, full_page=True)
                print(path.relative_to(ROOT))
            context.close()

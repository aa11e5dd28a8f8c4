"""What is done to the pages after Sphinx has written them, tried on pages of a few lines."""

from pathlib import Path

import html_postprocess
import pytest
from html_postprocess import mend, without_icons

PAGE = Path("notebooks/03_page.html")  # where the page would lie
PAGES = {
    "formula": '<p>of <span class="math notranslate nohighlight">\\(x\\)</span>, and</p>',
    "in parentheses": '(<span class="math notranslate nohighlight">\\(x\\)</span>).',
    "sidebar": '<div id="pst-primary-sidebar" class="bd-sidebar">',
    "figure": '<img src="../_images/ab12.png">',
    "download": '<a href="x" target="_blank"\n class="btn btn-sm btn-download-source-button">',
}


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
def test_a_page_is_mended_once_however_often_it_is_built(page: str) -> None:
    once = mend(page, PAGE)
    assert once.replace(html_postprocess.MARK, "") != page
    assert mend(once, PAGE) == once


def test_a_stop_stays_with_its_formula() -> None:
    assert mend(PAGES["formula"], PAGE).startswith('<p>of <span class="whole"><span class="math')
    assert "</span>,</span> and" in mend(PAGES["formula"], PAGE)


def test_a_preprints_number_leads_to_it_where_a_link_may_stand() -> None:
    page = '<a title="2016. arXiv:1511.01844.">Theis</a><p>2016. arXiv:1511.01844.</p>'
    mended = mend(page, PAGE)
    assert '<p>2016. <a class="reference external" href="https://arxiv.org/abs/1511.01844">' in mended
    assert mended.startswith('<a title="2016. arXiv:1511.01844.">')


def test_figures_are_the_lighter_ones() -> None:
    assert '"../_images/ab12.webp"' in mend(PAGES["figure"], PAGE)


def test_the_icons_that_are_used_stay() -> None:
    sheet = '.fa-star:before{content:"1"}.fa-gear:before,.fa-cog:before{content:"2"}.other{color:red}'
    assert without_icons(sheet, {"cog"}) == '.fa-gear:before,.fa-cog:before{content:"2"}.other{color:red}'


def test_the_live_figure_is_put_into_the_introduction_alone() -> None:
    for page, found in (("book/intro", True), ("book/faq", False)):
        source = [f"# Title\n{html_postprocess.LIVE_FIGURE}\n"]
        html_postprocess.put_in_live_figure(None, page, source)
        assert ("explorer-hero" in source[0]) is found

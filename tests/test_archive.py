"""Ways in: the archive of the book, the notebooks that its pages offer, and the buttons for hosts."""

import hashlib
import re
import shutil
import zipfile
from pathlib import Path
from types import SimpleNamespace

import archive
import html_postprocess
import pytest
from browser import ROOT, pages

CHAPTERS = [page for page in pages() if page.startswith("notebooks/")]


def test_archive_is_the_same_each_time(tmp_path: Path) -> None:
    (tmp_path / "book" / "deep").mkdir(parents=True)
    (tmp_path / "book" / "index.html").write_text("a page")
    (tmp_path / "book" / "deep" / "ä.txt").write_text("a text")
    first = archive.pack(tmp_path / "book", tmp_path / "one.zip")
    # Another folder, with other times and permissions, made in another order.
    (tmp_path / "copy" / "deep").mkdir(parents=True)
    for name in ("deep/ä.txt", "index.html"):
        shutil.copyfile(tmp_path / "book" / name, tmp_path / "copy" / name)
        (tmp_path / "copy" / name).chmod(0o600)
    (tmp_path / "later").mkdir()
    assert archive.pack(tmp_path / "copy", tmp_path / "later" / "one.zip") == first


def test_archive_opens_and_its_checksum_holds(built: Path, tmp_path: Path) -> None:
    packed_book = tmp_path / f"{archive.name()}.zip"
    archive.pack(built, packed_book)
    checksum, named = packed_book.with_name(f"{packed_book.name}.sha256").read_text().split("  ")
    assert (checksum, named) == (
        hashlib.sha256(packed_book.read_bytes()).hexdigest(),
        f"{packed_book.name}\n",
    )
    with zipfile.ZipFile(packed_book) as packed:
        assert packed.testzip() is None
        names = packed.namelist()
        assert f"{archive.name()}/index.html" in names
        assert names == sorted(names)
        # One folder, and nothing that lands outside of it.
        assert {name.split("/")[0] for name in names} == {archive.name()}
        assert not [name for name in names if ".." in name.split("/") or "\\" in name]
        texts = (packed.read(name) for name in names if name.endswith((".html", ".js", ".css")))
        assert not any(str(ROOT).encode() in text for text in texts)


@pytest.mark.parametrize("page", CHAPTERS)
def test_chapter_offers_its_notebook(built: Path, page: str) -> None:
    path = built / f"{page}.html"
    tag = re.search(r'<a href="([^"]+)"[^>]*btn-download-source-button', path.read_text(encoding="utf-8"))
    assert tag, "no button for the download"
    assert (path.parent / tag[1]).read_bytes() == (ROOT / f"{page}.ipynb").read_bytes()


@pytest.mark.parametrize("address", ["", "https://github.com/owner/name"])
def test_hosts_are_offered_where_there_is_an_address(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("FIVE_RINGS_REPOSITORY", address)
    config = SimpleNamespace(html_theme_options={"launch_buttons": {"colab_url": ""}, "other": 1})
    html_postprocess.offer_hosts(None, config)
    assert config.html_theme_options["other"] == 1
    assert config.html_theme_options.get("repository_url", "") == address
    assert bool(config.html_theme_options["launch_buttons"]["colab_url"]) == bool(address)


def test_chapters_offer_a_host_only_where_there_is_an_address(built: Path) -> None:
    hosts = ("mybinder.org", "colab.research.google.com")
    texts = [(built / f"{page}.html").read_text(encoding="utf-8") for page in CHAPTERS]
    # A book is built with the address or without: all chapters offer both hosts, or none does either.
    assert len({host in text for host in hosts for text in texts}) == 1

"""Pack the built book: dist/five-rings-VERSION.zip, the same bytes for the same pages, and its SHA-256."""

import hashlib
import sys
import tomllib
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HTML = ROOT / "_build" / "html"
LEFT_OUT = {".buildinfo", "objects.inv"}  # for Sphinx, not for readers
LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip can tell


def name() -> str:
    """The archive's name, and that of the one folder in it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return f"{project['name']}-{project['version']}"


def pack(folder: Path, archive: Path) -> str:
    """Write the archive of a folder and, beside it, its checksum as `sha256sum -c` reads it."""
    with zipfile.ZipFile(archive, "w") as packed:
        paths = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
        for name, path in sorted(paths.items()):
            if path.name in LEFT_OUT or path.suffix == ".map":
                continue
            entry = zipfile.ZipInfo(f"{archive.stem}/{name}", LONG_AGO)
            entry.create_system, entry.external_attr = 3, 0o100644 << 16  # on every system as on Unix
            packed.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED, compresslevel=9)
    checksum = hashlib.sha256(archive.read_bytes()).hexdigest()
    archive.with_name(f"{archive.name}.sha256").write_bytes(f"{checksum}  {archive.name}\n".encode())
    return checksum


if __name__ == "__main__":
    if not (HTML / "index.html").exists():
        sys.exit("The book is not built: run `make html`.")
    archive = ROOT / "dist" / f"{name()}.zip"
    archive.parent.mkdir(exist_ok=True)
    pack(HTML, archive)
    print(f"{archive.relative_to(ROOT)}: {archive.stat().st_size / 1e6:.1f} MB, and its checksum beside it")

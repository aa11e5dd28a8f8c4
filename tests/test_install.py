"""Installing brings the dependencies, and no package called `helpers` to anybody's site-packages."""

import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import helpers

ROOT = Path(__file__).resolve().parent.parent


def test_a_wheel_holds_metadata_alone(tmp_path: Path) -> None:
    options = ["--no-deps", "--no-build-isolation", "--quiet", "--disable-pip-version-check"]
    copy = tmp_path / "checkout"  # a build leaves folders behind
    for name in ("helpers", "teaching"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    command = [sys.executable, "-m", "pip", "wheel", *options, "--wheel-dir", str(tmp_path), str(copy)]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert names and all(".dist-info/" in name for name in names)
    metadata = zipfile.ZipFile(wheel).read(next(name for name in names if name.endswith("/METADATA")))
    assert b"Requires-Dist: torch" in metadata


def test_the_checkout_itself_is_imported() -> None:
    """By an editable install, which has no file of the package in site-packages."""
    assert Path(helpers.__file__).resolve().parent == ROOT / "helpers"
    assert not (Path(sysconfig.get_paths()["purelib"]) / "helpers").exists()

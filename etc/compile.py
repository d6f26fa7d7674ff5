"""Compiles the media path: smartalex/rtp/_wire.c, and the hot modules with mypyc.  SmartAlex then does the same with less CPU.

python etc/compile.py [--remove] [--package DIR]

DIR is the package to build for: the one of this checkout, else the one that is installed.  It takes half a minute, a C compiler,
Python's headers, and what `pip install 'smartalex[compiled]'` brings.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

RTP = ("packet", "source", "jitter", "playback", "sender", "receiver", "hearing", "leg", "reader", "plane", "dtmf", "keys")
MEDIA = ("codecs/g711", "conceal", "resample")
AI = ("playout", "shape", "turn")
MODULES = tuple(f"{room}/{name}.py" for room, names in (("rtp", RTP), ("media", MEDIA), ("ai", AI)) for name in names)
WIRE = "rtp/_wire.c"
LIBRARY = "smartalex.rtp._media"
MADE = "rtp/compiled.json"
"""What was built from what; smartalex/rtp/compiled.py compares it with what is there."""

MYPY = """[mypy]
plugins = mypy_zope:plugin
python_version = {version}
follow_imports = silent
ignore_missing_imports = True
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--remove", action="store_true", help="go back to Python")
    parser.add_argument("--package", type=Path, default=None, metavar="DIR")
    options = parser.parse_args()
    package = (options.package or found()).resolve()
    remove(package)
    if not options.remove:
        with tempfile.TemporaryDirectory(prefix="smartalex-compile-") as folder:
            build(package, Path(folder))
        print(f"compiled: {len(MODULES)} modules and {WIRE} in {package}")


def found() -> Path:
    """The package of this checkout, else the one that Python finds."""
    beside = Path(__file__).resolve().parent.parent / "smartalex"
    if beside.is_dir():
        return beside
    spec = importlib.util.find_spec("smartalex")
    if spec is None or spec.origin is None:
        sys.exit("there is no smartalex here, and none is installed")
    return Path(spec.origin).parent


def remove(package: Path) -> None:
    (package / MADE).unlink(missing_ok=True)
    for product in package.rglob("*.so"):
        product.unlink()


def build(package: Path, folder: Path) -> None:
    """In a copy, so that what is there stays whole if it fails; the products are put beside their sources."""
    copy = folder / "smartalex"
    shutil.copytree(package, copy, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    sources = {name: hashlib.sha256((copy / name).read_bytes()).hexdigest() for name in (*MODULES, WIRE)}
    (folder / "mypy.ini").write_text(MYPY.format(version="{}.{}".format(*sys.version_info)))
    os.chdir(folder)
    make()
    for product in copy.rglob("*.so"):
        shutil.copy(product, package / product.relative_to(copy).parent)
    (package / MADE).write_text(json.dumps(sources, indent=1))


def make() -> None:
    try:
        import mypy_zope  # noqa: F401, PLC0415
        from mypyc.build import mypycify  # noqa: PLC0415
        from setuptools import Extension, setup  # noqa: PLC0415
    except ImportError as error:
        sys.exit(f"{error}; pip install 'smartalex[compiled]' brings what is needed")
    paths = [f"smartalex/{name}" for name in MODULES]
    extensions = mypycify(["--config-file=mypy.ini", *paths], opt_level="3", group_name=LIBRARY)
    wire = Extension("smartalex.rtp._wire", [f"smartalex/{WIRE}"], extra_compile_args=["-O2"])
    arguments = ["--quiet", "build_ext", "--inplace", "--parallel", str(os.cpu_count() or 1)]
    setup(name="smartalex-compiled", packages=[], ext_modules=[*extensions, wire], script_args=arguments)


if __name__ == "__main__":
    main()

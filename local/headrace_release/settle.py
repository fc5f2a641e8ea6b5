"""Prepares an installed tree for an image layer: deletes unused files, compiles, and makes the result reproducible.

    python settle.py FOLDER
    python settle.py --compile FOLDER    # compile the base image's standard library, unless it is compiled already

Standard library only: the Dockerfile runs it with a Python that has nothing else.
"""

import compileall
import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from py_compile import PycInvalidationMode

UNREAD = {
    "headers, for building extensions": (
        "torch/include",
        "nvidia/*/include",
        "triton/include",
        "nvidia/cu13/cccl",
        "numpy/_core/include",
    ),
    "static libraries and build files": ("**/*.a", "torch/share/cmake", "torch/bin/protoc*"),
    "nvshmem's code for kernels that are compiled later": ("nvidia/nvshmem/lib/*.bc",),
    "cuSOLVER on several GPUs, which torch does not link": ("nvidia/cu13/lib/libcusolverMg.so*",),
    "tests of libraries": (
        "scipy/**/tests",
        "sklearn/**/tests",
        "sympy/**/tests",
        "numpy/**/tests",
        "networkx/**/tests",
        "joblib/test",
    ),
    "type stubs": ("**/*.pyi",),
}
"""What to delete, by reason: patterns under site-packages. Keep libraries that torch links, or importing torch fails."""
NEVER_IMPORTED = ("test", "tests", "idlelib", "lib2to3", "turtledemo", "ensurepip", "site-packages", "dist-packages")
"""Folders of the standard library that our code never imports."""
MIB = 2**20
EPOCH = 315532800
"""1980-01-01, the time of every file, so that a rebuilt layer has the same digest. (Zip files cannot store earlier times.)"""


def main(folder: Path) -> None:
    """Deletes unused files in `folder`, compiles the rest and sets all times. Prints a line per reason."""
    for site_packages in folder.glob("lib/python3*/site-packages"):
        for reason, patterns in UNREAD.items():
            freed = sum(delete(path) for pattern in patterns for path in list(site_packages.glob(pattern)))
            print(f"deleted {freed / MIB:5.0f} MiB: {reason}", file=sys.stderr)
    compile_all(folder)
    for path in [folder, *everything(folder)]:
        os.utime(path, (EPOCH, EPOCH), follow_symlinks=False)


def compile_library(library: Path) -> None:
    """Compiles a standard library that comes without .pyc files; adds these and changes nothing else."""
    if (library / "__pycache__").exists():
        return
    skipped = re.compile(rf"/({'|'.join(NEVER_IMPORTED)})(/|$)")
    compileall.compile_dir(library, quiet=2, rx=skipped, invalidation_mode=PycInvalidationMode.UNCHECKED_HASH, workers=0)
    for cache in library.rglob("__pycache__"):
        for path in (*everything(cache), cache):
            os.utime(path, (EPOCH, EPOCH))


def delete(path: Path) -> int:
    """Deletes a path and returns its size in bytes; 0 if it was deleted with an earlier one."""
    if not path.is_symlink() and path.is_dir():
        size = sum(file.lstat().st_size for file in everything(path))
        shutil.rmtree(path)
        return size
    if not path.is_symlink() and not path.exists():
        return 0
    size = path.lstat().st_size
    path.unlink()
    return size


def compile_all(folder: Path) -> None:
    """Compiles every module into a .pyc that Python uses without checking its source, so that the source's time does not matter.

    Some packages ship files that are not valid Python of this version (templates, tests of syntax errors); it skips those.
    """
    compileall.compile_dir(folder, quiet=2, invalidation_mode=PycInvalidationMode.UNCHECKED_HASH, workers=0)


def everything(folder: Path) -> Iterator[Path]:
    """Every file, link and folder below a folder."""
    for root, folders, files in os.walk(folder):
        for name in (*folders, *files):
            yield Path(root, name)


if __name__ == "__main__":
    if sys.argv[1] == "--compile":
        compile_library(Path(sys.argv[2]))
    else:
        main(Path(sys.argv[1]))

"""Builds the compiled parts: the core, its roots, the engine and the native FIX application.

The same cores/*.c files are compiled here and, by proving/guest/build.py, to riscv64 for the zkVM. Nothing is
downloaded here but the headers of the very quickfix release that is installed (fix_sessions/build.py), pinned by hash.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy
from Cython.Build import cythonize
from setuptools import Extension, find_packages, setup

ROOT = Path(__file__).parent
os.chdir(ROOT)
sys.path.insert(0, str(ROOT))

from fix_sessions.build import native_extension  # noqa: E402

CFLAGS = ["-std=gnu11", "-O3", "-g0", "-fno-strict-aliasing", "-fno-plt", "-fvisibility=hidden", "-Wall", "-Wextra"]
MACROS = [("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION")]


def sources(folder: str) -> list[str]:
    """The C files of a folder, without what Cython generates."""
    return sorted(str(path) for path in Path(folder).glob("*.c") if not path.name.startswith("_"))


def headers(folder: str) -> list[str]:
    return sorted(str(path) for pattern in ("*.h", "*.pxd") for path in Path(folder).glob(pattern))


def extension(name: str, pyx: str, c_sources: list[str], libraries: list[str]) -> Extension:
    return Extension(
        name,
        [pyx, *c_sources],
        include_dirs=["cores", "venue", "proving/guest", numpy.get_include()],
        define_macros=MACROS,
        extra_compile_args=CFLAGS,
        libraries=libraries,
        depends=headers("cores") + headers("venue"),
    )


CORE = sources("cores")
GUEST = ["proving/guest/main.c", "proving/guest/native.c"]
EXTENSIONS = [
    extension("cores._core", "cores/_core.pyx", CORE, []),
    extension("cores._roots", "cores/_roots.pyx", CORE, []),
    extension("venue._engine", "venue/_engine.pyx", CORE + sources("venue"), ["pthread"]),
    extension("proving.guest._native", "proving/guest/_native.pyx", [*CORE, *GUEST], []),
]

setup(
    packages=find_packages(include=["cores*", "venue*", "fix_sessions*", "proving*", "settlement*"]),
    include_package_data=True,
    package_data={
        "": ["*.toml", "*.h", "*.pxd"],
        "settlement": ["contracts/*.vy", "contracts/artifacts/*.json", "migrations/*.sql"],
        "proving.guest": ["elf/*"],
    },
    ext_modules=cythonize(
        EXTENSIONS + native_extension(),
        build_dir="build/cython",
        compiler_directives={"language_level": 3, "boundscheck": False, "wraparound": False},
    ),
)

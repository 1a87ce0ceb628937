"""The contracts' committed artifacts: loaded at run time, rebuilt and compared in the tests.

    python -m settlement.contracts --check     compile the sources and compare with contracts/artifacts/*.json
    python -m settlement.contracts --write     compile the sources and write them

An artifact holds what deploying needs, so that a running venue needs no compiler. The compiler is imported only by
`--check` and `--write`. Nothing in here may repair an artifact silently: a difference is an error.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from settlement.errors import ArtifactError

SOURCES = Path(__file__).parent / "contracts"
ARTIFACTS = SOURCES / "artifacts"
CONTRACTS = ("Anchor", "AttestedVerifier")
# Named, so that a newer default of the compiler cannot change the bytecode; `cancun` runs on every chain since 2024.
EVM_VERSION = "cancun"


@dataclass(frozen=True)
class Artifact:
    """What deploying and calling a contract needs."""

    name: str
    abi: list[dict[str, Any]]
    bytecode: bytes
    deployed_bytecode: bytes


def load(name: str) -> Artifact:
    """The committed artifact of a contract."""
    path = ARTIFACTS / f"{name}.json"
    try:
        data = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path}: {error}; write it again with: python -m settlement.contracts --write") from error
    stale = [file for file, digest in data["sources_sha256"].items() if _sha256(SOURCES / file) != digest]
    if stale:
        raise ArtifactError(
            f"{path}: made from another {', '.join(stale)}; write it again with: python -m settlement.contracts --write"
        )
    return Artifact(
        name, data["abi"], bytes.fromhex(data["bytecode"][2:]), bytes.fromhex(data["deployed_bytecode"][2:])
    )


def _sha256(path: Path) -> str:
    if not path.exists():
        raise ArtifactError(f"{path} is missing; the contracts' sources belong beside their artifacts")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _imports(source: str) -> list[str]:
    return [f"{line.split()[1]}.vy" for line in source.splitlines() if line.startswith("import ")]


def compile_source(path: Path) -> dict[str, Any]:
    """Compile one Vyper file into the content of its artifact."""
    import vyper
    from vyper.compiler import compile_from_file_input
    from vyper.compiler.input_bundle import FilesystemInputBundle
    from vyper.compiler.settings import Settings

    bundle = FilesystemInputBundle([path.parent, SOURCES])
    built = compile_from_file_input(
        bundle.load_file(path.name),
        input_bundle=bundle,
        output_formats=["abi", "bytecode", "bytecode_runtime"],
        settings=Settings(evm_version=EVM_VERSION),
    )
    files = [path, *(path.parent / name for name in _imports(path.read_text()))]
    return {
        "contract": path.stem,
        "compiler": f"vyper {vyper.__version__}",
        "evm_version": EVM_VERSION,
        "sources_sha256": {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(files)},
        "abi": built["abi"],
        "bytecode": built["bytecode"],
        "deployed_bytecode": built["bytecode_runtime"],
    }


def render(artifact: dict[str, Any]) -> str:
    """The file's text: the same bytes for the same content."""
    return json.dumps(artifact, indent=1, sort_keys=True) + "\n"


def differences() -> list[str]:
    """Names of artifacts that do not come from the sources, with the first fact that differs."""
    found = []
    for name in CONTRACTS:
        path = ARTIFACTS / f"{name}.json"
        fresh = compile_source(SOURCES / f"{name}.vy")
        if not path.exists():
            found.append(f"{name}: artifact is missing")
        elif path.read_text() != render(fresh):
            old = json.loads(path.read_text())
            keys = [key for key in fresh if old.get(key) != fresh[key]]
            found.append(f"{name}: {', '.join(keys) or 'layout of the file'} differ")
    return found


def main(arguments: list[str] | None = None) -> int:
    """Command line; exit code 1 when a check finds a difference."""
    parser = argparse.ArgumentParser(prog="python -m settlement.contracts", description=__doc__.split("\n")[0])
    group = parser.add_mutually_exclusive_group(required=True)
    group.add_argument("--check", action="store_true", help="compile and compare with the committed artifacts")
    group.add_argument("--write", action="store_true", help="compile and write the artifacts")
    options = parser.parse_args(arguments)
    if options.write:
        ARTIFACTS.mkdir(exist_ok=True)
        for name in CONTRACTS:
            (ARTIFACTS / f"{name}.json").write_text(render(compile_source(SOURCES / f"{name}.vy")))
        return 0
    found = differences()
    for line in found:
        print(f"{line}; write it again with: python -m settlement.contracts --write", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

"""The arrows between modules point inward, other people's libraries stay where they belong, and importing is cheap."""

from __future__ import annotations

import ast
import subprocess
import sys
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import logflume

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PACKAGE = Path(__file__).parents[2] / "src" / "logflume"

# From the inside out. A unit (a module of logflume, or one of its packages) imports its own layer and those before it.
# Whatever is not named here is of the engine.
ENGINE = "engine"
LAYERS: list[set[str]] = [
    {"closing", "records", "errors"},
    {"abc", "_core"},
    {"spool"},
    {"sources"},
    {ENGINE},
    {"executors", "ship"},
    {"serve", "client", "fleet"},
    {"airflow", "cli", "__main__"},
]
# The outermost packages know nothing of each other.
STRANGERS = [{"serve", "fleet"}, {"serve", "client"}, {"airflow", "cli"}, {"executors", "ship"}]

# Where a library may be imported, by module prefix. A library that is not here has no place yet: give it one.
HOMES: dict[str, tuple[str, ...]] = {
    "airflow": ("airflow",),
    "boto3": ("ship.sinks.cloudwatch",),
    "botocore": ("ship.sinks.cloudwatch",),
    "click": ("cli",),
    "fastapi": ("serve", "airflow"),
    "httpx": ("client", "sources.logserver"),
    "jwt": ("serve",),
    "kubernetes": ("sources.cluster",),
    "obstore": ("ship.sinks.objectstore", "sources.objectstore"),
    "prometheus_client": ("serve",),
    "pydantic": ("serve",),
    # Airflow's messages are written by it.
    "pydantic_core": ("airflow",),
    "redis": ("ship.sinks.redis",),
    "rich": ("cli",),
    "starlette": ("serve", "airflow"),
    # The same; Python has the second from 3.11 on.
    "tomli": ("settings",),
    "tomllib": ("settings",),
    # The connection pool of the official Kubernetes client.
    "urllib3": ("sources.cluster",),
    "uvicorn": ("serve", "cli.serve"),
    # Airflow's database is asked in its own way.
    "sqlalchemy": ("airflow", "ship.conditions"),
    "structlog": ("ship.appender",),
    # The doctor asks whether it loads.
    "zstandard": (
        "sources.compressed",
        "sources.objectstore",
        "ship.sinks.objectstore",
        "serve.streams",
        "cli.setup_checks",
    ),
}

COSTLY = {
    "asyncio",
    "boto3",
    "botocore",
    "click",
    "fastapi",
    "http",
    "httpx",
    "jwt",
    "kubernetes",
    "obstore",
    "prometheus_client",
    "redis",
    "rich",
    "starlette",
    "urllib.request",
    "urllib3",
    "zstandard",
}


@dataclass(frozen=True)
class Import:
    """One import statement: who imports what, and whether it happens when the program runs."""

    module: str  # dotted, without "logflume."; "" is the package itself
    target: str  # dotted, as written in full
    line: int
    for_types_only: bool
    deferred: bool  # within a function: it happens when that is called

    def __str__(self) -> str:
        return f"{self.module or '__init__'}:{self.line} imports {self.target}"

    @property
    def inner(self) -> str | None:
        """The imported module of logflume without the package's name; None when it is somebody else's."""
        head, _, rest = self.target.partition(".")
        return rest if head == "logflume" else None

    @property
    def library(self) -> str | None:
        """The third-party library; None for logflume and the standard library."""
        head = self.target.partition(".")[0]
        return None if head == "logflume" or head in sys.stdlib_module_names else head


def modules() -> dict[str, Path]:
    """Return every module of logflume by its dotted name without the package's own."""
    named = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        named[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return named


MODULES = modules()
KNOWN = MODULES.keys() | {"_core"}


def iter_imports(module: str, tree: ast.Module) -> Iterator[Import]:
    """Yield the imports of one module, wherever in it they stand."""
    typed = nodes_within(tree, is_type_checking)
    deferred = nodes_within(tree, lambda node: isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            targets = from_targets(module, node)
        else:
            continue
        for target in targets:
            yield Import(module, target, node.lineno, id(node) in typed, id(node) in deferred)


def nodes_within(tree: ast.Module, wanted: Callable[[ast.AST], bool]) -> set[int]:
    """Name all nodes below those that are wanted."""
    return {id(node) for block in ast.walk(tree) if wanted(block) for node in ast.walk(block)}


def is_type_checking(node: ast.AST) -> bool:
    """Tell whether a node is ``if TYPE_CHECKING:``."""
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def from_targets(module: str, node: ast.ImportFrom) -> list[str]:
    """Name what ``from … import …`` loads: a submodule where there is one, else the module itself."""
    base = node.module or ""
    if node.level:
        is_package = MODULES.get(module, Path()).name == "__init__.py"
        parts = ["logflume", *filter(None, module.split("."))]
        kept = parts[: len(parts) - node.level + is_package]
        base = ".".join([*kept, *filter(None, [base])])
    inside = base.partition(".")[2] if base.partition(".")[0] == "logflume" else None
    if inside is None:
        return [base]
    full = [f"{inside}.{alias.name}".lstrip(".") for alias in node.names]
    return [f"logflume.{name}" if name in KNOWN else base for name in full]


IMPORTS = [found for name, path in MODULES.items() for found in iter_imports(name, ast.parse(path.read_bytes()))]


def unit(module: str) -> str:
    """Name the layer's member that a module belongs to."""
    head = module.partition(".")[0]
    return head if any(head in layer for layer in LAYERS) else ENGINE


def layer(module: str) -> int:
    """Say how far from the middle a module stands."""
    return next(depth for depth, members in enumerate(LAYERS) if unit(module) in members)


def points_outward(found: Import) -> bool:
    """Tell whether an import goes against the arrows."""
    if found.inner is None or found.module == "":
        return False
    if found.inner == "":  # the package that re-exports everything
        return layer(found.module) < len(LAYERS) - 1
    if layer(found.inner) > layer(found.module):
        return True
    pair = {unit(found.module), unit(found.inner)}
    return pair in STRANGERS


def test_there_is_something_to_check() -> None:
    """The walk finds the contracts and their imports, so that the other tests here cannot pass on nothing."""
    assert {"abc", "errors", "records"} <= MODULES.keys()
    assert any(found.module == "errors" and found.inner == "records" for found in IMPORTS)


@pytest.mark.parametrize(
    ("module", "statement", "wrong"),
    [
        ("records", "import logflume.abc", True),
        ("sources.local", "from logflume import records", False),
        ("sources.local", "from ..cli import main", True),
        ("sources.local", "from logflume.serve.app import app", True),
        ("merge", "from logflume import errors", False),
        ("merge", "from logflume import Gap", True),
        ("airflow.handler", "from logflume.cli import main", True),
        ("cli", "import logflume", False),
    ],
)
def test_outward_arrows_are_seen(module: str, statement: str, wrong: bool) -> None:
    """A forbidden import is found however it is written, and an allowed one is let through."""
    assert any(map(points_outward, iter_imports(module, ast.parse(statement)))) is wrong


def test_arrows_point_inward() -> None:
    """No module imports one that is further out than itself."""
    assert [str(found) for found in IMPORTS if points_outward(found)] == []


def test_no_module_needs_itself() -> None:
    """Imports that happen on loading make no circle."""
    graph: dict[str, set[str]] = {}
    for found in IMPORTS:
        if found.inner and not found.for_types_only and not found.deferred:
            graph.setdefault(found.module, set()).add(found.inner)
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


def test_libraries_stay_at_home() -> None:
    """A third-party library is imported only by the part of logflume that it was taken for."""

    def at_home(found: Import) -> bool:
        if found.library == "typing_extensions" and found.for_types_only:
            return True
        homes = HOMES.get(found.library or "", ())
        return any(found.module == home or found.module.startswith(home + ".") for home in homes)

    assert [str(found) for found in IMPORTS if found.library and not at_home(found)] == []


def test_importing_logflume_loads_nothing_costly() -> None:
    """``import logflume`` loads no network, cloud, server or terminal library."""
    program = "import sys; before = set(sys.modules); import logflume; print(*sorted(set(sys.modules) - before))"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = set(run.stdout.split())
    assert "logflume" in loaded
    assert loaded & COSTLY == set()


def test_every_public_name_can_be_had() -> None:
    """Each name that ``logflume`` promises loads, and one that it does not promise is refused."""
    for name in logflume.__all__:
        assert getattr(logflume, name) is not None
    assert not hasattr(logflume, "no_such_name")

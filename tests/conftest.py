"""What every test can use, and what every test must have.

Holds: under CI a missing component fails a test and never skips it; each test says in one sentence what it shows.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Callable

import pytest
from hypothesis import settings

Require = Callable[[str], None]

# Run in another environment by tests/integration/test_airflow_contract.py, by `make test-kubernetes`, and by
# `make test-services`.
_elsewhere = {"LOGFLUME_KUBERNETES": "kubernetes", "LOGFLUME_SERVICES": "services"}
collect_ignore = ["airflow", *(folder for name, folder in _elsewhere.items() if name not in os.environ)]

# A property test has no deadline: a loaded machine is no bug. CI tries the same examples each time.
settings.register_profile("here", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")


@pytest.fixture(scope="session")
def require() -> Require:
    """Give ``require(component)``: a program on PATH or a Python module that the test cannot do without.

    Without it the test fails when ``CI`` is set, and is skipped elsewhere.
    """
    return _require


def _require(component: str) -> None:
    if shutil.which(component) or _is_module(component):
        return
    message = f"{component} is not installed, and this test is about it"
    if os.environ.get("CI"):
        pytest.fail(message + "; under CI that is a failure", pytrace=False)
    pytest.skip(message)


def _is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # the parent of a dotted name
        return False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse tests without the sentence that tells what they show."""
    mute = [item.nodeid for item in items if isinstance(item, pytest.Function) and not item.function.__doc__]
    if mute:
        raise pytest.UsageError("tests without a docstring: " + ", ".join(mute))

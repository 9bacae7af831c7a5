"""What a request asks for, as values."""

from __future__ import annotations

import inspect

import pytest

from logflume.serve.query import Filters, Merging


@pytest.mark.parametrize("asked", [Filters, Merging])
def test_parameters_have_types_instead_of_names(asked: type) -> None:
    """Releases of FastAPI that cannot resolve the names of a class's annotations, such as 0.117, need none."""
    parameters = inspect.signature(asked).parameters.values()
    assert parameters
    assert not [each.name for each in parameters if isinstance(each.annotation, str)]

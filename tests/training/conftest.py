"""What tests of the measured critic share."""

import pytest

from privsynth.training import measured


@pytest.fixture(params=[0.0, 1e-4, 5e-3])
def strong(request, monkeypatch):
    """No count better known than nothing, than less than the noise, and than twice that of `test_measured`."""
    monkeypatch.setattr(measured, "_STRONG", request.param)
    return request.param

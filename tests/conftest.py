"""What is tested is the source; where the media path was built in place, a run says so first, and wants to be told to go on."""

from __future__ import annotations

import os

import pytest

from smartalex.rtp.compiled import PYTHON, state

WANTED = "SMARTALEX_TEST"


def pytest_sessionstart() -> None:
    found, wanted = state(), os.environ.get(WANTED, PYTHON)
    if found != wanted:
        pytest.exit(f"the media path is {found}; say make clean, or {WANTED}={found} to test it as it is", returncode=2)

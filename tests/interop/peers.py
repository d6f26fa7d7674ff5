"""Finding the programs we did not write; without them a test is skipped aloud, and in CI that is a failure."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from typing import Any
from unittest import SkipTest

import pytest

PACKAGES = {"sipp": "sip-tester", "baresip": "baresip", "tshark": "tshark", "kamailio": "kamailio"}


def missing(*programs: str) -> str:
    """A sentence about what is not installed, or ''."""
    absent = [p for p in programs if shutil.which(p) is None]
    return f"{', '.join(absent)} not installed (Debian: apt-get install {' '.join(PACKAGES[p] for p in absent)})" if absent else ""


def needs(*programs: str) -> Callable[[Any], Any]:
    """Class decorator: marks interop tests and skips (fails in CI) where a program is missing."""

    def decorate(case: Any) -> Any:
        def check(cls: Any) -> None:
            reason = missing(*programs)
            if reason and os.environ.get("CI"):
                raise AssertionError(f"in CI nothing is skipped: {reason}")
            if reason:
                raise SkipTest(f"INTEROP NOT RUN: {reason}")

        case.setUpClass = classmethod(check)
        return pytest.mark.interop(case)

    return decorate

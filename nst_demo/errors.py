"""The exception that reaches the person using the demo, and the checks that most often raise it."""

import math
from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any


class StyleTransferError(ValueError):
    """Something the user can mend.

    The message is one clear sentence that can be shown as it is: what is wrong, the value that
    is wrong, and what to do about it.
    """


def check_range(name: str, value: float, low: float, high: float) -> None:
    """Raises StyleTransferError unless low <= value <= high; NaN is refused too, and whatever is no
    number, as JSON may hold."""
    number = isinstance(value, Real) and not isinstance(value, bool)
    if not (number and low <= value <= high):
        raise StyleTransferError(f"The {name} is {value}; give a number from {low:g} to {high:g}.")


def check_weight(name: str, value: float) -> None:
    """Raises StyleTransferError unless 0 <= value < infinity; NaN is refused too."""
    if not 0 <= value < math.inf:
        raise StyleTransferError(f"The {name} is {value}; give a number of 0 or more.")


def check_choice(name: str, value: Any, choices: Iterable[Any]) -> None:
    """Raises StyleTransferError unless the value is one of `choices`."""
    known = list(choices)
    if value not in known:
        raise StyleTransferError(
            f"The {name} is {value!r}; choose one of {', '.join(map(str, known))}."
        )


def check_seed(seed: Any) -> None:
    """Raises StyleTransferError unless it is a whole number that every generator takes."""
    if not isinstance(seed, Integral):
        raise StyleTransferError(f"The seed is {seed!r}; give a whole number.")
    check_range("seed", int(seed), 0, 2**63 - 1)

"""Kubernetes quantities: ``500m``, ``1.5Gi``, ``2e3``.

https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
"""

from __future__ import annotations

import re
from decimal import Decimal

_QUANTITY = re.compile(
    r"(?P<number>[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+))"
    r"(?:(?P<suffix>[numkMGTPE]|[KMGTPE]i)|[eE](?P<exponent>[+-]?[0-9]{1,3}))?",
    re.ASCII,
)
_DECIMAL = {"n": -9, "u": -6, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}

#: What a message says is allowed.
EXAMPLES = ("500m", "2", "1.5Gi", "64Mi", "2e3")


def amount(quantity: str) -> Decimal:
    """Return the number that a quantity stands for, in cores, bytes or pieces.

    :param quantity: a number, with a decimal suffix (``n u m k M G T P E``), a binary one
        (``Ki Mi Gi Ti Pi Ei``) or an exponent (``e3``, ``E3``).
    :raises ValueError: it is not a quantity. Python's ``kubernetes`` also takes ``K`` for a thousand; the API
        server does not, and neither does this function.
    """
    match = _QUANTITY.fullmatch(quantity)
    if match is None:
        raise ValueError(f"{quantity!r} is not a quantity")
    number = Decimal(match["number"])
    if match["exponent"]:
        return number.scaleb(int(match["exponent"]))
    suffix = match["suffix"]
    if suffix is None:
        return number
    return number * 2 ** _BINARY[suffix] if suffix in _BINARY else number.scaleb(_DECIMAL[suffix])


def quantity(value: str) -> str:
    """Return a quantity as it is.

    :raises ValueError: it is none, or not more than zero.
    """
    if amount(value) <= 0:
        raise ValueError(f"{value!r} is not more than zero")
    return value


def memory(value: str) -> str:
    """Return a quantity of memory as it is.

    Kubernetes takes less than 1Ki as well, but nobody means it: a unit is missing, or is the ``m`` of a
    thousandth.

    :raises ValueError: it is no quantity, or less than 1Ki.
    """
    if amount(quantity(value)) >= 2**10:
        return value
    number = value.removesuffix("m")
    meant = f"{number}Mi" if number != value else f"{number}Gi or {number}Mi"
    unit = "thousandths of a byte" if number != value else "bytes"
    likely = f"{meant}?" if number.isdecimal() else "a unit such as Mi or Gi?"
    raise ValueError(f"{value!r} is below 1Ki, as it counts {unit}: did you mean {likely}")

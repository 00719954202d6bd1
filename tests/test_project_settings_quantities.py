"""Quantities, against what Kubernetes' own Python client makes of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from kubernetes.utils.quantity import parse_quantity

from airflow_kfp_runtime.project.settings.quantities import amount, memory, quantity
from tests.settings_strategies import quantities


@given(quantities())
def test_a_quantity_is_what_kubernetes_reads(written):
    assert amount(written) == parse_quantity(written)


@given(quantities(), quantities())
def test_quantities_compare_as_kubernetes_compares_them(one, other):
    assert (amount(one) < amount(other)) == (parse_quantity(one) < parse_quantity(other))


@pytest.mark.parametrize(
    ("written", "same"),
    [
        ("500m", "0.5"),
        ("1.5Gi", "1536Mi"),
        ("2e3", "2k"),
        ("2E3", "2000"),
        ("1E", "1000P"),
        (".5", "500m"),
        ("1.", "1"),
    ],
)
def test_one_amount_has_several_spellings(written, same):
    assert amount(written) == amount(same)


@pytest.mark.parametrize(
    "written",
    [
        "",
        "1 Gi",
        "1GB",
        "1gi",
        "Gi",
        "1K",
        "1ki",
        "0x10",
        "1e",
        "1e2Gi",
        "--1",
        "1,5",
        "٣",
        "nan",
        "inf",
        "1_000",
        "1\n",
    ],
)
def test_what_the_api_server_refuses_is_no_quantity(written):
    with pytest.raises(ValueError, match="is not a quantity"):
        amount(written)


@pytest.mark.parametrize("written", ["0", "-1", "-500m", "0Gi"])
def test_a_setting_needs_more_than_nothing(written):
    with pytest.raises(ValueError, match="is not more than zero"):
        quantity(written)


@given(quantities())
def test_memory_is_at_least_a_kibibyte(written):
    if parse_quantity(written) >= 1024:
        assert memory(written) == written
    else:
        with pytest.raises(ValueError, match="is below 1Ki"):
            memory(written)

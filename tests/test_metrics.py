import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_allclose

from skastro.metrics import error_factor

positive = hnp.arrays(np.float64, 20, elements=st.floats(1e-3, 1e3))


@given(positive, positive)
def test_symmetric_and_at_least_one(a, b):
    factor = error_factor(a, b, q=[0.0, 0.5, 1.0])
    assert (factor >= 1).all()
    assert_allclose(factor, error_factor(b, a, q=[0.0, 0.5, 1.0]))
    assert_allclose(
        factor, error_factor(np.log10(a), np.log10(b), q=[0, 0.5, 1], log10=True)
    )


def test_known_quantile():
    true = np.ones(100)
    pred = 1 + np.arange(100) / 100
    assert_allclose(error_factor(true, pred, q=0.95), 1.95)
    both = error_factor(
        np.stack([true, true], 1), np.stack([pred, 1 / pred], 1), q=[1.0]
    )
    assert_allclose(both, [[1.99, 1.99]])


def test_minimum_leaves_faint_values_out():
    assert error_factor([1e-5, 1.0], [1.0, 1.0], q=1.0, minimum=1e-3) == 1.0
    assert np.isnan(error_factor([1e-5], [1.0], minimum=1e-3))
    assert error_factor([1.0], [-1.0]) == np.inf


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1.0, 2.0], [1.0]), "inconsistent"),
        (([1.0], [[1.0]]), "one shape"),
        (([np.nan], [1.0]), "NaN"),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(ValueError, match=message):
        error_factor(*arguments)

"""Stars that are recast to the labels of their twins."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skastro.disentangling import PolyDisentangler
from skastro.metrics import recast_errors
from skastro.preprocessing import append_conditions


@pytest.fixture(scope="module")
def twins():
    """Spectra linear in one label and two latents, of pairs and one star alone."""
    rng = np.random.default_rng(0)
    mean, loadings = rng.normal(size=(2, 12)), rng.normal(size=(2, 12))
    z = np.repeat(rng.normal(size=(20, 2)), 2, axis=0)
    u = rng.uniform(-1, 1, size=(40, 1))
    S = np.hstack([np.ones_like(u), u]) @ mean + z @ loadings
    y = np.repeat(np.arange(20), 2)
    y[4:6] = -1
    return S, u, y


class Exact(PolyDisentangler):
    """Knows the mean spectrum."""

    def __init__(self, slope=None):
        super().__init__()
        self.slope = slope

    def recast(self, X, u_new, sigma=None, conditions=None):
        return X + (u_new - conditions) @ self.slope


def test_a_perfect_model_has_no_error(twins):
    S, u, y = twins
    rng = np.random.default_rng(0)
    model = Exact(rng.normal(size=(2, 12))[1:])
    model.spectrum_indices_ = np.arange(12)
    errors = recast_errors(model, S, y, conditions=u)
    assert_allclose(errors.absolute, 0, atol=1e-12)
    # each star but those without a twin, to the labels of its own
    assert_array_equal(errors.source, np.delete(np.arange(40), [4, 5]))
    assert_array_equal(errors.target, errors.source ^ 1)
    # of a truth that differs by so much
    errors = recast_errors(model, S, y, conditions=u, truth=S + 0.5)
    assert_allclose(errors.absolute, 0.5)
    assert_allclose(errors.square, 0.25)


def test_errors_are_those_of_recast(twins):
    S, u, y = twins
    X = append_conditions(S, u)
    model = PolyDisentangler(-1, degree=1, n_components=2).fit(X)
    errors = recast_errors(model, X, y)
    left = model.recast(X[:1], u[1:2]) - S[1]
    assert_allclose(errors.absolute[0], np.abs(left).mean())
    assert_allclose(errors.square[0], np.square(left).mean())
    beside = PolyDisentangler(degree=1, n_components=2).fit(S, conditions=u)
    other = recast_errors(beside, S, y, conditions=pd.DataFrame(u))
    assert_allclose(other.absolute, errors.absolute)
    # bins that were not observed do not count
    holey = S.copy()
    holey[1, ::2] = np.nan
    some = recast_errors(beside, S, y, conditions=u, truth=holey)
    assert_allclose(some.absolute[0], np.abs(left[0, 1::2]).mean())


def test_a_group_of_three_has_six_pairs(twins):
    S, u, _ = twins
    model = PolyDisentangler(degree=1, n_components=2).fit(S, conditions=u)
    y = np.full(40, -1)
    y[[3, 8, 9]] = 0
    errors = recast_errors(model, S, y, conditions=u)
    pairs = set(zip(errors.source.tolist(), errors.target.tolist(), strict=True))
    assert pairs == {(3, 8), (3, 9), (8, 3), (8, 9), (9, 3), (9, 8)}


def test_errors_name_what_is_wrong(twins):
    S, u, y = twins
    model = PolyDisentangler(degree=1, n_components=2).fit(S, conditions=u)
    with pytest.raises(ValueError, match="`truth` must have the 12 bins"):
        recast_errors(model, S, y, conditions=u, truth=np.hstack([S, u]))
    with pytest.raises(ValueError, match="no two stars"):
        recast_errors(model, S, np.full(40, -1), conditions=u)
    with pytest.raises(ValueError, match="inconsistent"):
        recast_errors(model, S, y[:-2], conditions=u)

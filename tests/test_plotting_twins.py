"""Pictures of twins."""

import matplotlib
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from skastro.datasets import make_twin_spectra
from skastro.disentangling import (
    ConditionalFactorAnalysis,
    PolyDisentangler,
)
from skastro.metrics import n_false_twins, twin_recovery_scorer
from skastro.plotting import (
    RecastDisplay,
    TwinDistanceDisplay,
    TwinRecoveryDisplay,
)
from skastro.preprocessing import append_conditions


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def stars():
    data = make_twin_spectra(150, random_state=0)
    return append_conditions(data.X[:, ::10], data.u), data


def test_distances_are_those_of_the_metric(stars):
    X, data = stars
    model = ConditionalFactorAnalysis(
        slice(-3, None),
        n_components=3,
        degree=2,
        loading_degree=1,
        max_iter=3,
        with_covariance=True,
        random_state=0,
    ).fit(X)
    display = TwinDistanceDisplay.from_estimator(model, X, data.y)
    z = model.transform(X)[:, :3].astype(float)
    d = z[::2] - z[1::2]
    expected = np.sqrt(np.einsum("nk,kl,nl->n", d, model.latent_metric_, d))
    assert_allclose(display.twins[::2], expected, rtol=1e-6)
    assert np.median(display.twins) < np.median(display.randoms)
    assert display.figure_ is display.ax_.figure


def test_recovery_starts_at_the_score(stars):
    X, data = stars
    model = PolyDisentangler(slice(-3, None), degree=2, n_components=10).fit(X)
    display = TwinRecoveryDisplay.from_estimator(model, X, data.y)
    assert display.fraction[0] == twin_recovery_scorer(model, X, data.y)
    n_false = n_false_twins(model.transform(X), data.y)
    again = TwinRecoveryDisplay.from_predictions(n_false, name="b", ax=display.ax_)
    assert_array_equal(again.fraction, display.fraction)
    assert len(display.ax_.lines) == 2
    assert {t.get_text() for t in display.ax_.get_legend().get_texts()} == {
        "PolyDisentangler",
        "b",
    }


def test_recast_is_the_estimators(stars):
    X, data = stars
    model = PolyDisentangler(slice(-3, None), degree=2, n_components=10).fit(X)
    display = RecastDisplay.from_estimator(
        model, X, (4, 5), wavelength=data.wavelength[::10], limits=(15300, 15400)
    )
    assert_allclose(display.recast, model.recast(X[4:5], X[5, -3:])[0])
    low, high = display.axes_[0].lines[0].get_xdata()[[0, -1]]
    assert 15300 <= low and high <= 15400
    drawn = display.axes_[1].lines[1].get_ydata()
    assert np.abs(drawn).max() < np.abs(display.axes_[1].lines[0].get_ydata()).max()


def test_constant_distances_can_be_drawn():
    TwinDistanceDisplay.from_predictions(np.zeros((4, 1)), [0, 0, 1, 1])

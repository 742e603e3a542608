import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pytest
from numpy.testing import assert_allclose

from skastro.datasets import gas_prior
from skastro.plotting import (
    CornerDisplay,
    EmulatorErrorDisplay,
    PosteriorPredictiveDisplay,
)
from skastro.retrieval import BayesianRetrieval


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def retrieval(co_emulator):
    X = co_emulator.encode_lines(["CO(3-2)", "CO(6-5)"])
    y = np.array([800.0, 600.0])
    model = BayesianRetrieval(
        co_emulator, gas_prior(["CO"]), n_live_points=60, n_steps=5, random_state=0
    )
    return model.fit(X, y, sigma=0.2 * y), X, y


def test_corner_axes_have_units_and_span_the_prior(retrieval):
    display = CornerDisplay.from_estimator(retrieval[0])
    labels = [ax.get_xlabel() for ax in display.figure_.axes if ax.get_xlabel()]
    assert labels[0] == r"$T_\mathrm{kin}$ [$\mathrm{K}$]"
    assert "log" in labels[1] and r"\mathrm{cm^{-3}}" in labels[1]
    assert labels[-1] == "$f$"
    assert_allclose(display.figure_.axes[-1].get_xlim(), (0, 1))
    bottom = display.figure_.axes[-4]
    assert_allclose(bottom.get_xlim(), (4, 6), atol=0.01)


def test_two_posteriors_overlaid_with_truths(retrieval):
    truths = [60.0, 5e4, 3e16, 30.0, 0.7]
    display = CornerDisplay.from_estimator(retrieval[0], truths=truths, label="one")
    figure = display.figure_
    n_axes = len(figure.axes)
    again = CornerDisplay.from_estimator(
        retrieval[0], figure=figure, color="C1", label="two"
    )
    assert again.figure_ is figure
    assert len(figure.axes) == n_axes
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["one", "two"]
    marks = [line.get_xdata() for line in figure.axes[6].lines]
    assert any(np.allclose(x, np.log10(5e4)) for x in marks)


def test_posterior_predictive(retrieval):
    model, X, y = retrieval
    display = PosteriorPredictiveDisplay.from_estimator(model, X, y, sigma=0.2 * y)
    ax = display.ax_
    assert [text.get_text() for text in ax.get_xticklabels()] == ["CO(3-2)", "CO(6-5)"]
    assert ax.get_ylabel() == "intensity [K km / s]"
    points = ax.containers[0].lines[0].get_ydata()
    assert_allclose(points, np.log10(y))


def test_posterior_predictive_of_named_lines(retrieval):
    """Names of lines, units, and a line that was not observed."""
    from astropy import units as u

    model, _, y = retrieval
    lines = ["CO(6-5)", "CO(3-2)"]
    seen = np.ma.masked_array(y[::-1], [False, True])
    display = PosteriorPredictiveDisplay.from_estimator(model, lines, seen)
    ax = display.ax_
    assert [text.get_text() for text in ax.get_xticklabels()] == lines
    points = ax.containers[0].lines[0].get_ydata()
    assert_allclose(points, [np.log10(y[1]), np.nan])
    seen = (y[::-1] / 1000) * u.Unit("K Mm / s")
    display = PosteriorPredictiveDisplay.from_estimator(model, lines, seen)
    assert_allclose(display.y, y[::-1])


def test_emulator_error(co_emulator, co_radex, co_design_space):
    theta = co_design_space.sample(200, random_state=2)
    intensity = co_radex.predict(theta)
    display = EmulatorErrorDisplay.from_estimator(
        co_emulator, theta, intensity, minimum=0.1
    )
    assert display.names == ["CO(3-2)", "CO(6-5)"]
    expected = co_emulator.predict(theta)[:, 0] / intensity[:, 0] - 1
    assert_allclose(display.errors[0], 100 * expected[intensity[:, 0] > 0.1])
    assert "error" in display.ax_.get_ylabel()


def test_draws_where_it_is_told(co_emulator):
    _, ax = plt.subplots()
    display = EmulatorErrorDisplay.from_predictions(
        np.ones((50, 1)), 1 + np.linspace(-0.1, 0.1, 50)[:, None], ax=ax, limit=5
    )
    assert display.ax_ is ax
    assert ax.get_ylim() == (-5, 5)
    assert any("outside" in text.get_text() for text in ax.texts)

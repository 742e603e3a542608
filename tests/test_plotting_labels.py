"""Pictures of labels and of their spectra."""

import matplotlib
import numpy as np
import pandas as pd
import pytest
from astropy import units as u
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.linear_model import BayesianRidge, LinearRegression
from sklearn.model_selection import GridSearchCV
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from skastro.labels import LabelRegressor
from skastro.plotting import LabelErrorDisplay, LabelSpectrumDisplay
from skastro.preprocessing import SigmaUnpacker, SpectrumResampler

NAMES = ["teff", "fe_h", "na_h"]
UNITS = {"teff": "K", 1: "dex"}


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def flux(y):
    """Return spectra of lines that saturate."""
    t, m, a = (y[:, 0] - 4500) / 500, y[:, 1], y[:, 2]
    out = np.ones((len(y), 80))
    for k, centre in enumerate(range(8, 80, 16)):
        strength = 0.5 * np.exp((0.5 - 0.2 * k) * t + (2 * a if k == 2 else 1.5 * m))
        profile = np.exp(-0.5 * ((np.arange(80) - centre) / 2) ** 2)
        out -= (strength / (1 + strength))[:, None] * profile
    return out


@pytest.fixture(scope="module")
def stars():
    rng = np.random.default_rng(0)
    y = np.column_stack(
        [rng.uniform(4000, 5000, 300), *rng.normal(0, 0.2, (2, 300))],
    )
    X = flux(y) + 0.01 * rng.normal(size=(300, 80))
    X[:, 5] = np.nan
    X[201, 20:24] = np.nan
    return X, pd.DataFrame(y, columns=NAMES)


@pytest.fixture(scope="module")
def model(stars):
    X, y = stars
    return LabelRegressor(degree=2).fit(X[:200], y[:200])


@pytest.fixture(scope="module")
def weighted(stars):
    X, y = stars
    return LabelRegressor(degree=1, calibrate=False).fit(
        X[:200], y[:200], sigma=0.01 + 0.001 * np.arange(80)
    )


def bars(ax):
    """Return the places and half-lengths of the error bars of a panel."""
    (container,) = ax.containers
    points, _, (lines,) = container
    segments = np.array(lines.get_segments())
    return points.get_xydata(), np.ptp(segments[:, :, 1], axis=1) / 2, segments


def notes(ax):
    return "\n".join(text.get_text() for text in ax.texts)


# -- labels beside their truth


def test_points_and_error_bars_are_the_predictions(stars, model):
    X, y = stars[0][200:], stars[1][200:]
    labels, error = model.predict(X, return_std=True)
    display = LabelErrorDisplay.from_estimator(model, X, y, units=UNITS)
    assert display.axes_.shape == (2, 3)
    for k, (ax, below) in enumerate(display.axes_.T):
        true = y.to_numpy()[:, k]
        for panel, expected in ((ax, labels[:, k]), (below, labels[:, k] - true)):
            points, half, segments = bars(panel)
            assert_allclose(points, np.column_stack([true, expected]), atol=1e-10)
            assert_allclose(half, error[:, k], rtol=1e-6)
            assert_allclose(segments[:, :, 1].mean(axis=1), expected, atol=1e-6)
        assert below.get_shared_x_axes().joined(ax, below)
        assert ax.get_title() == NAMES[k]
    ylabels = [ax.get_ylabel() for ax in display.axes_.flat]
    assert ylabels[:3] == ["predicted [K]", "predicted [dex]", "predicted"]
    assert ylabels[3:] == ["residual [K]", "residual [dex]", "residual"]
    assert display.axes_[1, 0].get_xlabel() == "true [K]"


def test_numbers_are_those_of_the_residuals():
    """Of residuals -3, -1, 0, 1, 13: mean 2, median absolute value 1, rms 6."""
    true = np.array([10.0, 20, 30, 40, 50, 60, np.nan])
    pred = true + [-3, -1, 0, 1, 13, np.nan, 0]
    display = LabelErrorDisplay.from_predictions(
        true, pred, np.full(7, 2.0), label_names=["teff"], units={"teff": "K"}
    )
    assert notes(display.axes_[0, 0]) == (
        "bias 2.0 K\n1.48 MAD 1.5 K\nrms 6.0 K\n60 % within 1σ"
    )
    assert_allclose(display.errors.rmse, 6)
    assert_allclose(display.errors.within, 0.6)
    assert len(bars(display.axes_[0, 0])[0]) == 5
    assert notes(display.axes_[1, 0]) == "1 of 5 outside"
    small = LabelErrorDisplay.from_predictions(true / 1e3, pred / 1e3 - 0.004)
    assert "bias −0.0020\n1.48 MAD 0.0074\nrms 0.0060" in notes(small.axes_[0, 0])


def test_missing_labels_are_left_out(stars, model):
    X, y = stars[0][200:], stars[1][200:].copy()
    y.iloc[::2, 0] = np.nan
    display = LabelErrorDisplay.from_estimator(model, X, y)
    known = LabelErrorDisplay.from_estimator(model, X[1::2], y[1::2])
    assert_allclose(display.errors.rmse[0], known.errors.rmse[0], rtol=1e-6)
    assert_allclose(display.errors.within[0], known.errors.within[0])
    assert len(bars(display.axes_[0, 0])[0]) == 50
    assert len(bars(display.axes_[0, 1])[0]) == 100
    y["na_h"] = np.nan
    with pytest.raises(ValueError, match="predicted 'na_h'; leave this label out"):
        LabelErrorDisplay.from_estimator(model, X, y)
    display = LabelErrorDisplay.from_estimator(model, X, y, labels=["teff", "fe_h"])
    assert display.errors.names == ["teff", "fe_h"]


def test_many_stars_are_drawn_as_their_density():
    rng = np.random.default_rng(0)
    true = rng.normal(size=(3000, 2))
    pred = true + [0.1, 0.2] * rng.normal(size=true.shape)
    pred[7, 0] += 50
    std = np.tile([0.1, 0.2], (3000, 1))
    display = LabelErrorDisplay.from_predictions(true, pred, std, max_stars=2999)
    for k, (ax, below) in enumerate(display.axes_.T):
        (cells,) = ax.collections[:1]
        (residuals,) = below.collections
        # all stars are in it, but the one that a note tells of
        assert cells.get_array().sum() == 3000 - (k == 0)
        outside = int((np.abs(pred - true)[:, k] > below.get_ylim()[1]).sum())
        assert residuals.get_array().sum() == 3000 - outside
        assert f"{outside} of 3000 outside" in notes(below) or not outside
        assert_allclose(bars_of_median(ax), std[0, k])
        assert cells.norm is residuals.norm
    assert len(display.figure_.axes) == 5  # with the scale of colours
    few = LabelErrorDisplay.from_predictions(true, pred, std, max_stars=3000)
    assert len(bars(few.axes_[0, 0])[0]) == 3000


def bars_of_median(ax):
    (container,) = ax.containers
    ((segment,),) = (lines.get_segments() for lines in container.lines[2])
    return np.ptp(segment[:, 1]) / 2


def test_labels_are_chosen_by_name(stars, model):
    X, y = stars[0][200:], stars[1][200:]
    whole = LabelErrorDisplay.from_estimator(model, X, y.to_numpy())
    assert whole.errors.names == NAMES
    display = LabelErrorDisplay.from_estimator(
        model, X, y, labels=["na_h", 0], units=UNITS, n_columns=1
    )
    assert display.errors.names == ["na_h", "teff"]
    assert display.units == ["", "K"]
    assert_array_equal(display.errors.rmse, whole.errors.rmse[[2, 0]])
    lower = [ax.get_position().y0 for ax in display.axes_.T.flat]
    assert np.all(np.diff(lower) < 0)


def test_any_regressor_will_do(stars):
    X = np.delete(stars[0], 5, axis=1)
    y, train = stars[1], np.r_[0:200]
    test = np.r_[202:300]
    names = list(y.columns)
    linear = LinearRegression().fit(X[train][:, :20], y.iloc[train])
    display = LabelErrorDisplay.from_estimator(linear, X[test][:, :20], y.iloc[test])
    assert display.y_std is None and display.errors.within is None
    assert display.errors.names == names
    assert "1σ" not in notes(display.axes_[0, 0])
    process = GaussianProcessRegressor(alpha=1e-3, optimizer=None)
    process.fit(X[train], y.iloc[train, 1:])
    display = LabelErrorDisplay.from_estimator(process, X[test], y.iloc[test, 1:])
    assert_allclose(display.y_std, process.predict(X[test], return_std=True)[1])
    pipeline = make_pipeline(FunctionTransformer(), BayesianRidge())
    search = GridSearchCV(pipeline, {"bayesianridge__alpha_1": [1e-6]}, cv=2)
    search.fit(X[train], y["teff"].iloc[train])
    display = LabelErrorDisplay.from_estimator(search, X[test], y["teff"].iloc[test])
    assert display.errors.names == ["teff"]
    expected = search.best_estimator_.predict(X[test], return_std=True)
    assert_allclose(display.y_pred[:, 0], expected[0])
    assert_allclose(display.y_std[:, 0], expected[1])
    both = MultiOutputRegressor(BayesianRidge()).fit(X[train], y.iloc[train])
    assert LabelErrorDisplay.from_estimator(both, X[test], y.iloc[test]).y_std is None


def test_errors_of_spectra_reach_the_prediction(stars, weighted):
    X, y = stars[0][200:], stars[1][200:]
    sigma = np.linspace(0.005, 0.05, len(X))[:, None]
    display = LabelErrorDisplay.from_estimator(weighted, X, y, sigma=sigma)
    expected = weighted.predict(X, sigma=sigma, return_std=True)
    assert_array_equal(display.y_pred, expected[0])
    assert_array_equal(display.y_std, expected[1])


def test_pipelines_draw_errors_that_are_requested(stars):
    """With metadata routing, and errors of spectra among the columns."""
    X, y = np.delete(stars[0], 5, axis=1)[:200], stars[1][:200]
    pixels, sigma = np.arange(79.0), np.full(X.shape, 0.01)
    with config_context(enable_metadata_routing=True):
        resampler = SpectrumResampler(pixels, pixels[:-1] + 0.5, with_sigma=True)
        resampler.set_fit_request(sigma=True).set_transform_request(sigma=True)
        for requested in (False, True):
            last = LabelRegressor(degree=1, calibrate=False)
            last.set_predict_request(return_std=requested)
            pipeline = make_pipeline(resampler, SigmaUnpacker(last))
            pipeline.fit(X, y, sigma=sigma)
            display = LabelErrorDisplay.from_estimator(pipeline, X, y, sigma=sigma)
            assert (display.y_std is not None) == requested
        expected = pipeline.predict(X, sigma=sigma, return_std=True)
        assert_array_equal(display.y_std, expected[1])


def test_stars_that_cannot_be_scaled_by():
    """One star, a perfect prediction, a label that is constant, an open error."""
    one = LabelErrorDisplay.from_predictions([3.0], [3.5], [np.inf])
    assert one.errors.within == 1
    perfect = LabelErrorDisplay.from_predictions([1.0, 2, 3], [1.0, 2, 3])
    assert perfect.errors.rmse == 0
    constant = LabelErrorDisplay.from_predictions([1, 1, 1], [1, 2, 3])
    for display in (one, perfect, constant):
        display.figure_.canvas.draw()


def test_draws_where_it_is_told(stars, model):
    X, y = stars[0][200:], stars[1][200:]
    figure, axes = plt.subplots(2, 2)
    display = LabelErrorDisplay.from_estimator(
        model, X, y, labels=["teff", "fe_h"], axes=axes
    )
    assert display.figure_ is figure
    assert display.axes_[1, 1] is axes[1, 1]
    figure, axes = plt.subplots(3)
    display = LabelSpectrumDisplay.from_estimator(model, X, labels="fe_h", axes=axes)
    assert display.figure_ is figure


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"labels": ["tef"]}, "`labels` names 'tef'.*Did you mean 'teff'"),
        ({"labels": [3]}, "by name or number, got 3; there are 3 labels"),
        ({"units": {"fe": "dex"}}, "`units` names 'fe'.*Did you mean 'fe_h'"),
        ({"label_names": ["a", "b"]}, "a name for each of 3 labels"),
        (
            {"y_pred": np.zeros((4, 2))},
            "`y_pred` must have the shape of y_true",
        ),
        ({"y_std": np.zeros(3)}, "`y_std` must have the shape of y_true"),
        ({"y_std": np.full((4, 3), -1.0)}, "`y_std` must be positive where .* got -1"),
        ({"y_pred": np.full((4, 3), np.inf)}, "`y_pred` must be finite, or NaN"),
        ({"labels": []}, "`labels` must give at least one of"),
        (
            {"axes": np.empty(3, object)},
            r"`axes` must have shape \(2, 3\)",
        ),
        ({"y_true": np.zeros((4, 3, 1))}, "`y_true` must have shape"),
    ],
)
def test_errors_say_what_would_do(given, match):
    table = pd.DataFrame(np.zeros((4, 3)), columns=NAMES)
    given = {"y_true": table, "y_pred": table} | given
    with pytest.raises(ValueError, match=match):
        LabelErrorDisplay.from_predictions(**given)


def test_labels_in_another_order_are_refused(stars, model):
    X, y = stars[0][200:], stars[1][200:]
    with pytest.raises(ValueError, match="same order"):
        LabelErrorDisplay.from_estimator(model, X, y[NAMES[::-1]])


# -- spectra and what labels contribute


def test_spectrum_model_and_residual(stars, model):
    X = stars[0]
    display = LabelSpectrumDisplay.from_estimator(model, X, 201, labels=["fe_h"])
    spectrum, residual, _ = display.axes_
    star, predicted = (line.get_ydata() for line in spectrum.lines)
    assert_array_equal(star, X[201])
    expected = model.predict_spectra(model.predict(X[201:202]))[0]
    assert_allclose(predicted, expected)
    away = residual.lines[1].get_ydata()
    assert_allclose(away, (X[201] - expected) / model.scatter_)
    gaps = np.flatnonzero(np.isnan(away))
    assert_array_equal(gaps, [5, 20, 21, 22, 23])
    assert 0.8 < np.nanstd(away) < 1.2
    assert residual.get_ylabel() == "residual [σ]"
    assert display.axes_[-1].get_xlabel() == "pixel"


def test_errors_of_pixels_add_to_the_scatter(stars, weighted):
    X = stars[0][200:]
    sigma = np.linspace(0.005, 0.05, len(X))[:, None] * np.ones(80)
    sigma[3, 40] = np.inf
    display = LabelSpectrumDisplay.from_estimator(weighted, X, 3, sigma=sigma)
    expected = np.hypot(weighted.scatter_, sigma[3])
    seen = ~np.isnan(display.flux)
    assert_allclose(display.error[seen], expected[seen])
    assert_array_equal(np.flatnonzero(~seen), [5, 40])
    labels, std = weighted.predict(X[3:4], sigma=sigma[3:4], return_std=True)
    assert_allclose(display.model, weighted.predict_spectra(labels)[0])
    assert_allclose(display.steps, std[0])
    assert display.label_names == NAMES


def test_contributions_are_the_linear_change(stars, model, weighted):
    X = stars[0][200:]
    steps = {"teff": 40.0, 1: 0.05, "na_h": 0.1}
    rise = np.array([40.0, 0.05, 0.1])
    linear = LabelSpectrumDisplay.from_estimator(
        weighted, X, sigma=0.01, steps=steps, units=UNITS
    )
    at = weighted.predict(X[:1], sigma=0.01)
    whole = (weighted.predict_spectra(at + rise) - weighted.predict_spectra(at))[0]
    assert_allclose(linear.contributions.sum(axis=0), whole, atol=1e-12)
    titles = [ax.get_title(loc="left") for ax in linear.axes_[2:]]
    assert titles == ["teff + 40 K", "fe_h + 0.05 dex", "na_h + 0.1"]
    # of a curved model: the gradient, but for the third order of the step
    curved = LabelSpectrumDisplay.from_estimator(
        model, X, steps={name: 1e-3 * step for name, step in steps.items()}
    )
    gradient = model.label_gradients(model.predict(X[:1]))[0]
    assert_allclose(
        curved.contributions, 1e-3 * rise[:, None] * gradient, rtol=1e-6, atol=1e-12
    )
    (line,) = curved.axes_[4].lines[1:]
    assert_array_equal(line.get_ydata(), curved.contributions[2])


def test_labels_rise_by_their_errors_or_by_steps(stars, model):
    X = stars[0][200:]
    error = model.predict(X[4:5], return_std=True)[1][0]
    display = LabelSpectrumDisplay.from_estimator(
        model, X, 4, labels=["na_h", "teff"], steps={"teff": 100}
    )
    assert display.label_names == ["na_h", "teff"]
    assert_allclose(display.steps, [error[2], 100])
    only = LabelSpectrumDisplay.from_estimator(model, X, 4, steps={"teff": 100})
    assert only.label_names == ["teff"]


def test_window_and_gaps_between_detectors(stars, model):
    X = stars[0][200:]
    wavelength = np.r_[1500:1550, 1600:1630] * u.nm
    display = LabelSpectrumDisplay.from_estimator(
        model,
        X,
        labels=["fe_h"],
        wavelength=wavelength,
        limits=(15295, 16105),
        band=False,
    )
    x = display.axes_[0].lines[0].get_xdata()
    expected = np.r_[15300:15500:10, np.nan, 16000:16110:10]
    assert_allclose(x, expected)
    for ax in display.axes_:
        y = ax.lines[-1].get_ydata()
        assert_array_equal(np.isnan(y), np.isnan(expected))
        assert_allclose(ax.get_xlim(), (15300, 16100))
    assert display.axes_[-1].get_xlabel() == "wavelength [Å]"
    assert not display.axes_[0].collections
    shaded = LabelSpectrumDisplay.from_estimator(model, X, labels=[], band=True)
    (band,) = shaded.axes_[0].collections
    edges = np.concatenate([path.vertices for path in band.get_paths()])
    at_ten = edges[edges[:, 0] == 10, 1]
    assert_allclose(np.unique(at_ten)[-1], (shaded.model + shaded.error)[10])
    assert_allclose(np.unique(at_ten)[0], (shaded.model - shaded.error)[10])


def test_spectra_may_come_in_tables_and_masked(stars, model):
    X = stars[0][200:]
    expected = LabelSpectrumDisplay.from_estimator(model, X, 1, labels=["fe_h"])
    masked = np.ma.masked_invalid(np.where(np.isnan(X), 9.0, X))
    masked[np.isnan(X)] = np.ma.masked
    for given in (masked, pd.DataFrame(X), X.tolist()):
        display = LabelSpectrumDisplay.from_estimator(model, given, 1, labels=["fe_h"])
        assert_allclose(display.flux, expected.flux)
        assert_allclose(display.contributions, expected.contributions)


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"row": 100}, "`row` must be one of 100 spectra, got 100"),
        ({"row": 2}, "Nothing was observed of the spectrum in row 2"),
        ({"labels": ["nah"]}, "Did you mean 'na_h'"),
        ({"steps": {"tef": 1.0}}, "Did you mean 'teff'"),
        ({"steps": {"teff": 0.0}}, "`steps` must be positive and finite, got 0.0"),
        ({"wavelength": np.arange(7)}, r"one for each of 80 pixels, got shape \(7,"),
        (
            {"limits": (100, 200)},
            "must hold pixels, which are from 0 to 79, got",
        ),
    ],
)
def test_errors_of_spectra_say_what_would_do(stars, model, given, match):
    X = stars[0][200:].copy()
    X[2] = np.nan
    with pytest.raises(ValueError, match=match):
        LabelSpectrumDisplay.from_estimator(model, X, **given)

"""Simulation-based calibration finds posteriors that are wrong."""

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from numpy.testing import assert_allclose

from skastro.io import write_parameter_maps
from skastro.metrics import simulation_based_calibration
from skastro.parameter_space import LogUniform, ParameterSpace, Uniform
from skastro.plotting import ParameterMapsDisplay, RankDisplay
from skastro.retrieval import BayesianRetrieval, Posterior, Posteriors

PRIOR = ParameterSpace({"slope": Uniform(-5, 5), "level": LogUniform(1, 100, "K")})
X = np.linspace(0, 3, 6)[:, None]


def line(theta, X):
    return theta[:, :1] * X[:, 0] + theta[:, 1:]


class Overconfident(BayesianRetrieval):
    """Takes errors for half of what they are."""

    def fit(self, X, y, sigma=None):
        return super().fit(X, y, sigma=sigma / 2)


def calibrate(cls, n_simulations=200):
    retrieval = cls(line, PRIOR, sampler="importance", random_state=0)
    return simulation_based_calibration(
        retrieval,
        X,
        lambda y: 1.0 + 0.1 * np.abs(y),
        n_simulations=n_simulations,
        random_state=1,
    )


@pytest.fixture(scope="module")
def calibration():
    return calibrate(BayesianRetrieval)


def test_right_posteriors_pass(calibration):
    assert calibration.passes()
    assert calibration.ranks.shape == calibration.theta.shape == (200, 2)
    inside = calibration.coverage([0.6827, 0.95])
    # three standard errors of 200 objects
    assert (np.abs(inside[0] - 0.6827) < 3 * np.sqrt(0.68 * 0.32 / 200)).all()
    assert (np.abs(inside[1] - 0.95) < 3 * np.sqrt(0.95 * 0.05 / 200)).all()
    assert "slope" in calibration.summary() and "200 sim" in calibration.summary()


def test_overconfident_posteriors_fail():
    calibration = calibrate(Overconfident, n_simulations=80)
    assert not calibration.passes()
    assert (calibration.coverage(0.6827) < 0.55).all()


def test_nested_sampling_is_calibrated_too():
    retrieval = BayesianRetrieval(line, PRIOR, n_live_points=50, random_state=0)
    calibration = simulation_based_calibration(
        retrieval, X, np.full(6, 1.0), n_simulations=24, random_state=1
    )
    assert calibration.passes()


def test_errors_must_be_positive():
    retrieval = BayesianRetrieval(line, PRIOR)
    with pytest.raises(ValueError, match="`sigma` must be positive"):
        simulation_based_calibration(retrieval, X, np.zeros(6), n_simulations=5)


def test_unsolved_simulations_are_drawn_again():
    def half(theta, X):
        return np.where(theta[:, :1] > 0.0, line(theta, X), np.nan)

    retrieval = BayesianRetrieval(half, PRIOR, sampler="importance", random_state=0)
    with pytest.warns(UserWarning) as caught:
        calibration = simulation_based_calibration(
            retrieval, X, np.ones(6), n_simulations=12, random_state=0
        )
    assert any("drawn again" in str(w.message) for w in caught)
    assert (calibration.theta[:, 0] > 0).all()
    retrieval.set_params(forward_model=lambda theta, X: line(theta, X) * np.nan)
    with pytest.raises(ValueError, match="no solution anywhere"):
        simulation_based_calibration(retrieval, X, np.ones(6), n_simulations=5)


# -- pictures and files of many objects


@pytest.fixture
def posteriors():
    found = []
    for k in range(5):
        samples = PRIOR.sample(50, random_state=k)
        ones = np.full(50, 0.02)
        found.append(Posterior(PRIOR, samples, samples, ones, ones, -k, 0.1))
    return Posteriors([*found, None], PRIOR)


@pytest.fixture
def wcs():
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = "RA---TAN", "DEC--TAN"
    wcs.wcs.cdelt = -1e-3, 1e-3
    return wcs


def test_rank_picture(calibration):
    display = RankDisplay.from_calibration(calibration)
    curves = [c for c in display.ax_.lines if len(c.get_xdata()) == 200]
    assert len(curves) == 2
    x, y = curves[0].get_data()
    assert_allclose(x + y, np.arange(1, 201) / 200)
    plt.close("all")


def test_parameter_map_picture(posteriors, wcs):
    retrieval = BayesianRetrieval(line, PRIOR)
    retrieval.posterior_ = posteriors
    display = ParameterMapsDisplay.from_estimator(retrieval, (2, 3), wcs=wcs)
    assert display.axes_.shape == (2, 2)
    drawn = display.axes_[0, 1].images[0].get_array().filled(np.nan).ravel()
    assert_allclose(drawn, np.log10(posteriors.quantile(0.5)[:, 1]))
    with pytest.raises(ValueError, match="has not the 6 objects"):
        ParameterMapsDisplay.from_estimator(retrieval, (2, 2))
    with pytest.raises(ValueError, match="the parameters are"):
        ParameterMapsDisplay.from_estimator(retrieval, (2, 3), names=["sloop"])
    retrieval.posterior_ = posteriors[0]
    with pytest.raises(ValueError, match="fitted to one object"):
        ParameterMapsDisplay.from_estimator(retrieval, (2, 3))
    plt.close("all")


def test_parameter_maps_in_a_file(posteriors, wcs, tmp_path):
    path = tmp_path / "maps.fits"
    write_parameter_maps(path, posteriors, wcs=wcs, map_shape=(2, 3))
    with fits.open(path) as hdus:
        level = hdus["LEVEL"]
        assert level.header["BUNIT"] == "K" and level.header["CTYPE1"] == "RA---TAN"
        assert_allclose(level.data.ravel(), posteriors.quantile(0.5)[:, 1])
        assert_allclose(
            hdus["SLOPE_UPPER"].data.ravel(), posteriors.quantile(0.84135)[:, 0]
        )
        assert np.isnan(hdus["LOG_EVIDENCE"].data[1, 2])
    with pytest.raises(FileExistsError):
        write_parameter_maps(path, posteriors, wcs=wcs, map_shape=(2, 3))
    with pytest.raises(ValueError, match="has not the 6 pixels"):
        write_parameter_maps(
            path, posteriors, wcs=wcs, map_shape=(2, 2), overwrite=True
        )


def test_some_parameters_of_a_posterior(posteriors):
    one = posteriors[0].select(["level"])
    assert one.names == ["level"] and one.units == ["K"]
    assert_allclose(one.mean(), posteriors[0].mean()[1:])
    with pytest.raises(KeyError, match="No parameter 'x'"):
        posteriors[0].select(["x"])

"""Simulation-based calibration finds posteriors that are wrong."""

from types import SimpleNamespace

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

from skastro.io import write_parameter_maps
from skastro.metrics import simulation_based_calibration
from skastro.metrics._joint_coverage import joint_ranks
from skastro.parameter_space import LogUniform, ParameterSpace, Uniform
from skastro.plotting import JointCoverageDisplay, ParameterMapsDisplay, RankDisplay
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


def test_either_sampler_gives_the_same_ranks():
    """But those of a random point, which is another one."""
    found = [
        simulation_based_calibration(
            BayesianRetrieval(
                line, PRIOR, sampler=sampler, n_live_points=50, random_state=0
            ),
            X,
            1.0,
            n_simulations=6,
            random_state=1,
        )
        for sampler in ("importance", "auto")
    ]
    assert_array_equal(found[1].theta, found[0].theta)
    assert_allclose(found[1].ranks, found[0].ranks, atol=0.08)
    assert_allclose(found[1].joint_ranks[:, 1:], found[0].joint_ranks[:, 1:], atol=0.15)


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


# -- joint coverage, of posteriors that are known exactly

SHORT = ParameterSpace({"a": stats.norm(0, 1), "b": stats.norm(2, 3)})


class Exact(BayesianRetrieval):
    """A linear model of Gaussian priors, whose posterior is a Gaussian; or nearly so.

    Its draws may be too close to each other, off, or have another one's parameters.
    """

    width, shift, shuffled, n_draws = 1.0, 0.0, False, 200
    matrix = np.array([[1.0, 0.4], [0.0, 0.02]])

    def fit(self, X, y, sigma):
        rng = np.random.default_rng(0)
        loc, scale = np.array([0.0, 2.0]), np.array([1.0, 3.0])
        self.data_ = y, sigma
        found = []
        for data, error in zip(y.T, sigma.T, strict=True):
            A = self.matrix / error[:, None]
            covariance = np.linalg.inv(A.T @ A + np.diag(scale**-2))
            mean = covariance @ (A.T @ (data / error) + loc / scale**2)
            root = np.linalg.cholesky(covariance)
            draws = self.width * rng.standard_normal((self.n_draws, 2)) @ root.T
            draws += mean + self.shift * np.sqrt(np.diag(covariance))
            if self.shuffled:
                draws[:, 0] = rng.permutation(draws[:, 0])
            values = stats.norm.logpdf(data, draws @ self.matrix.T, error).sum(axis=1)
            weights = np.full(self.n_draws, 1 / self.n_draws)
            found.append(Posterior(SHORT, draws, draws, weights, values, 0.0, 0.0))
        self.posterior_ = Posteriors(found, SHORT)
        return self

    def log_likelihood(self, theta):
        (y, sigma), predicted = self.data_, theta[:, 0] @ self.matrix.T
        return stats.norm.logpdf(y.T, predicted, sigma.T).sum(axis=1)[:, None]


def exactly(n_simulations=300, random_state=0, noise=None, settings=None, **defects):
    cls = type("Defective", (Exact,), defects)
    retrieval = cls(lambda theta, X: theta @ Exact.matrix.T, SHORT, **settings or {})
    noise = noise or {"sigma": 0.3}
    return simulation_based_calibration(
        retrieval,
        X[:2],
        **noise,
        n_simulations=n_simulations,
        random_state=random_state,
    )


@pytest.fixture(scope="module")
def exact():
    return exactly()


def test_exact_posteriors_cover_jointly(exact):
    assert exact.joint_names == ["random points", "likelihood", "a × b"]
    assert exact.passes() and exact.passes(kind="joint")
    levels = np.array([0.1, 0.3, 0.5, 0.6827, 0.9, 0.95])[:, None]
    error = np.sqrt(levels * (1 - levels) / 300)
    assert (np.abs(exact.joint_coverage(levels[:, 0]) - levels) < 4 * error).all()
    assert "likelihood" in repr(exact) and "300 simulated objects" in repr(exact)


def test_right_marginals_of_a_wrong_correlation_fail_jointly_only(exact):
    shuffled = exactly(shuffled=True)
    assert shuffled.passes(kind="marginal")
    assert not shuffled.passes(kind="joint") and not shuffled.passes()
    found = dict(zip(shuffled.joint_names, shuffled.joint_p_values, strict=True))
    assert found["a × b"] < 1e-6
    # the truth is more likely than draws that ignore how parameters go together
    assert shuffled.joint_coverage(0.6827)[1] > 0.8


def test_narrow_posteriors_fail_jointly():
    narrow = exactly(width=0.7)
    assert not narrow.passes(kind="joint")
    # the ellipse of 0.7 of its size that should hold 68.27 %: 1 - exp(-0.49 r**2 / 2),
    # nearly so, since the prior is wide
    expected = 1 - np.exp(0.49 * np.log(1 - 0.6827))
    assert abs(narrow.joint_coverage(0.6827)[1] - expected) < 0.1


def test_posteriors_off_the_truth_fail_jointly():
    shifted = exactly(shift=0.7)
    assert not shifted.passes(kind="joint") and not shifted.passes(kind="marginal")


def test_joint_coverage_does_not_depend_on_the_order_of_parameters():
    """Nor on that of the samples."""
    theta = SHORT.sample(50, random_state=0)
    values, half = stats.norm.logpdf(theta).sum(axis=1), np.full(50, 0.02)
    turned = ParameterSpace({name: SHORT[name] for name in ("b", "a")})

    def ranks(space, columns, order):
        samples = theta[order][:, columns]
        found = Posterior(space, samples, samples, half, values[order], 0.0, 0.0)
        rng = SimpleNamespace(uniform=lambda size=1: np.full(size, 0.3))
        truth = np.array([0.3, -0.2])[columns]
        return joint_ranks(found, truth, -3.0, rng)

    first = ranks(SHORT, [0, 1], np.arange(50))
    assert_allclose(ranks(turned, [1, 0], np.arange(50)), first)
    assert_allclose(ranks(SHORT, [0, 1], np.arange(50)[::-1]), first)


def test_kinds_of_ranks(exact):
    with pytest.raises(ValueError, match="`kind` must be .* got 'joined'"):
        exact.passes(kind="joined")


# -- noise of one's own


def noise_of(**settings):
    """Return noiseless lines, and the noise that they were simulated with."""
    seen = []

    class Seen(Exact):
        n_draws = 2

        def fit(self, X, y, sigma):
            seen.append(y)
            return super().fit(X, y, sigma)

    retrieval = Seen(lambda theta, X: theta @ Exact.matrix.T, SHORT, **settings)
    found = simulation_based_calibration(
        retrieval, X[:2], 0.3, n_simulations=200, random_state=0
    )
    lines = Exact.matrix @ found.theta.T
    return lines, seen[0] - lines


def test_noise_is_that_of_the_likelihood():
    _, noise = noise_of()
    assert stats.kstest(noise.ravel() / 0.3, "norm").pvalue > 0.01
    _, noise = noise_of(degrees_of_freedom=2)
    assert stats.kstest(noise.ravel() / 0.3, stats.t(2).cdf).pvalue > 0.01
    lines, noise = noise_of(calibration_error=0.5)
    # a factor that both lines of an object have, over independent errors
    scale = np.hypot(0.3, 0.5 * lines)
    assert stats.kstest((noise / scale).ravel(), "norm").pvalue > 0.01
    apart = np.diff(noise / lines, axis=0) / np.hypot(*(0.3 / lines))
    assert stats.kstest(apart.ravel(), "norm").pvalue > 0.01


def test_own_noise_with_limits_and_missing_lines():
    """A line below three sigma is a limit; what is missing tells nothing."""

    def observe(y, rng):
        noisy = y + rng.standard_normal(y.shape)
        noisy[rng.uniform(size=y.shape) < 0.2] = np.nan
        limit = noisy < 3.0
        seen = np.where(limit, 3.0, noisy)
        return {"y": seen, "sigma": np.ones(len(y)), "upper_limit": limit}

    retrieval = BayesianRetrieval(
        lambda theta, X: theta + 0 * X[:, 0],
        ParameterSpace({"level": Uniform(0, 8)}),
        sampler="importance",
        random_state=0,
    )
    found = simulation_based_calibration(
        retrieval, X, observe=observe, n_simulations=40, random_state=1
    )
    assert found.passes() and found.joint_names == ["random points", "likelihood"]


def test_errors_that_users_underestimate_are_found():
    def observe(y, rng):
        return {"y": y + 0.6 * rng.standard_normal(y.shape), "sigma": 0.3 + 0 * y}

    assert not exactly(noise={"observe": observe}).passes(kind="joint")


def test_objects_without_a_posterior_are_left_out():
    class Lost(Exact):
        def fit(self, X, y, sigma):
            super().fit(X, y, sigma)
            self.posterior_ = Posteriors([None, *self.posterior_[1:]], SHORT)
            return self

    retrieval = Lost(lambda theta, X: theta @ Exact.matrix.T, SHORT)
    with pytest.warns(UserWarning, match="1 of 9 simulated objects have no posterior"):
        found = simulation_based_calibration(retrieval, X[:2], 0.3, n_simulations=9)
    assert len(found.theta) == len(found.ranks) == len(found.joint_ranks) == 8
    assert len(found.effective_sample_size) == 8


def test_one_kind_of_noise():
    retrieval = BayesianRetrieval(line, PRIOR)
    for noise in ({}, {"sigma": 1.0, "observe": lambda y, rng: {"y": y}}):
        with pytest.raises(ValueError, match="Pass one of `sigma`"):
            simulation_based_calibration(retrieval, X, **noise)


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ([1.0], "must return a mapping .* got list"),
        ({"sigma": 1.0}, r"got dict of \['sigma'\]"),
        ({"y": np.ones((6, 4))}, r"shape of the intensities, \(6, 5\), got \(6, 4\)"),
        ({"y": np.ones((6, 5)), "sigmas": 1.0}, "'sigmas'.*Did you mean 'sigma'"),
    ],
)
def test_observe_returns_an_observation(returned, message):
    retrieval = BayesianRetrieval(line, PRIOR)
    with pytest.raises(ValueError, match=message):
        simulation_based_calibration(
            retrieval, X, observe=lambda y, rng: returned, n_simulations=5
        )


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


def test_joint_coverage_picture(exact):
    display = JointCoverageDisplay.from_calibration(exact)
    curves = [c for c in display.ax_.lines if len(c.get_xdata()) == 300]
    assert [c.get_label() for c in curves] == exact.joint_names
    level, excess = curves[1].get_data()
    assert_allclose(level + excess, exact.joint_coverage(level)[:, 1])
    band = (
        display.ax_.patches[0]
        .get_extents()
        .transformed(display.ax_.transData.inverted())
    )
    assert_allclose(stats.kstwo(300).cdf(band.ymax), 0.95)
    display = JointCoverageDisplay.from_calibration(exact, regions=["a × b"])
    assert sum(len(c.get_xdata()) == 300 for c in display.ax_.lines) == 1
    with pytest.raises(ValueError, match="'likelyhood'.*Did you mean 'likelihood'"):
        display.plot(regions=["likelyhood"])
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

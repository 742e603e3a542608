"""Continua, velocities, grids and resolving powers of spectra."""

import numpy as np
import pytest
import sklearn
from astropy import units as u
from numpy.testing import assert_allclose, assert_array_equal
from scipy.ndimage import gaussian_filter1d
from sklearn.pipeline import make_pipeline

from skastro.datasets import LineFormation
from skastro.decomposition import ProbabilisticPCA
from skastro.preprocessing import (
    ContinuumNormalizer,
    ResolutionMatcher,
    SigmaUnpacker,
    SpectrumResampler,
    VelocityShifter,
    air_to_vacuum,
    append_conditions,
    vacuum_to_air,
)
from skastro.preprocessing._continuum_fit import HAZE, _score, mills
from skastro.preprocessing._running_quantile import expected_quantile, running_quantile
from skastro.testing import (
    check_missing_equals_masked,
    check_row_permutation,
    check_scale_equivariance,
    check_single_precision,
)

LIGHT = 299_792.458


def gaussian(wavelength, centre, width, depth=0.5):
    offset = (wavelength - np.asarray(centre)[..., None]) / width
    return 1 - depth * np.exp(-0.5 * offset**2)


# -- continua


@pytest.fixture(scope="module")
def giants():
    """Spectra of eight giants, without noise, their continua and wavelengths."""
    model = LineFormation(seed=5)
    rng = np.random.default_rng(0)
    labels = np.column_stack([rng.uniform(4000, 5000, 8), rng.uniform(1.5, 3, 8)])
    abundances = 0.2 * rng.normal(size=(8, 18))
    wavelength, flux = model.wavelength, model.flux(labels, abundances).astype(float)
    continuum = np.empty_like(flux)
    for chip in (slice(0, 3028), slice(3028, 5523), slice(5523, None)):
        x = np.linspace(-1, 1, len(wavelength[chip]))
        coefficients = rng.normal(size=(8, 4)) * [0.1, 0.1, 0.03, 0.01]
        curve = np.polynomial.chebyshev.chebval(x, coefficients.T)
        continuum[:, chip] = 200 * np.exp(curve)
    return wavelength, flux, continuum


def observed(giants, snr, seed=0):
    """Return spectra with noise, and their errors."""
    _, flux, continuum = giants
    sigma = continuum / snr
    noise = np.random.default_rng(seed).normal(size=flux.shape)
    return flux * continuum + sigma * noise, sigma


@pytest.mark.parametrize("method", ["polynomial", "spline", "quantile"])
def test_a_known_continuum_is_found_at_any_signal_to_noise(giants, method):
    wavelength, _, continuum = giants
    for snr, rms, bias in ((25, 0.008, 3e-3), (100, 0.003, 1.5e-3)):
        X, sigma = observed(giants, snr)
        model = ContinuumNormalizer(wavelength, method=method).fit(X, sigma=sigma)
        assert model.regions_.tolist() == [[0, 3028], [3028, 5523], [5523, 7514]]
        found, error = model.continuum(X, sigma=sigma)
        off = found / continuum - 1
        assert np.sqrt(np.mean(off**2)) < rms
        assert abs(off.mean()) < bias
        assert 0.4 < np.sqrt(np.mean((off * continuum / error) ** 2)) < 2


def test_noise_does_not_move_the_continuum(giants):
    """A running quantile goes up by a tenth of the noise and more; this does not."""
    wavelength, flux, continuum = giants
    level, plain = [], []
    for snr in (20, 200):
        X, sigma = observed(giants, snr)
        model = ContinuumNormalizer(wavelength).fit(X, sigma=sigma)
        level.append(np.mean(model.continuum(X, sigma=sigma)[0] / continuum))
        used = np.ones(len(wavelength), dtype=bool)
        plain.append(np.mean(running_quantile(X[0], used, 301, 0.9)[0] / continuum[0]))
    assert abs(level[0] - level[1]) < 2e-3
    assert plain[0] - plain[1] > 2e-2


@pytest.mark.parametrize("method", ["polynomial", "spline", "quantile"])
def test_known_pixels_need_no_likelihood(giants, method):
    wavelength, flux, continuum = giants
    pixels = (flux > 0.999).all(axis=0)
    X, sigma = observed(giants, 50)
    model = ContinuumNormalizer(wavelength, method=method, pixels=pixels)
    found, error = model.fit(X, sigma=sigma).continuum(X, sigma=sigma)
    pull = (found - continuum) / error
    assert 0.6 < np.sqrt(np.mean(pull**2)) < 1.4
    assert_array_equal(model.continuum_pixels_, pixels)


def test_learned_pixels_are_continuum(giants):
    wavelength, flux, continuum = giants
    X, sigma = observed(giants, 100)
    model = ContinuumNormalizer(wavelength, pixels="learned").fit(X, sigma=sigma)
    learned = model.continuum_pixels_
    assert learned.sum() > 1000
    assert flux.mean(axis=0)[learned].mean() > 0.997
    found, _ = model.continuum(X, sigma=sigma)
    assert np.abs(found / continuum - 1).mean() < 0.002
    # and without errors
    model = ContinuumNormalizer(wavelength, pixels="learned").fit(X)
    assert np.abs(model.continuum(X)[0] / continuum - 1).mean() < 0.004


def test_ranges_of_pixels_and_regions():
    wavelength = np.linspace(5000, 5100, 500)
    continuum = np.where(wavelength < 5050, 10.0, 20.0 + wavelength / 100)
    lines = gaussian(wavelength, 5020, 0.5) * gaussian(wavelength, 5080, 0.5)
    model = ContinuumNormalizer(
        wavelength * u.Angstrom,
        degree=1,
        pixels=[[5000, 5015], [5025, 5075], [5085, 5099]],
        regions=[[5050, 5099], [5000, 5049.9]],
    )
    X = (lines * continuum)[None]
    Z = model.fit_transform(X, sigma=0.1)
    assert_allclose(Z[0, :495], lines[:495], rtol=1e-5)
    assert np.isnan(Z[0, -5:]).all()
    assert not model.continuum_pixels_[[100, 400]].any()
    curve, _ = model.continuum(X, sigma=0.1)
    assert_allclose(model.restore(Z, curve)[:, :495], X[:, :495], rtol=1e-12)


def test_bad_pixels_are_left_out_of_known_continua():
    X = np.full((2, 300), 7.0)
    X[0, [5, 100]] = 1e4, -1e3
    X[1, 250] = np.nan
    model = ContinuumNormalizer(pixels=np.ones(300, dtype=bool), degree=2)
    found, _ = model.fit(X, sigma=0.1).continuum(X, sigma=0.1)
    assert_allclose(found, 7.0, rtol=1e-5)


def test_error_of_the_continuum_is_in_that_of_the_spectrum():
    """By Monte Carlo, with known pixels, where all is linear."""
    rng = np.random.default_rng(1)
    pixels = np.arange(120) % 4 == 0
    X = 5.0 + 0.25 * rng.normal(size=(3000, 120))
    model = ContinuumNormalizer(pixels=pixels, degree=2, with_sigma=True)
    Z = model.fit_transform(X, sigma=0.25)
    flux, sigma = Z[:, ~np.r_[pixels, pixels]].reshape(3000, 2, -1).transpose(1, 0, 2)
    assert_allclose(flux.std(axis=0), sigma.mean(axis=0), rtol=0.08)
    assert (sigma.mean(axis=0) > 0.0505).all()


def test_score_is_the_derivative_of_the_likelihood():
    def log_density(c, logit_p, logit_q, log_t, f=0.93, s=0.04):
        """By convolution with the noise, on a grid."""
        p, q, t = 1 / (1 + np.exp(-logit_p)), 1 / (1 + np.exp(-logit_q)), np.exp(log_t)
        x = np.linspace(0, 3, 300_001)
        noise = np.exp(-0.5 * ((f - c + x) / s) ** 2)
        # lines in units of the continuum that the fit has, not of that which moves
        density = (1 - p) * noise[0]
        for share, mean in ((1 - q, t * 1.02), (q, HAZE * t * 1.02)):
            density += p * share * np.trapezoid(noise * np.exp(-x / mean) / mean, x)
        return np.log(density)

    at = np.array([1.02, 0.3, -0.2, np.log(0.08)])
    expected = []
    for k in range(4):
        h = np.eye(4)[k] * 1e-4
        expected.append((log_density(*(at + h)) - log_density(*(at - h))) / 2e-4)
    score, known = np.empty(4), np.empty(4)
    lines = np.array([1 / (1 + np.exp(-0.3)), 1 / (1 + np.exp(0.2)), 0.08])
    _score(0.93, 1.02, 0.04, lines, score, known)
    assert_allclose(score, expected, rtol=2e-3, atol=1e-3)
    assert (known > 0).all()


def test_mills_ratio():
    from scipy.stats import norm

    for z in (-30.0, -8.01, -7.99, -1.234, 0.0, 0.5, 3.0):
        assert_allclose(mills(z), norm.cdf(z) / norm.pdf(z), rtol=1e-4)


@pytest.mark.parametrize("s", [0.002, 0.05])
def test_expected_quantile_is_that_of_draws(s):
    rng = np.random.default_rng(0)
    lines = np.array([0.6, 0.4, 0.1])
    n = 200_000
    depth = rng.exponential(0.1, n) * np.where(rng.random(n) < 0.4, HAZE, 1)
    flux = 1 - np.where(rng.random(n) < 0.6, depth, 0) + s * rng.normal(size=n)
    for quantile in (0.05, 0.5, 0.9):
        value, density = expected_quantile(quantile, s, lines)
        assert_allclose(value, np.quantile(flux, quantile), atol=0.03 * (s + 0.01))
        h = 0.5 * s
        near = np.mean(np.abs(flux - value) < h) / (2 * h)
        assert_allclose(density, near, rtol=0.2)


def test_running_quantile_is_that_of_numpy():
    f = np.random.default_rng(0).normal(size=60)
    used = np.arange(60) % 7 > 0
    found, count = running_quantile(f, used, 11, 0.8)
    for i in range(60):
        window = slice(max(0, i - 5), i + 6)
        values = f[window][used[window]]
        assert_allclose(found[i], np.quantile(values, 0.8))
        assert count[i] == len(values)


def test_spectra_without_light_have_no_continuum():
    X = np.ones((3, 50))
    X[0] = np.nan
    X[1] = -1.0
    model = ContinuumNormalizer().fit(X)
    with pytest.warns(UserWarning, match="2 of 3 stretches .* no continuum"):
        Z = model.transform(X)
    assert np.isnan(Z[:2]).all()
    assert_allclose(Z[2], 1, rtol=1e-3)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"wavelength": [1.0, 2.0]}, "which are not the 2 of `wavelength`"),
        ({"wavelength": np.arange(9)[::-1]}, "`wavelength` must increase"),
        ({"wavelength": np.ones((3, 3))}, "one finite value for each pixel"),
        ({"regions": [[3, 5], [4, 8]]}, "not overlap"),
        ({"regions": [3, 5]}, "pairs of a lower and an upper"),
        ({"pixels": [[50, 60]]}, "Only 0 pixels of the region from 0 to 8"),
        ({"pixels": np.ones(4, dtype=bool)}, "a mask with one value for each"),
        ({"with_sigma": True}, "with_sigma=True needs errors"),
        ({"pixels": "lernt"}, "'pixels' parameter"),
    ],
)
def test_wrong_parameters_are_refused(parameters, message):
    with pytest.raises(ValueError, match=message):
        ContinuumNormalizer(**parameters).fit(np.ones((2, 9)))


def test_wrong_continua_are_refused():
    model = ContinuumNormalizer().fit(np.ones((2, 20)))
    with pytest.raises(ValueError, match="`continuum` must have the shape"):
        model.restore(np.ones((2, 20)), np.ones((2, 19)))
    with pytest.raises(ValueError, match="learns nothing from y"):
        model.fit(np.ones((2, 20)), np.zeros((2, 20)))


# -- velocities


@pytest.fixture(scope="module")
def forest():
    """A spectrum of many lines, as a function of velocity, on two detectors."""
    step = 4.0 / LIGHT
    log = np.log(5000) + step * np.r_[0:900, 950:1800]
    rng = np.random.default_rng(3)
    centres = rng.uniform(log[0] - 0.002, log[-1] + 0.002, 150)
    depths = rng.uniform(0.05, 0.5, 150)

    def flux(velocity):
        at_rest = log - np.arctanh(np.asarray(velocity) / LIGHT)[..., None]
        lines = np.ones_like(at_rest)
        for centre, depth in zip(centres, depths, strict=True):
            lines = lines * (
                1 - depth * np.exp(-0.5 * ((at_rest - centre) / (1.5 * step)) ** 2)
            )
        return lines

    return np.exp(log), flux


def test_shifts_are_relativistic(forest):
    wavelength, flux = forest
    velocity = np.array([-310.0, 55.5, 1234.0])
    model = VelocityShifter(wavelength).fit(flux(velocity))
    Z = model.transform(flux(velocity), velocity=velocity * u.km / u.s)
    assert np.isnan(Z).mean() < 0.25
    assert_allclose(Z, np.where(np.isnan(Z), np.nan, flux([0.0])), atol=8e-3)
    # 1234 km/s would be off by 2.5 km/s without relativity: half a pixel
    far = np.abs(Z[2] - flux(1234.0 - 1234.0 * 1.002))
    assert np.nanmax(far) > 0.03


def test_there_and_back(forest):
    wavelength, flux = forest
    X = flux([0.0, 0.0])
    X[0, 400] = np.nan
    model = VelocityShifter(wavelength, with_sigma=True).fit(X, sigma=0.1)
    there = model.transform(X, sigma=0.1, velocity=[37.0, -93.0])
    back = model.inverse_transform(there, velocity=[37.0, -93.0])
    assert back.shape == (2, 2 * len(wavelength))
    assert_allclose(*np.broadcast_arrays(np.nan, back[0, 400]))
    seen = ~np.isnan(back[:, : len(wavelength)])
    assert seen.mean() > 0.9
    assert_allclose(back[:, : len(wavelength)][seen], X[seen], atol=8e-3)
    still = model.transform(X, sigma=0.1, velocity=0.0)
    assert_array_equal(still[:, : len(wavelength)], X)
    assert_allclose(still[:, len(wavelength) :][~np.isnan(X)], 0.1)


def test_nothing_is_interpolated_across_gaps(forest):
    wavelength, flux = forest
    X = flux([0.0])
    X[0, 300:310] = np.nan
    Z = VelocityShifter(wavelength).fit(X).transform(X, velocity=[2.0])[0]
    # half a pixel to the red: each needs its neighbour
    assert np.flatnonzero(np.isnan(Z)).tolist() == [*range(299, 310), 899, 1749]


@pytest.mark.parametrize("errors", ["marginal", "effective"])
def test_errors_of_interpolated_pixels(errors):
    rng = np.random.default_rng(0)
    sigma = np.linspace(0.5, 2, 100)
    X = sigma * rng.normal(size=(4000, 100))
    model = VelocityShifter(10.0, errors=errors, with_sigma=True).fit(X, sigma=sigma)
    Z = model.transform(X, sigma=sigma, velocity=3.7)[:, 5:-105]
    Z, found = Z[:, :90], model.transform(X, sigma=sigma, velocity=3.7)[0, 105:195]
    if errors == "marginal":
        assert_allclose(Z.std(axis=0), found, rtol=0.06)
    else:
        covariance = np.cov(Z, rowvar=False)
        mean = Z[:, 30:60].mean(axis=1)
        assert_allclose(mean.std(), np.sqrt((found[30:60] ** 2).sum()) / 30, rtol=0.06)
        assert (np.diag(covariance)[10:80] < found[10:80] ** 2).mean() > 0.9


@pytest.mark.parametrize("known", [True, False])
def test_measured_velocities_are_right_within_their_errors(forest, known):
    wavelength, flux = forest
    rng = np.random.default_rng(0)
    velocity = rng.uniform(-200, 200, 40)
    X = 1.3 * flux(velocity) + 0.02 * rng.normal(size=(40, len(wavelength)))
    X[:, 200:260] = np.nan
    model = VelocityShifter(wavelength, velocity="measured", template=flux(0.0)).fit(X)
    found, error = model.measure(X, sigma=0.02 if known else None)
    pull = (found - velocity) / error
    assert error.max() < 0.5
    assert 0.7 < pull.std() < 1.4
    assert abs(pull.mean()) < 0.6
    Z = model.transform(X[:2], sigma=0.02 if known else None)
    far = Z - 1.3 * flux(0.0)
    assert np.nanstd(far) < 0.03


def test_errors_of_velocities_count_an_unlike_template(forest):
    wavelength, flux = forest
    rng = np.random.default_rng(1)
    # lines of each star are blends that the template has not
    at = rng.integers(0, len(wavelength), (60, 150))
    own = np.zeros((60, len(wavelength)))
    np.add.at(own, (np.arange(60)[:, None], at), rng.uniform(0, 0.5, at.shape))
    own = gaussian_filter1d(own, 1.5, axis=1)
    for noise in (0.001, 0.02):
        X = flux(0.0) * (1 - own) + noise * rng.normal(size=own.shape)
        model = VelocityShifter(wavelength, velocity="measured", template=flux(0.0))
        found, error = model.fit(X).measure(X, sigma=noise)
        assert 0.75 < np.sqrt(np.mean((found / error) ** 2)) < 1.25


def test_mean_of_the_stars_is_a_template(forest):
    wavelength, flux = forest
    velocity = np.linspace(-3, 3, 9)
    model = VelocityShifter(wavelength, velocity="measured").fit(flux(velocity))
    found, _ = model.measure(flux(velocity))
    assert_allclose(found - found.mean(), velocity, atol=0.3)


def test_no_peak_is_no_velocity(forest):
    wavelength, flux = forest
    model = VelocityShifter(
        wavelength, velocity="measured", template=flux(0.0), max_velocity=100
    )
    X = np.array([np.ones(len(wavelength)), np.full(len(wavelength), np.nan)])
    model.fit(X)
    with pytest.warns(UserWarning, match="2 of 2 spectra have no velocity"):
        assert np.isnan(model.transform(X)).all()


def test_velocities_in_a_column(forest):
    wavelength, flux = forest
    velocity = np.array([20.0, -50.0])
    X, sigma = append_conditions(flux(velocity), velocity, sigma=0.01)
    model = VelocityShifter(wavelength, velocity="column", with_sigma=True)
    Z = model.fit_transform(X, sigma=sigma)
    given = VelocityShifter(wavelength, with_sigma=True)
    expected = given.fit_transform(flux(velocity), sigma=0.01, velocity=velocity)
    assert_array_equal(Z, expected)


def test_wrong_velocities_are_refused(forest):
    wavelength, flux = forest
    X = flux([0.0, 0.0])
    model = VelocityShifter(wavelength).fit(X)
    for velocity, message in (
        (None, "`velocity` is needed"),
        ([1.0, 2.0, 3.0], "one value for each of the 2"),
        ([1.0, 3e5], "below that of light"),
    ):
        with pytest.raises(ValueError, match=message):
            model.transform(X, velocity=velocity)
    with pytest.raises(TypeError, match="which is not km/s"):
        model.transform(X, velocity=[1.0, 2.0] * u.K)
    with pytest.raises(ValueError, match="has no template"):
        model.measure(X)
    with pytest.raises(ValueError, match=r"must have 1750 or 3500 columns"):
        model.inverse_transform(X[:, :-1], velocity=0.0)
    measured = VelocityShifter(wavelength, velocity="measured")
    with pytest.raises(ValueError, match="takes it from elsewhere"):
        measured.fit(X).transform(X, velocity=[0.0, 0.0])
    with pytest.raises(ValueError, match="`template` must have the 1750 pixels"):
        measured.set_params(template=[1.0, 2.0]).fit(X)
    with pytest.raises(ValueError, match="`wavelength` must be positive"):
        VelocityShifter(np.arange(1750) - 5.0).fit(X)


# -- grids


def test_flux_is_conserved():
    rng = np.random.default_rng(0)
    old = np.cumsum(rng.uniform(0.5, 1.5, 300)) + 5000
    new = np.linspace(old[0] - 3, old[-1] + 3, 170)
    X = rng.uniform(0.5, 1.5, (3, 300))
    X[:, :20] = X[:, -20:] = 0
    Z = SpectrumResampler(old, new, min_coverage=0.0).fit_transform(X)
    widths = np.r_[old[1] - old[0], (old[2:] - old[:-2]) / 2, old[-1] - old[-2]]
    step = new[1] - new[0]
    assert_allclose(np.nansum(Z, axis=1) * step, X @ widths, rtol=1e-12)
    flat = SpectrumResampler(old, new).fit_transform(np.ones((1, 300)))
    assert_allclose(flat[~np.isnan(flat)], 1)


def test_the_same_grid_changes_nothing():
    X = np.random.default_rng(0).normal(size=(3, 40))
    X[1, 7] = np.nan
    Z = SpectrumResampler(with_sigma=True).fit_transform(X, sigma=0.3)
    assert_allclose(Z[:, :40], X, rtol=1e-12)
    assert_allclose(Z[:, 40:], np.where(np.isnan(X), np.nan, 0.3))


def test_gaps_stay_gaps():
    old = np.r_[0:40, 60:100].astype(float)
    X = np.ones((1, 80))
    X[0, 10:20] = np.nan
    Z = SpectrumResampler(old, np.arange(0.25, 99.5, 0.5)).fit_transform(X)[0]
    new = np.arange(0.25, 99.5, 0.5)
    missing = ((new > 9.5) & (new < 19.5)) | ((new > 39.5) & (new < 59.5))
    assert_array_equal(np.isnan(Z), missing)


@pytest.mark.parametrize("n_new", [23, 150])
def test_errors_of_resampled_pixels(n_new):
    rng = np.random.default_rng(0)
    sigma = np.linspace(0.5, 2, 100)
    X = sigma * rng.normal(size=(5000, 100))
    new = np.linspace(5, 95, n_new)
    model = SpectrumResampler(None, new, errors="marginal", with_sigma=True)
    Z = model.fit_transform(X, sigma=sigma)
    assert_allclose(Z[:, :n_new].std(axis=0), Z[0, n_new:], rtol=0.05)
    aware = model.set_params(errors="effective").fit_transform(X, sigma=sigma)
    assert_array_equal(aware[:, :n_new], Z[:, :n_new])
    spread = Z[:, :n_new].mean(axis=1).std()
    effective = np.sqrt((aware[0, n_new:] ** 2).sum()) / n_new
    assert_allclose(effective, spread, rtol=0.05)


def test_air_is_that_of_the_tables():
    """Sodium D and H alpha (NIST), and the index of Morton (2000) to 1e-8."""
    assert_allclose(
        vacuum_to_air([5891.5833, 6564.614]), [5889.9509, 6562.80], atol=3e-3
    )
    vacuum = np.linspace(3000, 17000, 50)
    s2 = (1e4 / vacuum) ** 2
    morton = 1 + 8.34254e-5 + 2.406147e-2 / (130 - s2) + 1.5998e-4 / (38.9 - s2)
    assert_allclose(vacuum_to_air(vacuum), vacuum / morton, rtol=1.5e-8)
    assert_allclose(air_to_vacuum(vacuum_to_air(vacuum)), vacuum, rtol=1e-14)
    assert_allclose(vacuum_to_air([500.0] * u.nm), vacuum_to_air([5000.0]))
    with pytest.raises(ValueError, match="at least 2000 Angstrom"):
        air_to_vacuum([1215.67])


def test_grids_in_air_and_vacuum():
    air = np.linspace(6540, 6580, 400)
    vacuum = air_to_vacuum(air)
    X = gaussian(air, 6562.8, 0.5)[None]
    new = np.linspace(6550, 6578, 200)
    model = SpectrumResampler(air, new, medium="air", new_medium="vacuum")
    Z = model.fit_transform(X)[0]
    assert_allclose(new[np.argmin(Z)], vacuum[np.argmin(X)], atol=0.15)
    assert_allclose(np.interp(new, vacuum, X[0]), Z, atol=0.02)
    back = SpectrumResampler(vacuum, air, medium="vacuum", new_medium="air")
    assert_allclose(back.fit_transform(X), X, atol=1e-6)


def test_wrong_grids_are_refused():
    with pytest.raises(ValueError, match="has nothing in common"):
        SpectrumResampler(None, [100.0, 101.0]).fit(np.ones((2, 9)))
    with pytest.raises(ValueError, match="`new_wavelength` must increase"):
        SpectrumResampler(None, [2.0, 1.0]).fit(np.ones((2, 9)))


# -- resolving powers


@pytest.mark.parametrize("resolving_power", [2000.0, 5000.0, 9000.0, 19000.0])
def test_gaussians_add_their_variances(resolving_power):
    """From half a pixel to many: the kernel adds what it should."""
    wavelength = np.geomspace(4950, 5050, 2001)
    sharp, fwhm = 20_000.0, 2 * np.sqrt(2 * np.log(2))
    line = 1 - gaussian(wavelength, 5000, 5000 / sharp / fwhm, depth=1.0)
    model = ResolutionMatcher(wavelength, resolving_power, resolving_power=sharp)
    found = model.fit_transform(line[None])[0]
    inside = ~np.isnan(found)
    weight = found[inside] / found[inside].sum()
    centre = weight @ wavelength[inside]
    width = np.sqrt(weight @ (wavelength[inside] - centre) ** 2)
    assert_allclose(width, 5000 / resolving_power / fwhm, rtol=2e-3)
    assert_allclose(found[inside].sum(), line.sum(), rtol=1e-3)
    expected = 1 - gaussian(wavelength, 5000, 5000 / resolving_power / fwhm, depth=1.0)
    expected *= resolving_power / sharp
    assert_allclose(found[inside], expected[inside], atol=0.006)


def test_resolving_power_may_vary():
    wavelength = np.geomspace(4900, 5100, 3000)
    lines = 1 - np.prod(gaussian(wavelength, [4940.0, 5060.0], 0.05), axis=0)
    power = np.where(wavelength < 5000, 4000.0, 8000.0)
    same = np.where(wavelength < 4910, 4000.0, 50_000.0)
    model = ResolutionMatcher(wavelength, power, resolving_power=same)
    found = model.fit_transform(lines[None])[0]
    left, right = found[wavelength < 5000], found[wavelength >= 5000]
    ratio = np.nanmax(right) / np.nanmax(left)
    assert_allclose(ratio, 2 * 4940 / 5060, rtol=0.01)
    assert_allclose(found[:100], lines[:100], atol=1e-12)  # where it is as it should be


def test_given_line_spread():
    X = np.zeros((1, 9))
    X[0, 4] = 4.0
    Z = ResolutionMatcher(line_spread=[1, 2, 1], min_coverage=0.5).fit_transform(X)
    assert_allclose(Z[0], [0, 0, 0, 1, 2, 1, 0, 0, 0])
    rows = np.tile([0.0, 1.0, 0.0], (9, 1))
    rows[3] = [0, 0, 1]
    Z = ResolutionMatcher(line_spread=rows).fit_transform(X)
    assert_allclose(Z[0], [0, 0, 0, 4, 4, 0, 0, 0, 0])


def test_missing_pixels_stay_missing_and_do_not_spread():
    X = np.ones((1, 50))
    X[0, 20] = np.nan
    model = ResolutionMatcher(line_spread=[1, 2, 1], min_coverage=0.75, with_sigma=True)
    Z = model.fit_transform(X, sigma=0.1)
    assert np.flatnonzero(np.isnan(Z[0, :50])).tolist() == [20]
    assert_allclose(Z[0, :50][~np.isnan(Z[0, :50])], 1)
    strict = model.set_params(min_coverage=1.0).fit_transform(X, sigma=0.1)
    assert np.flatnonzero(np.isnan(strict[0, :50])).tolist() == [0, 19, 20, 21, 49]


def test_errors_of_convolved_pixels():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(5000, 60))
    model = ResolutionMatcher(
        line_spread=[1, 3, 5, 3, 1], errors="marginal", with_sigma=True
    )
    Z = model.fit_transform(X, sigma=1.0)[:, 5:-5]
    spread, sigma = Z[:, :50].std(axis=0), Z[0, 60:110]
    assert_allclose(spread, sigma, rtol=0.05)
    assert_allclose(sigma, np.sqrt(45) / 13, rtol=1e-12)
    aware = model.set_params(errors="effective").fit_transform(X, sigma=1.0)
    # a mean over many pixels is as good as before
    assert_allclose(aware[0, 68:112], 1, rtol=1e-12)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({}, "got neither"),
        ({"new_resolving_power": 2.0, "line_spread": [1.0]}, "got both"),
        ({"new_resolving_power": 3.0, "resolving_power": 2.0}, "must not be above"),
        ({"new_resolving_power": [3.0, 2.0]}, "one for each of the 9 pixels"),
        ({"line_spread": [1.0, 1.0]}, "an odd number of weights"),
    ],
)
def test_wrong_resolutions_are_refused(parameters, message):
    with pytest.raises(ValueError, match=message):
        ResolutionMatcher(**parameters).fit(np.ones((2, 9)))


# -- all of them


EVERYONE = [
    ContinuumNormalizer(with_sigma=True),
    ContinuumNormalizer(method="spline", n_knots=3, with_sigma=True),
    ContinuumNormalizer(method="quantile", window=31, with_sigma=True),
    SpectrumResampler(None, np.arange(0.3, 99, 1.7), with_sigma=True),
    ResolutionMatcher(line_spread=[1, 2, 1], with_sigma=True),
    VelocityShifter(10.0, velocity="measured", with_sigma=True),
]
everyone = pytest.mark.parametrize("model", EVERYONE, ids=lambda m: type(m).__name__)


@pytest.fixture(scope="module")
def small():
    """A hundred pixels with lines, some missing, and their errors."""
    rng = np.random.default_rng(0)
    pixels = np.arange(100)
    X = np.prod(gaussian(pixels, [20.0, 45.0, 52.0, 77.0], 2.0), axis=0)
    X = (3 + 0.01 * pixels) * X + 0.02 * rng.normal(size=(12, 100))
    X[rng.random(X.shape) < 0.03] = np.nan
    return X, np.full(X.shape, 0.02)


@everyone
def test_missing_is_masked_or_of_infinite_error(model, small):
    check_missing_equals_masked(model, small[0], sigma=small[1])


@everyone
def test_rows_are_apart(model, small):
    if model.__class__ is not VelocityShifter:  # the mean of all is its template
        check_row_permutation(model, small[0], sigma=small[1], rtol=1e-9)


@everyone
def test_units_of_flux_do_not_matter(model, small):
    model = sklearn.clone(model).set_params(with_sigma=False)
    degree = 0 if isinstance(model, ContinuumNormalizer) else 1
    check_scale_equivariance(model, small[0], sigma=small[1], degree=degree, rtol=1e-9)
    if not isinstance(model, VelocityShifter):
        X, sigma = (a.astype(np.float32) for a in small)
        check_single_precision(model, X, sigma=sigma, degree=degree, rtol=2e-3)


def test_errors_go_through_a_pipeline(forest):
    """As if each step had been called with the errors of the one before."""
    wavelength, flux = forest
    rng = np.random.default_rng(0)
    velocity = rng.uniform(-50, 50, 30)
    sigma = np.broadcast_to(
        np.linspace(0.5, 1.5, len(wavelength)), (30, len(wavelength))
    )
    X = 100 * flux(velocity) + sigma * rng.normal(size=sigma.shape)
    new = wavelength[40:-40:2]
    with sklearn.config_context(enable_metadata_routing=True):
        shifter = VelocityShifter(wavelength, with_sigma=True)
        shifter.set_fit_request(sigma=True)
        shifter.set_transform_request(sigma=True, velocity=True)
        steps = [
            shifter,
            ContinuumNormalizer(wavelength, with_sigma=True),
            ResolutionMatcher(wavelength, 12_000, with_sigma=True),
            SpectrumResampler(wavelength, new, with_sigma=True),
            SigmaUnpacker(ProbabilisticPCA(2, random_state=0, max_iter=30, tol=1e-2)),
        ]
        for step in steps[1:-1]:  # they have them from the step before
            step.set_fit_request(sigma=False).set_transform_request(sigma=False)
        pipeline = make_pipeline(*steps)
        metadata = {"sigma": sigma, "velocity": velocity}
        found = pipeline.fit(X, **metadata).transform(X, **metadata)
        assert found.shape == (30, 2)
        names = pipeline[:-1].get_feature_names_out()
        assert names[len(new)] == f"sigma_{names[0]}"
        pipeline.set_output(transform="pandas").fit(X, **metadata)
        pandas = pipeline.transform(X, **metadata)
        assert_array_equal(pandas, found)
        assert list(pandas.columns) == ["probabilisticpca0", "probabilisticpca1"]
    Z, errors, p = X, sigma, len(wavelength)
    for step in steps[:-1]:
        step = sklearn.clone(step).set_output(transform="default")
        extra = {"velocity": velocity} if isinstance(step, VelocityShifter) else {}
        Z = step.fit(Z, sigma=errors).transform(Z, sigma=errors, **extra)
        p = Z.shape[1] // 2
        Z, errors = Z[:, :p], Z[:, p:]
        errors = np.where(np.isnan(Z), 1.0, errors)
    expected = ProbabilisticPCA(2, random_state=0, max_iter=30, tol=1e-2)
    expected = expected.fit_transform(Z, sigma=errors)
    assert_allclose(found, expected, rtol=1e-6, atol=1e-8)


def test_errors_are_not_given_twice():
    X = np.ones((3, 10))
    model = ResolutionMatcher(np.arange(1.0, 6), line_spread=[1.0])
    with pytest.raises(ValueError, match="X has errors beside the spectra too"):
        model.fit(X, sigma=0.1)
    with pytest.raises(ValueError, match="nor twice as many, with errors"):
        model.fit(np.ones((3, 7)))


def test_unpacker_hands_on_what_is_asked():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 1)) @ rng.normal(size=(1, 12)) + 0.1 * rng.normal(
        size=(40, 12)
    )
    sigma = np.full(X.shape, 0.1)
    packed = np.hstack([X, sigma])
    plain = ProbabilisticPCA(1, random_state=0).fit(X, sigma=sigma)
    model = SigmaUnpacker(ProbabilisticPCA(1, random_state=0)).fit(packed)
    assert model.n_features_in_ == 24
    scores = plain.transform(X, sigma=sigma)
    assert_array_equal(model.transform(packed), scores)
    assert_array_equal(model.fit_transform(packed), scores)
    assert_array_equal(model.inverse_transform(scores), plain.inverse_transform(scores))
    assert_array_equal(model.score_samples(packed), plain.score_samples(X, sigma=sigma))
    assert model.score(packed) == plain.score(X, sigma=sigma)
    assert not hasattr(model, "predict")
    with pytest.raises(ValueError, match="cannot be data and as many errors"):
        model.fit(packed[:, 1:])


def test_unpacker_takes_tables_and_other_metadata():
    pd = pytest.importorskip("pandas")

    rng = np.random.default_rng(0)
    X = pd.DataFrame(
        np.hstack([rng.normal(size=(30, 4)), np.ones((30, 4))]),
        columns=[*"abcd", *(f"sigma_{n}" for n in "abcd")],
    )
    model = SigmaUnpacker(Weighted()).fit(X, X["a"])
    assert list(model.feature_names_in_) == list(X.columns)
    assert model.estimator_.seen == {"sigma": (30, 4), "sample_weight": None}
    assert_array_equal(model.predict(X), X["a"])
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(X[X.columns[::-1]])
    with sklearn.config_context(enable_metadata_routing=True):
        model = SigmaUnpacker(Weighted().set_fit_request(sample_weight=True))
        model.fit(X, X["a"], sample_weight=np.ones(30))
        assert model.estimator_.seen["sample_weight"] == (30,)


class Weighted(sklearn.base.BaseEstimator):
    """One that says what it was given."""

    def fit(self, X, y, sigma=None, sample_weight=None):
        self.n_features_in_ = X.shape[1]
        weight = None if sample_weight is None else np.shape(sample_weight)
        self.seen = {"sigma": np.shape(sigma), "sample_weight": weight}
        return self

    def predict(self, X, sigma=None):
        return np.asarray(X)[:, 0]

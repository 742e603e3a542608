"""Censored pixels and interstellar bands."""

import numpy as np
import pytest
from astropy import units as u
from astropy.utils.masked import Masked
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import make_pipeline

from skastro.decomposition import ProbabilisticPCA
from skastro.preprocessing import InterstellarMasker, censor_pixels
from skastro.testing import check_empty_rows_do_not_matter, check_missing_equals_masked


def test_pixels_are_censored_for_any_reason():
    flux = np.array([[1.0, 0.9, np.inf, 0.7, 0.6, 0.5, np.nan, 0.3, 0.2]])
    error = np.array([[0.01, 0.06, 0.01, np.nan, 0.0, -1.0, 0.01, 0.05, 0.01]])
    mask = np.array([[0, 0, 0, 0, 0, 0, 0, 0, 1]])
    before = flux.copy()
    censored = censor_pixels(flux, error, mask=mask)
    assert_array_equal(np.flatnonzero(~np.isnan(censored)), [0, 7])
    assert_array_equal(censored[~np.isnan(censored)], [1.0, 0.3])
    assert_array_equal(flux, before)
    assert censor_pixels(flux.astype("f4"), error).dtype == np.float32
    assert censor_pixels(flux.astype(">f8"), error).dtype == np.dtype("=f8")
    assert_array_equal(np.isnan(censor_pixels(flux, error, max_error=0.1))[0, 1], False)


def test_bits_of_a_mask():
    flux, error = np.ones((1, 4)), np.full((1, 4), 0.01)
    mask = np.array([[0b0000, 0b0001, 0b1000, 0b1001]], dtype=np.int16)
    assert_array_equal(
        np.isnan(censor_pixels(flux, error, mask=mask)), [[False, True, True, True]]
    )
    assert_array_equal(
        np.isnan(censor_pixels(flux, error, mask=mask, bad_bits=[3, 5])),
        [[False, False, True, True]],
    )


def test_bad_pixels_input():
    flux, error = np.ones((2, 3)), np.ones((2, 3))
    with pytest.raises(ValueError, match=r"`flux_err` must have the shape.*\(2, 2\)"):
        censor_pixels(flux, error[:, :2])
    with pytest.raises(ValueError, match=r"`mask` must have the shape"):
        censor_pixels(flux, error, mask=error[:1])
    with pytest.raises(ValueError, match="`max_error` must be positive, got 0"):
        censor_pixels(flux, error, max_error=0)
    with pytest.raises(ValueError, match="needs a `mask` of integers, got bool"):
        censor_pixels(flux, error, mask=flux > 0, bad_bits=[1])
    with pytest.raises(ValueError, match="must lie in 0 to 15 for a `mask` of int16"):
        censor_pixels(flux, error, mask=flux.astype(np.int16), bad_bits=[16])
    with pytest.raises(ValueError, match="which is not given"):
        censor_pixels(flux, error, bad_bits=[1])


def survey(seed=0, n=900, p=200):
    """Spectra with an interstellar band at pixels 60-66 and a noisy one at 150."""
    rng = np.random.default_rng(seed)
    extinction = rng.exponential(0.3, n)
    extinction[: n // 3] = 0.001
    X = 1 + 0.05 * rng.normal(size=(n, 4)) @ rng.normal(size=(4, p))
    noise = np.full(p, 0.01)
    noise[150:155] = 0.08
    X += noise * rng.normal(size=X.shape)
    depth = 0.06 * np.minimum(extinction / 0.5, 2)
    X[:, 60:67] -= depth[:, None]
    X[rng.random(X.shape) < 0.05] = np.nan
    return X, extinction


def test_band_is_found_and_noise_is_not():
    X, extinction = survey()
    masker = InterstellarMasker(4, threshold=0.02, random_state=0).fit(X, extinction)
    assert_array_equal(np.flatnonzero(masker.mask_), np.arange(60, 67))
    assert masker.residual_[150:155].mean() > 0.05  # of noise, and not masked
    Z = masker.transform(X)
    assert np.isnan(Z[:, 60:67]).all()
    kept = ~masker.mask_
    assert_array_equal(Z[:, kept], X[:, kept])


def test_noise_is_not_masked_even_with_few_quiet_stars():
    rng = np.random.default_rng(0)
    X = 1 + 0.03 * rng.normal(size=(1000, 150))
    extinction = np.where(np.arange(1000) < 90, 0.0, 1.0)
    masker = InterstellarMasker(30, random_state=0).fit(X, extinction)
    assert masker.mask_.mean() < 0.02


def test_stars_between_the_limits_do_not_matter():
    X, extinction = survey()
    between = (extinction >= 0.005) & (extinction <= 0.5)
    first = InterstellarMasker(4, random_state=0).fit(X, extinction)
    again = InterstellarMasker(4, random_state=0).fit(X[~between], extinction[~between])
    assert_array_equal(first.residual_, again.residual_)


def test_stars_of_unknown_extinction_are_left_out():
    X, extinction = survey()
    unknown = np.arange(len(X)) % 7 == 0
    masker = InterstellarMasker(4, threshold=0.02, random_state=0)
    first = masker.fit(X, np.where(unknown, np.nan, extinction)).residual_
    again = masker.fit(X[~unknown], extinction[~unknown]).residual_
    assert_array_equal(first, again)


def test_frozen_in_a_pipeline():
    X, extinction = survey()
    masker = InterstellarMasker(4, threshold=0.02, random_state=0).fit(X, extinction)
    pipeline = make_pipeline(FrozenEstimator(masker), ProbabilisticPCA(4))
    Z = pipeline.fit_transform(X)
    components = pipeline[-1].components_
    assert_array_equal(components[:, masker.mask_], 0)
    assert np.isfinite(Z).all()


def test_bins_that_nobody_has():
    X, extinction = survey()
    X[extinction > 0.5, 10] = np.nan
    X[extinction < 0.005, 11] = np.nan
    masker = InterstellarMasker(4, threshold=0.02, random_state=0).fit(X, extinction)
    assert np.isnan(masker.residual_[[10, 11]]).all()
    assert not masker.mask_[[10, 11]].any()


def test_too_few_stars():
    X, extinction = survey()
    with pytest.raises(ValueError, match="0 above min_high=9.*Move the limits"):
        InterstellarMasker(4, min_high=9.0).fit(X, extinction)
    with pytest.raises(ValueError, match="extinction below.*n_components = 400"):
        InterstellarMasker(400).fit(X, extinction)


def test_masks_and_units_of_spectra():
    flux = np.array([[1.0, 0.9, 0.8], [1.1, 1000.0, 0.7]])
    mask = flux == 1000
    expected = np.where(mask, np.nan, flux)
    found = censor_pixels(np.ma.array(flux, mask=mask), 0.01)
    assert_array_equal(found, expected)
    assert_array_equal(
        censor_pixels(flux, np.ma.array(mask * 1.0 + 0.01, mask=mask)), expected
    )
    assert_array_equal(censor_pixels(expected, [0.01, 0.01, 0.2])[:, 2], [np.nan] * 2)
    for values in ((flux * u.Jy, 0.01), (flux, 0.01 * u.Jy)):
        with pytest.raises(TypeError, match="carries the unit Jy"):
            censor_pixels(*values)
    with pytest.raises(ValueError, match="reshape"):
        censor_pixels(flux[None], 0.01)


def test_masked_extinctions_leave_stars_out():
    rng = np.random.default_rng(0)
    X = 1 + 0.01 * rng.normal(size=(400, 1)) @ rng.normal(size=(1, 50))
    extinction = np.repeat([0.0, 1.0], 200)
    X[extinction > 0, 20:23] -= 0.05
    X[::9, 5] = np.nan
    spoilt = np.where(np.arange(400) % 7 == 0, 1e3, extinction)
    masked = np.ma.array(spoilt, mask=spoilt > 10)
    unknown = np.where(spoilt > 10, np.nan, extinction)
    masker = InterstellarMasker(n_components=2, random_state=0)
    one = masker.fit(X, masked).residual_
    assert_array_equal(masker.fit(X, unknown).residual_, one)
    assert_array_equal(masker.fit(np.ma.masked_invalid(X), unknown).residual_, one)
    assert_array_equal(np.flatnonzero(masker.mask_), [20, 21, 22])
    assert_array_equal(masker.fit(X, 1000 * unknown * u.mmag).residual_, one)
    with pytest.raises(TypeError, match="`y` carries the unit Jy, which is not mag"):
        masker.fit(X, extinction * u.Jy)


@pytest.mark.parametrize("masked", [np.ma.MaskedArray, Masked])
def test_pixels_of_which_the_mask_is_masked_are_bad(masked):
    flux, error = np.ones((1, 4)), np.full((1, 4), 0.01)
    # as floats, these two would be one number
    bits = np.array([[0, 0, 1 << 62, (1 << 62) + 1]])
    mask = masked(bits, mask=[[False, True, False, False]])
    found = censor_pixels(flux, error, mask=mask, bad_bits=[0])
    assert_array_equal(np.isnan(found), [[False, True, False, True]])
    with pytest.raises(TypeError, match="`mask` carries the unit Jy"):
        censor_pixels(flux, error, mask=bits * u.Jy)


def test_quantities_without_dimension_are_numbers():
    flux, error = np.array([[1.0, 0.9]]), np.array([[0.01, 0.1]])
    expected = censor_pixels(flux, error)
    found = censor_pixels(100 * flux * u.percent, 100 * error * u.percent)
    assert_array_equal(found, expected)
    hidden = Masked(flux * u.one, mask=[[True, False]])
    assert_array_equal(censor_pixels(hidden, 0.01), [[np.nan, 0.9]])


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 10**6))
def test_masked_is_missing_and_empty_stars_do_not_matter(seed):
    X, extinction = survey(seed, n=150, p=30)
    masker = InterstellarMasker(2, random_state=0)
    check_missing_equals_masked(masker, X, extinction)
    check_empty_rows_do_not_matter(masker, X, extinction, rtol=0)
    # stars of either kind, in the midst of the others
    where = np.arange(0, 150, 11)
    more = np.insert(X, where, np.nan, axis=0)
    among = np.insert(extinction, where, np.resize([0.0, 1.0], len(where)))
    one = InterstellarMasker(2, random_state=0).fit(X, extinction)
    other = InterstellarMasker(2, random_state=0).fit(more, among)
    assert_array_equal(other.residual_, one.residual_)
    assert_array_equal(other.residual_low_, one.residual_low_)


@pytest.mark.parametrize("factor", [2.0**-60, 2.0**60])
def test_threshold_has_the_unit(factor):
    X, extinction = survey()
    one = InterstellarMasker(4, threshold=0.02, random_state=0).fit(X, extinction)
    other = InterstellarMasker(4, threshold=0.02 * factor, random_state=0)
    other.fit(X * factor, extinction)
    assert_array_equal(other.mask_, one.mask_)
    assert_array_equal(other.residual_ / factor, one.residual_)


def test_extinctions_that_are_all_unknown():
    X, extinction = survey()
    with pytest.raises(ValueError, match="Of n_samples=0 stars of which anything"):
        InterstellarMasker(4).fit(X, np.full(len(X), np.nan))

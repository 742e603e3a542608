"""Line formation and the spectra of twins."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skastro.datasets import LineFormation, make_twin_spectra

MODEL = LineFormation(0)
STARS = np.array([[4100.0, 1.6], [4500.0, 2.25], [4950.0, 2.9]])


@pytest.fixture
def abundances():
    return np.random.default_rng(0).normal(scale=0.1, size=(3, 18))


def test_pairs_share_their_composition_and_nothing_else():
    data = make_twin_spectra(50, random_state=0)
    assert_array_equal(data.abundances[::2], data.abundances[1::2])
    assert_array_equal(data.y[::2], data.y[1::2])
    assert np.all(data.u[::2, :2] != data.u[1::2, :2])
    assert_array_equal(data.u[:, 2], data.abundances[:, 0])


def test_labels_and_abundances_follow_the_tables_of_the_thesis():
    # thesis Tables 4.1 and 4.2; scatter of means and deviations at 4 sigma
    data = make_twin_spectra(1500, snr=None, random_state=1)
    by_name = dict(zip(data.element_names, data.abundances[::2].T, strict=True))
    for name, mean, scatter in [("Fe", -0.13, 0.24), ("Na", -0.05, 0.38)]:
        tolerance = 4 * scatter / np.sqrt(1500)
        assert abs(by_name[name].mean() - mean) < tolerance
        assert abs(by_name[name].std() - scatter) < tolerance
    assert 4000 <= data.u[:, 0].min() and data.u[:, 0].max() <= 5000
    assert 1.5 <= data.u[:, 1].min() and data.u[:, 1].max() <= 3.0


def test_noise_has_the_ratio_asked_for():
    noisy = make_twin_spectra(20, snr=50, random_state=0)
    clean = make_twin_spectra(20, snr=None, random_state=0)
    error = noisy.X - clean.X
    assert_allclose(error.std(), 1 / 50, rtol=0.01)
    assert abs(error.mean()) < 1e-4


@pytest.mark.parametrize("column", range(18))
def test_derivatives_are_exact(column, abundances):
    step = np.zeros(18)
    step[column] = 2e-3
    _, derivatives = MODEL.derivatives(STARS, abundances)
    above = MODEL.flux(STARS, abundances + step).astype(float)
    below = MODEL.flux(STARS, abundances - step).astype(float)
    assert_allclose(derivatives[:, column], (above - below) / 4e-3, atol=3e-4)


def test_lines_deepen_with_abundance_and_saturate(abundances):
    # growth is linear for weak lines, and slower for strong ones
    iron = np.zeros((4, 18))
    iron[:, 0] = [-3.0, -2.9, 0.4, 0.5]
    width, _, _ = MODEL._widths(np.repeat(STARS[1:2], 4, axis=0), iron)
    own = MODEL._lines["species"] == "Fe"
    weak = own & (MODEL._lines["strength"] < -1) & ~MODEL._lines["ion"]
    strong = own & (MODEL._lines["strength"] > 0.3) & ~MODEL._lines["ion"]
    growth = np.log10(width[1] / width[0]) / 0.1
    # less iron gives fewer electrons too, which weakens the continuum
    assert np.all(growth[weak] > 0.6)
    late = np.log10(width[3] / width[2]) / 0.1
    assert np.all(late[strong] < 0.6) and np.all(late[own] > 0)


def test_equivalent_width_of_a_weak_line_is_its_optical_depth():
    # area of the Voigt profile, sqrt(pi), times the depth of the core
    for curve in MODEL._growth:
        assert_allclose(10 ** curve(-6) / 1e-6, 0.85 * np.sqrt(np.pi), rtol=0.02)
        assert_allclose(curve(-6, 1), 1.0, atol=1e-3)


def test_molecules_fade_with_temperature():
    abundances = np.zeros((2, 18))
    width, _, _ = MODEL._widths(STARS[[0, 2]], abundances)
    molecules = ~MODEL._lines["is_atom"]
    assert np.all(width[1, molecules] < width[0, molecules])


def test_information_is_that_of_the_derivatives(abundances):
    information = MODEL.information(STARS, abundances, 50, known=("Fe", "Rb"))
    _, D = MODEL.derivatives(STARS, abundances)
    expected = np.einsum("nkp,nlp->nkl", D, D)[:, 1:-1, 1:-1] * 2500.0
    assert_allclose(information, expected, rtol=1e-4, atol=1e-3 * expected.max())


def test_line_list_is_apart_from_the_stars():
    one, other = (make_twin_spectra(2, snr=None, random_state=s) for s in (0, 1))
    assert_array_equal(one.model._lines["centre"], other.model._lines["centre"])
    third = make_twin_spectra(2, snr=None, line_list_seed=1, random_state=0)
    assert_array_equal(third.u, one.u)
    assert not np.allclose(third.X, one.X)


def test_generator_is_reproducible():
    one, other = (make_twin_spectra(5, random_state=3) for _ in range(2))
    assert_array_equal(one.X, other.X)


@pytest.mark.parametrize(
    ("params", "message"), [({"n_pairs": 0}, "n_pairs"), ({"snr": 0}, "snr")]
)
def test_bad_parameters_are_named(params, message):
    with pytest.raises(ValueError, match=message):
        make_twin_spectra(**params)


def test_oscillator_strengths_may_be_in_error(abundances):
    wrong = LineFormation(0, log_gf_error=0.1)
    lines, others = MODEL._lines, wrong._lines
    assert_array_equal(lines["centre"], others["centre"])
    change = others["strength"] - lines["strength"]
    assert_allclose([change.mean(), change.std()], [0, 0.1], atol=0.01)
    flux = [m.flux(STARS[:, :2], abundances) for m in (MODEL, wrong)]
    assert 0.001 < np.abs(flux[1] - flux[0]).mean() < 0.02
    data = make_twin_spectra(1, snr=None, log_gf_error=0.1, random_state=0)
    assert data.model == wrong
    with pytest.raises(ValueError, match="log_gf_error.*-1"):
        make_twin_spectra(1, log_gf_error=-1)

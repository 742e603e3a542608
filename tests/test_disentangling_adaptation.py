"""Disentanglers of models, adapted to the spectra of a survey."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from skastro.disentangling import ConditionalFactorAnalysis, PolyDisentangler
from skastro.disentangling._adaptation import shrunk

N_BINS = 40
MODELS = [
    PolyDisentangler(degree=3, n_components=3),
    ConditionalFactorAnalysis(
        n_components=3, degree=3, loading_degree=1, max_iter=10, random_state=0
    ),
]


class World:
    """Spectra of two labels and three latents, whose mean may be another elsewhere."""

    def __init__(self, change=0.0):
        rng = np.random.default_rng(0)
        self.mean, self.loadings = rng.normal(size=(5, N_BINS)), np.zeros((3, N_BINS))
        for i in range(3):
            self.loadings[i, i::4] = 0.2 * rng.normal(size=len(range(i, N_BINS, 4)))
        # what changes is in all bins, and most of it where no latent is
        rng = np.random.default_rng(1)
        self.mean = self.mean + change * rng.normal(size=(5, N_BINS))

    def flux(self, u, z):
        v = (u - [4500, 2.25]) / [500, 0.75]
        terms = np.column_stack([np.ones(len(v)), v, v**2])
        return terms @ self.mean + (z @ self.loadings) * (1 + 0.3 * v[:, :1])

    def stars(self, n, seed, noise=0.02):
        rng = np.random.default_rng(seed)
        u = rng.uniform([4000, 1.5], [5000, 3.0], size=(n, 2))
        z = rng.normal(size=(n, 3))
        S = self.flux(u, z)
        return S + noise * rng.normal(size=S.shape), u, z


@pytest.fixture(scope="module", params=MODELS, ids=["poly", "cfa"])
def fitted(request):
    S, u, _ = World().stars(900, 1)
    return clone(request.param).fit(S, conditions=u)


def mean_spectra(model, u):
    return model.inverse_transform(np.zeros((len(u), 3)), conditions=u)


def test_a_survey_like_the_models_changes_nothing_beyond_noise(fitted):
    S, u, _ = World().stars(300, 2)
    before = fitted.transform(S, conditions=u)
    adapted = fitted.adapt(S, conditions=u)
    change = mean_spectra(adapted, u) - mean_spectra(fitted, u)
    # the error of a bin's mean of 300 stars is 0.02 / sqrt(300), beside its latents'
    assert np.sqrt(np.mean(change**2)) < 2 * 0.02 / np.sqrt(300)
    # self stays as it is
    assert_array_equal(fitted.transform(S, conditions=u), before)
    assert adapted is not fitted
    assert type(adapted) is type(fitted)
    assert adapted.get_params() == fitted.get_params()


def test_a_changed_mean_is_learned(fitted):
    world = World(change=0.1)
    S, u, _ = world.stars(300, 2)
    adapted = fitted.adapt(S, conditions=u)
    assert adapted.n_adapted_terms_ == 10
    test, v, z = world.stars(300, 3)
    truth = world.flux(v, np.zeros_like(z))
    before, after = (
        np.sqrt(np.mean((mean_spectra(m, v) - truth) ** 2)) for m in (fitted, adapted)
    )
    assert before > 0.1
    assert after < 0.2 * before
    scores = [m.score_samples(test, conditions=v).mean() for m in (fitted, adapted)]
    assert scores[1] > scores[0] + 100


def test_a_factor_and_an_offset_are_undone(fitted):
    S, u, _ = World().stars(300, 2)
    offset = np.linspace(-1, 1, N_BINS)
    changed = 1.1 * S + offset
    adapted = fitted.adapt(changed, conditions=u)
    expected = 1.1 * mean_spectra(fitted, u) + offset
    error = mean_spectra(adapted, u) - expected
    assert np.sqrt(np.mean(error**2)) < 0.03
    assert np.abs(error.mean(axis=0)).max() < 0.08


@pytest.mark.parametrize(
    ("n", "n_terms"), [(5, 1), (14, 1), (15, 3), (30, 6), (50, 10)]
)
def test_as_many_terms_as_the_stars_allow(n, n_terms):
    S, u, _ = World().stars(900, 1)
    model = clone(MODELS[0]).fit(S, conditions=u)
    assert model.adapt(S[:n], conditions=u[:n]).n_adapted_terms_ == n_terms


def test_stars_of_one_temperature_have_a_constant_alone():
    S, u, _ = World().stars(900, 1)
    model = clone(MODELS[0]).fit(S, conditions=u)
    same = u[:100].copy()
    same[:, 0] = 4500.0
    assert model.adapt(S[:100], conditions=same).n_adapted_terms_ == 1


def test_adapting_with_holes_and_errors(fitted):
    world = World(change=0.1)
    rng = np.random.default_rng(5)
    S, u, _ = World().stars(600, 1)
    sigma = np.full(S.shape, 0.02)
    model = clone(fitted).fit(S, conditions=u, sigma=sigma)
    S, u, _ = world.stars(400, 2)
    sigma = 0.02 * 5 ** rng.uniform(size=S.shape)
    S += sigma * rng.normal(size=S.shape)
    S[rng.uniform(size=S.shape) < 0.2] = np.nan
    S[:, 7] = np.nan  # a bin that the survey does not have
    adapted = model.adapt(S, conditions=u, sigma=sigma)
    truth = world.flux(u, np.zeros((400, 3)))
    error = np.delete(mean_spectra(adapted, u) - truth, 7, axis=1)
    # as unsure as the mean abundances of 400 stars are, for each of 10 terms
    assert np.sqrt(np.mean(error**2)) < 0.05
    assert_allclose(mean_spectra(adapted, u)[:, 7], mean_spectra(model, u)[:, 7])


def test_what_cannot_be_adapted_to(fitted):
    S, u, _ = World().stars(40, 1)
    with pytest.raises(ValueError, match="4 star"):
        fitted.adapt(S[:4], conditions=u[:4])
    with pytest.raises(ValueError, match="conditions"):
        fitted.adapt(S)
    with pytest.raises(NotFittedError):
        clone(fitted).adapt(S, conditions=u)
    u[0] = np.nan
    with pytest.warns(UserWarning, match=r"leaves .*1 row|1 row.*leaves"):
        adapted = fitted.adapt(S, conditions=u)
    expected = fitted.adapt(S[1:], conditions=u[1:])
    assert_allclose(mean_spectra(adapted, u[1:]), mean_spectra(expected, u[1:]))


def test_shrinking_is_the_posterior_mean_of_dense_gaussians():
    rng = np.random.default_rng(0)
    loadings, n = 3 * rng.normal(size=(2, 9)), 50
    found = rng.normal(size=(1, 9)) * np.sqrt(2.0)
    result = shrunk(found, loadings, n)
    error = (np.eye(9) + loadings.T @ loadings) / n
    costs = []
    for prior in np.geomspace(1e-2, 1e2, 400):
        total = prior * np.eye(9) + error
        weights = np.linalg.solve(total, found[0])
        costs.append((found[0] @ weights + np.linalg.slogdet(total)[1], prior, weights))
    _, prior, weights = min(costs, key=lambda cost: cost[0])
    assert_allclose(result[0], prior * weights, rtol=0.05, atol=0.02)
    # no more than chance
    chance = np.linalg.cholesky(error) @ rng.normal(size=9)
    assert np.abs(shrunk(0.5 * chance[None], loadings, n)).max() < 1e-12

"""How well spectra fit what disentanglers have learned."""

import logging

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import multivariate_normal, norm
from sklearn.base import clone

from skastro.disentangling import (
    ConditionalFactorAnalysis,
    FactorDisentangler,
    FaderDisentangler,
    PolyDisentangler,
)
from skastro.disentangling._scores import scatter_beside

QUICK = {
    "n_components": 3,
    "degree": 1,
    "encoder_layer_sizes": (16,),
    "decoder_layer_sizes": (16,),
    "max_epochs": 30,
    "random_state": 0,
}
LINEAR = [
    PolyDisentangler(degree=1, n_components=3),
    ConditionalFactorAnalysis(
        n_components=3, degree=1, loading_degree=1, max_iter=8, random_state=0
    ),
]
NETWORKS = [FaderDisentangler(**QUICK), FactorDisentangler(**QUICK)]
N_BINS = 24


def stars(n=400, noise=0.05, seed=0):
    """Spectra that are linear in one label and three latents, and the label."""
    rng = np.random.default_rng(1)
    mean, loadings = rng.normal(size=(2, N_BINS)), 0.3 * rng.normal(size=(3, N_BINS))
    rng = np.random.default_rng(seed)
    u = rng.uniform(4000, 5000, size=(n, 1))
    v = (u - 4500) / 500
    S = 1 + np.hstack([np.ones_like(v), v]) @ mean
    S += (rng.normal(size=(n, 3)) * (1 + 0.3 * v)) @ loadings
    return S + noise * rng.normal(size=S.shape), u


def spoilt(S, seed=2):
    """Return spectra with holes, and errors of all sizes."""
    rng = np.random.default_rng(seed)
    sigma = 0.05 * 4 ** rng.uniform(size=S.shape)
    S = S + sigma * rng.normal(size=S.shape)
    return np.where(rng.uniform(size=S.shape) < 0.2, np.nan, S), sigma


def covariance(model, v):
    """Return the mean and the covariance that a linear model gives at labels."""
    if isinstance(model, PolyDisentangler):
        mean = model._polynomials(v) @ model.coef_
        signal = model._variance * model._scale**2 - model.noise_variance_
        L = np.sqrt(np.maximum(signal, 0))[:, None] * model.components_
        C = L.T @ L + model.noise_variance_ * np.eye(N_BINS)
        return mean, np.broadcast_to(C, (len(v), N_BINS, N_BINS))
    phi_mean, phi = model._terms(v)
    L = np.tensordot(phi, model.loadings_, 1)
    return phi_mean @ model.mean_coef_, L.transpose(0, 2, 1) @ L + np.diag(
        model.noise_variance_
    )


@pytest.mark.parametrize("model", LINEAR)
@pytest.mark.parametrize("cut", ["none", "missing", "errors", "both"])
def test_scores_are_those_of_dense_gaussians(model, cut):
    S, u = stars()
    holey, sigma = spoilt(S)
    S = holey if cut in ("missing", "both") else S
    given = {"sigma": sigma} if cut in ("errors", "both") else {}
    # in units in which spectra are not of order one
    S, sigma = 1e3 * S, 1e3 * sigma
    given = {"sigma": sigma} if given else {}
    model = clone(model).fit(S, conditions=u, **given)
    some = slice(0, 6)
    found = model.score_samples(
        S[some], conditions=u[some], **{k: v[some] for k, v in given.items()}
    )
    means, covariances = covariance(model, model._scale_conditions(u[some]))
    for i, (mean, C) in enumerate(zip(means, covariances, strict=True)):
        if given:
            C = C + np.diag(sigma[i] ** 2)
        seen = ~np.isnan(S[i])
        density = multivariate_normal(mean[seen], C[np.ix_(seen, seen)])
        assert_allclose(found[i], density.logpdf(S[i, seen]), rtol=1e-7)


def test_labels_that_are_not_known_are_integrated_over():
    S, u = stars()
    model = clone(LINEAR[1]).fit(S, conditions=u)
    prior = model._label_prior
    v = np.linspace(-4, 4, 4001)[:, None]
    means, covariances = covariance(model, v)
    error = 60.0
    unknown = np.array([[np.nan], u[1]])
    found = model.score_samples(
        S[:2], conditions=unknown, condition_sigma=[[0.0], [error]]
    )
    # of an uncertain label, what it tells and the labels of all stars
    precision = 1 / prior.covariance[0, 0] + 1 / (2 * error / np.ptp(u)) ** 2
    at = model._scale_conditions(u[1:2])[0, 0]
    mean = prior.mean[0] / prior.covariance[0, 0]
    mean = (mean + at / (2 * error / np.ptp(u)) ** 2) / precision
    for i, (centre, variance) in enumerate(
        [(prior.mean[0], prior.covariance[0, 0]), (mean, 1 / precision)]
    ):
        delta = S[i] - means
        square = np.einsum(
            "np,np->n", delta, np.linalg.solve(covariances, delta[..., None])[..., 0]
        )
        log_density = -(square + np.linalg.slogdet(2 * np.pi * covariances)[1]) / 2
        log_density += norm(centre, np.sqrt(variance)).logpdf(v[:, 0])
        expected = np.log(np.sum(np.exp(log_density - 100)) * (v[1, 0] - v[0, 0])) + 100
        assert_allclose(found[i], expected, atol=0.02)


@pytest.mark.parametrize("model", NETWORKS)
def test_scores_of_networks_are_those_of_their_residuals(model):
    S, u = stars(200)
    holey, sigma = spoilt(S)
    model = clone(model).fit(holey, conditions=u, sigma=sigma)
    found = model.score_samples(holey, conditions=u, sigma=sigma)
    Z = model.transform(holey, conditions=u, sigma=sigma)
    residual = holey - model.inverse_transform(Z, conditions=u)
    scatter = np.hypot(model.residual_scatter_, sigma)
    assert_allclose(found, np.nansum(norm.logpdf(residual, 0, scatter), axis=1))


def test_scatter_beside_errors_is_found():
    rng = np.random.default_rng(0)
    sigma = 0.1 * 10 ** rng.uniform(size=(4000, 2))
    residual = np.hypot([0.2, 1e-9], sigma) * rng.normal(size=sigma.shape)
    residual[::3] = np.nan
    found = scatter_beside(residual, sigma)
    assert_allclose(found[0], 0.2, rtol=0.05)
    assert found[1] < 0.05
    # without errors, the root mean square of what is there
    assert_allclose(scatter_beside(residual), np.sqrt(np.nanmean(residual**2, axis=0)))


@pytest.mark.parametrize("model", LINEAR + NETWORKS)
def test_what_was_not_learned_is_told(model, caplog):
    S, u = stars()
    model = clone(model).set_params(verbose=0).fit(S, conditions=u)
    others, v = stars(300, seed=5)
    others[::2, :12] = np.nan  # half of the bins are no reason
    strange = others[1:2].copy()
    strange[0, 12:] = np.roll(strange[0, 12:], 3)
    X, labels = np.vstack([others, strange]), np.vstack([v, v[1:2]])
    scores = model.score_samples(X, conditions=labels)
    assert scores[-1] < scores[1:-1:2].min() - 50
    with caplog.at_level(logging.INFO, logger="skastro"):
        expected = model.transform(X, conditions=labels)
        assert not caplog.records
        model.set_params(verbose=1)
        assert_allclose(model.transform(X, conditions=labels), expected)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    n_out = int(record.getMessage().split(": ")[1].split(" of ")[0])
    # the strange one, and few others
    assert 1 <= n_out <= 10


def test_stars_without_bins_or_labels_have_no_say(caplog):
    S, u = stars()
    S[0], u[1] = np.nan, np.nan
    for model in LINEAR:
        fitted = clone(model).set_params(verbose=0).fit(S[2:], conditions=u[2:])
        if isinstance(model, PolyDisentangler):
            with pytest.warns(UserWarning, match="leaves these stars out"):
                scores = fitted.score_samples(S[:3], conditions=u[:3])
            assert np.isnan(scores[1])
        else:
            scores = fitted.score_samples(S[:3], conditions=u[:3])
            # a star of any label is less likely than one of its own
            assert np.isfinite(scores[1])
        assert scores[0] == 0
        assert np.isfinite(scores[2])


def test_noise_is_known_of_fewer_stars_than_bins():
    rng = np.random.default_rng(0)
    u = rng.uniform(size=(60, 1))
    S = u + 0.1 * rng.normal(size=(60, 600))
    S += rng.normal(size=(60, 1)) * rng.normal(size=600)
    model = PolyDisentangler(degree=1, n_components=1).fit(S, conditions=u)
    # two polynomials and one component of 60 stars are fitted to noise
    assert_allclose(np.sqrt(model.noise_variance_), 0.1, rtol=0.04)

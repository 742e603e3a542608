"""ProbabilisticPCA against dense references, peers and its own invariants."""

import h5py
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.linalg import subspace_angles
from scipy.stats import multivariate_normal
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning

from skastro.decomposition import ProbabilisticPCA
from skastro.decomposition import _ppca_missing as em
from skastro.decomposition._ppca_rows import row_blocks
from skastro.testing import (
    check_empty_rows_do_not_matter,
    check_missing_equals_masked,
    check_row_permutation,
    check_scale_equivariance,
    check_single_precision,
    check_tables,
    incomplete_data,
)
from skastro.utils.uncertain import UncertainVectors


def unpack(rows):
    vectors = UncertainVectors.unpack(rows)
    return vectors.values, vectors.covariance


def make(n=120, p=15, k=3, missing=0.2, noise=0.3, seed=0, wide=False):
    rng = np.random.default_rng(seed)
    W = rng.normal(size=(p, k)) * np.linspace(2, 1, k)
    sigma = (
        rng.lognormal(np.log(noise), 1.0, (n, p)) if wide else np.full((n, p), noise)
    )
    truth = rng.normal(size=p) + rng.normal(size=(n, k)) @ W.T
    X = truth + sigma * rng.normal(size=(n, p))
    X[rng.random((n, p)) < missing] = np.nan
    return X, sigma, truth


def dense_log_likelihood(ppca, X, sigma=None):
    V, noise = ppca.components_, ppca.noise_variance_
    signal = ppca.explained_variance_ - noise
    covariance = V.T @ np.diag(signal) @ V + noise * np.eye(V.shape[1])
    values = []
    for i, x in enumerate(X):
        o = ~np.isnan(x)
        C = covariance[np.ix_(o, o)]
        if sigma is not None:
            C = C + np.diag(sigma[i, o] ** 2)
        values.append(multivariate_normal(ppca.mean_[o], C).logpdf(x[o]))
    return np.array(values)


def dense_em(X, model):
    """One step of EM by the book: every conditional covariance, every eigenvector."""
    k = model.n_components
    V, noise = model.basis[:, :k], model.noise_variance
    C = V @ np.diag(model.variance[:k] - noise) @ V.T + noise * np.eye(len(V))
    n, p = X.shape
    filled, S = np.array(X), np.zeros((p, p))
    for i, x in enumerate(X):
        m, o = np.isnan(x), ~np.isnan(x)
        gain = C[np.ix_(m, o)] @ np.linalg.inv(C[np.ix_(o, o)])
        filled[i, m] = model.mean[m] + gain @ (x[o] - model.mean[o])
        S[np.ix_(m, m)] += C[np.ix_(m, m)] - gain @ C[np.ix_(o, m)]
    mean = filled.mean(axis=0)
    S = (S + (filled - mean).T @ (filled - mean)) / n
    variance, V = np.linalg.eigh(S)
    variance, V = variance[::-1][:k], V[:, ::-1][:, :k]
    return mean, V, variance, (np.trace(S) - variance.sum()) / (p - k)


@pytest.mark.parametrize("missing", [0.05, 0.3, 0.7])
def test_a_pass_is_a_step_of_em(missing):
    X, _, _ = make(missing=missing)
    rng = np.random.RandomState(0)
    blocks = list(row_blocks(X, None, 50))
    n_observed = (~np.isnan(X)).sum(axis=0)
    model = em.start(blocks, 3, X.shape[1], np.nanmean(X, axis=0), rng)
    for _ in range(3):
        mean, V, variance, noise = dense_em(X, model)
        model, gain = em.em_pass(blocks, n_observed, model)
        assert gain > 0
        assert_allclose(model.mean, mean, atol=1e-10)
        assert_allclose(model.variance[:3], variance, rtol=1e-10)
        assert_allclose(model.noise_variance, noise, rtol=1e-10)
        assert subspace_angles(model.basis[:, :3], V).max() < 1e-7


@pytest.mark.parametrize("with_sigma", [False, True])
def test_likelihood_is_that_of_a_dense_gaussian(with_sigma):
    X, sigma, _ = make(wide=True)
    sigma = sigma if with_sigma else None
    ppca = ProbabilisticPCA(3, random_state=0).fit(X, sigma=sigma)
    assert_allclose(
        ppca.score_samples(X, sigma), dense_log_likelihood(ppca, X, sigma), rtol=1e-8
    )


@pytest.mark.parametrize("with_sigma", [False, True])
def test_posterior_is_that_of_a_dense_gaussian(with_sigma):
    X, sigma, _ = make(wide=True, missing=0.4)
    sigma = sigma if with_sigma else None
    ppca = ProbabilisticPCA(3, random_state=0).fit(X, sigma=sigma)
    signal = np.diag(ppca.explained_variance_ - ppca.noise_variance_)
    scores, filled = ppca.transform(X, sigma), ppca.impute(X, sigma)
    likeliest = ppca.set_params(with_covariance=True).transform(X, sigma)
    likeliest, covariance = unpack(likeliest)
    for i, x in enumerate(X):
        o = ~np.isnan(x)
        V = ppca.components_[:, o].T
        N = ppca.noise_variance_ * np.eye(o.sum())
        if with_sigma:
            N += np.diag(sigma[i, o] ** 2)
        gain = signal @ V.T @ np.linalg.inv(V @ signal @ V.T + N)
        expected = gain @ (x - ppca.mean_)[o]
        assert_allclose(scores[i], expected, rtol=1e-7, atol=1e-9)
        assert_allclose(
            filled[i], np.where(o, x, ppca.inverse_transform([expected])[0])
        )
        # generalised least squares, but for a prior a hundred times too wide
        information = V.T @ np.linalg.inv(N) @ V
        if np.linalg.cond(information) < 100:
            least_squares = np.linalg.solve(
                information, V.T @ np.linalg.inv(N) @ (x - ppca.mean_)[o]
            )
            assert_allclose(likeliest[i], least_squares, rtol=0.03, atol=0.03)
            assert_allclose(
                covariance[i], np.linalg.inv(information), rtol=0.05, atol=1e-2
            )


@pytest.mark.parametrize("shape", [(60, 200), (300, 40), (2500, 160)])
def test_complete_data_give_pca_and_its_likelihood(shape):
    n, p = shape
    k = 4
    X, _, _ = make(n, p, k, missing=0)
    ppca = ProbabilisticPCA(k, random_state=0, tol=1e-12).fit(X)
    pca = PCA(k, svd_solver="full").fit(X)
    assert subspace_angles(ppca.components_.T, pca.components_.T).max() < 1e-4
    assert_allclose(np.abs(np.sum(ppca.components_ * pca.components_, axis=1)), 1, 1e-6)
    eigenvalues = np.linalg.eigvalsh(np.cov(X, rowvar=False, bias=True))[::-1]
    assert_allclose(ppca.explained_variance_, eigenvalues[:k], rtol=1e-7)
    noise = eigenvalues[k:].sum() / (p - k)
    assert_allclose(ppca.noise_variance_, noise, rtol=1e-7)
    assert_allclose(
        ppca.explained_variance_ratio_, pca.explained_variance_ratio_, rtol=1e-6
    )
    # Tipping & Bishop 1999, Eq. 4 at the maximum
    closed = -0.5 * (
        p * np.log(2 * np.pi)
        + np.log(eigenvalues[:k]).sum()
        + (p - k) * np.log(noise)
        + p
    )
    assert_allclose(ppca.score(X), closed, rtol=1e-9)


@pytest.mark.filterwarnings("ignore:EM did not converge")
@pytest.mark.parametrize("with_sigma", [False, True])
@pytest.mark.parametrize("shape", [(150, 30), (200, 300)])
def test_likelihood_never_falls(shape, with_sigma):
    X, sigma, _ = make(*shape, missing=0.3, wide=True)
    sigma = sigma if with_sigma else None
    scores = []
    for max_iter in range(1, 12):
        ppca = ProbabilisticPCA(3, tol=1e-15, max_iter=max_iter, random_state=0)
        scores.append(ppca.fit(X, sigma=sigma).score(X, sigma=sigma))
    scores = np.array(scores)
    assert np.all(np.diff(scores) > -1e-9 * np.abs(scores[:-1]))


@pytest.mark.parametrize("with_sigma", [False, True])
def test_nothing_near_is_likelier(with_sigma):
    X, sigma, _ = make(n=200, p=12, wide=True)
    sigma = sigma if with_sigma else None
    ppca = ProbabilisticPCA(2, tol=1e-13, max_iter=3000, random_state=0)
    ppca.fit(X, sigma=sigma)
    best = ppca.score(X, sigma=sigma)
    rng = np.random.default_rng(1)
    for _ in range(30):
        near = ProbabilisticPCA(2).fit(X, sigma=sigma)
        step = 1e-2 * rng.normal(size=ppca.components_.shape)
        near.components_ = np.linalg.qr((ppca.components_ + step).T)[0].T
        near.components_ *= np.sign(np.sum(near.components_ * ppca.components_, 1))[
            :, None
        ]
        near.mean_ = ppca.mean_ + 1e-2 * rng.normal(size=12)
        near.noise_variance_ = ppca.noise_variance_ * np.exp(0.02 * rng.normal())
        near.explained_variance_ = ppca.explained_variance_ * np.exp(
            0.02 * rng.normal(size=2)
        )
        assert near.score(X, sigma=sigma) < best


def test_held_out_pixels_are_better_than_of_mean_filled_pca():
    X, _, truth = make(n=2500, p=400, k=5, missing=0.1, noise=0.1)
    missing = np.isnan(X)
    ppca = ProbabilisticPCA(5, random_state=0).fit(X)
    mean_filled = np.where(missing, np.nanmean(X, axis=0), X)
    pca = PCA(5, random_state=0).fit(mean_filled)
    peer = pca.inverse_transform(pca.transform(mean_filled))
    ours = np.std((ppca.impute(X) - truth)[missing])
    assert ours < 0.03  # the noise of 5 scores from 360 pixels: 0.1 * sqrt(5 / 360)
    assert ours < np.std((peer - truth)[missing]) / 5


def test_sigma_helps_where_errors_differ():
    X, sigma, truth = make(n=400, p=60, noise=0.5, missing=0.05, wide=True, seed=3)
    plain = ProbabilisticPCA(3, random_state=0).fit(X)
    weighted = ProbabilisticPCA(3, random_state=0).fit(X, sigma=sigma)
    rng = np.random.default_rng(3)
    W = rng.normal(size=(60, 3)) * np.linspace(2, 1, 3)
    angle = [
        np.sin(subspace_angles(W, f.components_.T).max()) for f in (plain, weighted)
    ]
    assert angle[1] < angle[0] / 2
    error = [
        np.std(plain.inverse_transform(plain.transform(X)) - truth),
        np.std(weighted.inverse_transform(weighted.transform(X, sigma)) - truth),
    ]
    assert error[1] < error[0] / 2
    # all noise is in the errors
    assert weighted.noise_variance_ < 0.02 * np.median(sigma**2)


def test_extra_noise_is_found():
    rng = np.random.default_rng(0)
    X, sigma, truth = make(n=1000, p=30, missing=0, noise=0.3)
    X += 0.4 * rng.normal(size=X.shape)
    ppca = ProbabilisticPCA(3, random_state=0, tol=1e-8).fit(X, sigma=sigma)
    assert_allclose(ppca.noise_variance_, 0.16, rtol=0.05)


@settings(max_examples=15, deadline=None)
@given(incomplete_data(), st.integers(1, 60))
def test_blocks_do_not_matter(X, batch_size):
    first = ProbabilisticPCA(2, random_state=0).fit(X)
    again = ProbabilisticPCA(2, random_state=0, batch_size=batch_size).fit(X)
    assert_allclose(again.components_, first.components_, atol=1e-8)
    assert_allclose(again.impute(X), first.impute(X), atol=1e-8)


@settings(max_examples=15, deadline=None)
@given(incomplete_data(), st.integers(0, 10**6))
def test_order_of_rows_and_columns_does_not_matter(X, seed):
    rng = np.random.default_rng(seed)
    n, p = X.shape
    rows, columns = rng.permutation(n), rng.permutation(p)
    first = ProbabilisticPCA(2, tol=1e-13, max_iter=2000, random_state=0).fit(X)
    again = ProbabilisticPCA(2, tol=1e-13, max_iter=2000, random_state=1)
    again.fit(X[rows][:, columns])
    assert_allclose(again.components_, first.components_[:, columns], atol=1e-5)
    assert_allclose(again.mean_, first.mean_[columns], atol=1e-5)
    assert_allclose(again.transform(X[:, columns]), first.transform(X), atol=1e-4)


def test_two_seeds_agree_on_many_rows():
    X, _, _ = make(n=3000, p=300, k=4, missing=0.05)
    X = X.astype(np.float32)
    first, again = (ProbabilisticPCA(4, random_state=s).fit(X) for s in (0, 1))
    assert first.components_.dtype == np.float32
    assert_allclose(again.components_, first.components_, atol=1e-3)


def test_files_are_read_in_blocks(tmp_path):
    X, sigma, _ = make(n=2500, p=150, k=3, missing=0.1)
    X, sigma = X.astype(np.float32), sigma.astype(np.float32)
    mapped = np.memmap(tmp_path / "x", np.float32, "w+", shape=X.shape)
    mapped[:] = X
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["X"], file["sigma"] = X, sigma
        for with_sigma in (False, True):
            s = sigma if with_sigma else None
            ppca = ProbabilisticPCA(3, random_state=0, batch_size=200).fit(X, sigma=s)
            s = file["sigma"] if with_sigma else None
            stored = ProbabilisticPCA(3, random_state=0, batch_size=200)
            stored.fit(file["X"], sigma=s)
            assert_array_equal(stored.components_, ppca.components_)
            assert_array_equal(stored.transform(file["X"], s), ppca.transform(X, s))
        plain = ProbabilisticPCA(3, random_state=0).fit(X)
    again = ProbabilisticPCA(3, random_state=0).fit(mapped)
    assert_array_equal(again.components_, plain.components_)
    with pytest.raises(ValueError, match="minimum of 2"):
        with h5py.File(tmp_path / "x.h5") as file:
            file_like = OneRow(file["X"])
            ProbabilisticPCA(1).fit(file_like)


class OneRow:
    def __init__(self, X):
        self.X, self.shape, self.dtype = X, (1, X.shape[1]), X.dtype

    def __getitem__(self, rows):
        return self.X[:1]


@pytest.mark.parametrize("dtype", [">f4", ">f8", "<i4", "<f2"])
def test_other_numbers_are_converted_by_the_block(dtype):
    X, _, _ = make(n=300, p=20, missing=0, noise=0.5)
    X = (100 * X).astype(dtype)
    native = np.float32 if X.dtype.itemsize <= 4 and X.dtype.kind == "f" else float
    ppca = ProbabilisticPCA(3, random_state=0, batch_size=64).fit(X)
    expected = ProbabilisticPCA(3, random_state=0, batch_size=64).fit(X.astype(native))
    assert ppca.components_.dtype == native
    assert_array_equal(ppca.components_, expected.components_)
    assert_array_equal(ppca.transform(X), expected.transform(X.astype(native)))


def test_single_precision_at_high_signal_to_noise():
    rng = np.random.default_rng(0)
    W = 0.1 * rng.normal(size=(5, 400))
    X = rng.normal(size=(3000, 5)) @ W
    missing = rng.random(X.shape) < 0.05
    for noise in (1e-3, 3e-4):
        noisy = X + noise * rng.normal(size=X.shape)
        noisy[missing] = np.nan
        double = ProbabilisticPCA(5, random_state=0).fit(noisy)
        noisy = noisy.astype(np.float32)
        single = ProbabilisticPCA(5, random_state=0).fit(noisy)
        assert_allclose(single.noise_variance_, double.noise_variance_, rtol=0.1)
        assert_allclose(single.score(noisy), double.score(noisy), rtol=0.02)
        assert single.n_iter_ <= double.n_iter_ + 2
    noisy = (X + 1e-6 * rng.normal(size=X.shape)).astype(np.float32)
    noisy[missing] = np.nan
    with pytest.warns(UserWarning, match="give X in float64"):
        ProbabilisticPCA(5, random_state=0).fit(noisy)


def test_covariances_of_components_that_are_not_seen():
    rng = np.random.default_rng(0)
    n, p = 900, 60
    W = np.zeros((2, p))
    W[0], W[1, 20:24] = rng.normal(size=p), 2.0
    X = rng.normal(size=(n, 2)) @ W + 1e-2 * rng.normal(size=(n, p))
    X[rng.random(n) < 0.3, 20:24] = np.nan
    double = ProbabilisticPCA(2, with_covariance=True, random_state=0)
    single = clone(double).fit(X.astype(np.float32))
    (_, C), (z, _), (z1, C1) = (
        unpack(m.transform(data))
        for m, data in [
            (double.fit(X), X),
            (single, X),
            (single, X.astype(np.float32)),
        ]
    )
    assert C.max() > 50  # a component was not seen
    assert_allclose(C1, C, rtol=0.05, atol=0.05)
    # in units of their errors, scores of one fit are the same; those of another may
    # differ by more, since it may end a step earlier
    distance = np.einsum("ni,nij,nj->n", z1 - z, np.linalg.inv(C), z1 - z)
    assert np.all(distance < 0.1)


@pytest.mark.parametrize("scale", [1e-8, 1e16])
def test_units_do_not_matter_in_single_precision(scale):
    X, sigma, _ = make(n=300, p=20, wide=True)
    ppca = ProbabilisticPCA(2, random_state=0).fit(X, sigma=sigma)
    X, sigma = (scale * X).astype(np.float32), (scale * sigma).astype(np.float32)
    scaled = ProbabilisticPCA(2, random_state=0).fit(X, sigma=sigma)
    assert_allclose(scaled.components_, ppca.components_, atol=1e-3)
    assert_allclose(scaled.noise_variance_ / scale**2, ppca.noise_variance_, atol=1e-3)


def test_much_missing_is_not_stopped_early():
    X, _, _ = make(n=2000, p=100, k=5, missing=0.8, noise=0.01)
    ppca = ProbabilisticPCA(5, random_state=0).fit(X)
    # 20 entries a row, of which 5 scores take their part
    assert_allclose(np.sqrt(ppca.noise_variance_), 0.01, rtol=0.05)


def test_rows_and_columns_without_any_entry():
    X, _, _ = make(n=100, p=10)
    X[7] = np.nan
    X[:, 4] = np.nan
    X[9] = np.nan
    X[9, 0] = 1.0  # fewer entries than components
    ppca = ProbabilisticPCA(3, random_state=0, tol=1e-9, max_iter=1000).fit(X)
    without = ProbabilisticPCA(3, random_state=0, tol=1e-9, max_iter=1000).fit(
        np.delete(np.delete(X, 4, axis=1), 7, axis=0)
    )
    kept = np.arange(10) != 4
    assert_allclose(ppca.components_[:, kept], without.components_, atol=1e-3)
    assert_array_equal(ppca.components_[:, 4], 0)
    assert np.isnan(ppca.mean_[4])
    assert ppca.n_observed_[4] == 0
    assert_array_equal(ppca.transform(X)[7], 0)
    assert ppca.score_samples(X)[7] == 0
    filled = ppca.impute(X)
    assert np.isnan(filled[:, 4]).all()
    assert np.isfinite(filled[:, kept]).all()
    assert_allclose(filled[7, kept], ppca.mean_[kept])
    assert np.isfinite(ppca.transform(X)[9]).all()
    X[:, 4] = 1e3  # the model knows nothing of it
    assert_array_equal(ppca.transform(X), ppca.transform(np.where(kept, X, np.nan)))


def test_rows_of_one_likelihood_have_wide_covariances_where_nothing_is_seen():
    X, _, _ = make(n=100, p=10)
    ppca = ProbabilisticPCA(3, random_state=0, with_covariance=True).fit(X)
    packed = ppca.transform(np.full((1, 10), np.nan))
    scores, covariance = unpack(packed)
    assert_array_equal(scores, 0)
    prior = ppca.explained_variance_ - ppca.noise_variance_
    assert_allclose(covariance[0], np.diag(100 * prior), rtol=1e-9, atol=1e-9)
    assert packed.shape[1] == len(ppca.get_feature_names_out()) == 9
    assert list(ppca.get_feature_names_out()[[0, 2, 3, 4, 5, 8]]) == [
        "probabilisticpca0",
        "probabilisticpca2",
        "probabilisticpca_cov_0_0",
        "probabilisticpca_cov_1_0",
        "probabilisticpca_cov_1_1",
        "probabilisticpca_cov_2_2",
    ]
    assert ppca.inverse_transform(packed).shape == (1, 10)


def test_covariance_operators():
    X, _, _ = make(n=100, p=10)
    ppca = ProbabilisticPCA(3, random_state=0).fit(X)
    covariance, precision = ppca.get_covariance(), ppca.get_precision()
    x = np.random.default_rng(0).normal(size=(10, 4))
    assert_allclose(precision @ (covariance @ x), x, atol=1e-10)
    dense = covariance @ np.eye(10)
    assert_allclose(np.linalg.eigvalsh(dense)[::-1][:3], ppca.explained_variance_)
    assert_allclose(
        np.trace(dense) * ppca.explained_variance_ratio_, ppca.explained_variance_
    )
    assert_allclose(covariance @ x[:, 0], dense @ x[:, 0])


def test_constant_data_and_exact_low_rank():
    X = np.outer(np.arange(20.0), np.arange(1.0, 9))
    ppca = ProbabilisticPCA(2, random_state=0).fit(X)
    assert_allclose(ppca.inverse_transform(ppca.transform(X)), X, atol=1e-6)
    holes = X.copy()
    holes[::3, 2] = np.nan
    ppca = ProbabilisticPCA(1, random_state=0, tol=1e-12, max_iter=500).fit(holes)
    assert_allclose(ppca.impute(holes), X, rtol=1e-3, atol=1e-3)
    for value in (0.0, 0.1, 1.1):
        for dtype in (np.float32, np.float64):
            with pytest.raises(ValueError, match="X does not vary"):
                ProbabilisticPCA(1).fit(np.full((100, 4), value, dtype))


def test_bad_input():
    X, sigma, _ = make(n=30, p=6)
    for k in (6, 30):
        with pytest.raises(ValueError, match=f"n_components={k} must be less"):
            ProbabilisticPCA(k).fit(X)
    nothing = np.full((30, 6), np.nan)
    nothing[:, 0] = np.arange(30)
    with pytest.raises(ValueError, match="anything is observed, 30 and 1"):
        ProbabilisticPCA(2).fit(nothing)
    with pytest.raises(ValueError, match="infinity, in row 3"):
        ProbabilisticPCA(2).fit(np.where(np.arange(30)[:, None] == 3, np.inf, X))
    with pytest.raises(ValueError, match="no observed value"):
        ProbabilisticPCA(2).fit(np.full((30, 6), np.nan))
    with pytest.raises(ValueError, match="`y` has the shape of X.*sigma="):
        ProbabilisticPCA(2).fit(X, sigma)
    for wrong in (0.0, -1.0, np.nan, -np.inf):
        bad = sigma.copy()
        row, column = np.argwhere(~np.isnan(X))[5]
        bad[row, column] = wrong
        with pytest.raises(ValueError, match=f"positive where.*{wrong}.*row {row}"):
            ProbabilisticPCA(2).fit(X, sigma=bad)
    with pytest.raises(ValueError, match=r"shape of X, \(30, 6\), got \(30, 5\)"):
        ProbabilisticPCA(2).fit(X, sigma=sigma[:, :5])
    with pytest.raises(ValueError, match="given to fit and is needed"):
        ProbabilisticPCA(2).fit(X, sigma=sigma).transform(X)
    with pytest.raises(ValueError, match="fitted without it"):
        ProbabilisticPCA(2).fit(X).score(X, sigma=sigma)
    with pytest.raises(ValueError, match="must have 2 columns"):
        ProbabilisticPCA(2).fit(X).inverse_transform(X)
    large = sigma.astype(np.float32)
    large[1] = 1e25
    with pytest.raises(ValueError, match="too large beside X to be squared in float32"):
        ProbabilisticPCA(2).fit(np.nan_to_num(X).astype(np.float32), sigma=large)
    # errors do not matter where X is missing
    sigma[np.isnan(X)] = np.nan
    ProbabilisticPCA(2).fit(X, sigma=sigma)


@pytest.mark.parametrize("with_sigma", [False, True])
def test_too_few_passes_are_reported(with_sigma):
    X, sigma, _ = make(missing=0.4, wide=True)
    with pytest.warns(ConvergenceWarning, match="did not converge in max_iter=2"):
        ppca = ProbabilisticPCA(2, tol=1e-9, max_iter=2)
        ppca.fit(X, sigma=sigma if with_sigma else None)
    assert ppca.n_iter_ <= 3


def test_progress_bar(capsys):
    X, sigma, _ = make()
    ProbabilisticPCA(2, verbose=1).fit(X, sigma=sigma)
    assert "ProbabilisticPCA" in capsys.readouterr().err
    ProbabilisticPCA(2).fit(X, sigma=sigma)
    assert not capsys.readouterr().err


def test_layout_in_memory_does_not_matter():
    X, sigma, _ = make(n=300, p=20)
    for s in (None, sigma):
        expected = ProbabilisticPCA(3, random_state=0).fit(X, sigma=s)
        fortran = np.asfortranarray(X), None if s is None else np.asfortranarray(s)
        found = ProbabilisticPCA(3, random_state=0).fit(fortran[0], sigma=fortran[1])
        assert_allclose(found.components_, expected.components_, atol=1e-9)
        strided = np.repeat(X, 2, axis=1)[:, ::2]
        found = ProbabilisticPCA(3, random_state=0).fit(strided, sigma=s)
        assert_allclose(found.components_, expected.components_, atol=1e-9)


# -- one door, any unit


def estimator():
    return ProbabilisticPCA(2, random_state=0)


@settings(max_examples=10, deadline=None)
@given(incomplete_data(), st.booleans())
def test_masked_is_missing(X, with_sigma):
    sigma = np.linspace(0.1, 0.3, X.shape[1]) if with_sigma else None
    X[0, 0] = np.nan
    check_missing_equals_masked(estimator(), X, sigma=sigma)


@settings(max_examples=10, deadline=None)
@given(incomplete_data(), st.booleans())
def test_empty_rows_do_not_matter(X, with_sigma):
    sigma = np.full(X.shape, 0.2) if with_sigma else None
    check_empty_rows_do_not_matter(estimator(), X, sigma=sigma, rtol=0)


@pytest.mark.parametrize("with_covariance", [False, True])
@pytest.mark.parametrize("with_sigma", [False, True])
def test_unit_does_not_matter(with_sigma, with_covariance):
    X, sigma, _ = make()
    sigma = sigma if with_sigma else None
    model = estimator()
    check_scale_equivariance(model, X, sigma=sigma)
    check_scale_equivariance(model, X, sigma=sigma, factors=(1e-17, 1e9), rtol=1e-5)
    check_single_precision(model, X, sigma=sigma, rtol=1e-3)
    # likelihoods are of densities, and imputed values have the unit
    n_seen = np.count_nonzero(~np.isnan(X))
    one = model.fit(X, sigma=sigma)
    expected = one.score_samples(X, sigma=sigma).sum(), one.impute(X, sigma=sigma)
    factor = 2.0**-60
    errors = None if sigma is None else sigma * factor
    other = estimator().fit(X * factor, sigma=errors)
    found = other.score_samples(X * factor, sigma=errors).sum()
    assert_allclose(found, expected[0] - n_seen * np.log(factor), rtol=1e-9)
    assert_allclose(other.impute(X * factor, sigma=errors) / factor, expected[1])
    assert_allclose(other.explained_variance_ / factor**2, one.explained_variance_)
    assert_allclose(other.noise_variance_ / factor**2, one.noise_variance_)
    covariance = other.get_covariance() @ np.ones(X.shape[1]) / factor**2
    assert_allclose(covariance, one.get_covariance() @ np.ones(X.shape[1]))
    back = other.get_precision() @ (other.get_covariance() @ np.ones(X.shape[1]))
    assert_allclose(back, 1)


def test_scores_and_covariances_have_the_unit():
    X, sigma, _ = make()
    model = ProbabilisticPCA(2, with_covariance=True, random_state=0)
    one = unpack(model.fit(X, sigma=sigma).transform(X, sigma=sigma))
    f = 2.0**-50
    packed = model.fit(X * f, sigma=sigma * f).transform(X * f, sigma=sigma * f)
    other = unpack(packed)
    assert_allclose(other[0] / f, one[0])
    assert_allclose(other[1] / f**2, one[1])


def test_errors_are_broadcast():
    X, sigma, _ = make()
    for few, many in [
        (0.3, np.full(X.shape, 0.3)),
        (sigma[0], np.tile(sigma[0], (len(X), 1))),
    ]:
        found = estimator().fit(X, sigma=few).transform(X, sigma=few)
        assert_array_equal(found, estimator().fit(X, sigma=many).transform(X, many))


def test_files_and_tables(tmp_path):
    X, sigma, _ = make()
    X[3] = np.nan
    sigma[5, 2] = np.inf
    holes = X.copy()
    holes[5, 2] = np.nan
    expected = estimator().fit(holes, sigma=sigma)
    with h5py.File(tmp_path / "spectra.h5", "w") as file:
        file["X"], file["sigma"] = X, sigma
        found = estimator().fit(file["X"], sigma=file["sigma"])
        assert_array_equal(found.components_, expected.components_)
        assert_array_equal(
            found.impute(file["X"], sigma=file["sigma"]),
            expected.impute(holes, sigma=sigma),
        )
    big_endian = np.ma.masked_invalid(X.astype(">f8"))
    found = estimator().fit(big_endian, sigma=sigma)
    assert_array_equal(found.components_, expected.components_)
    complete = make(missing=0)[0]
    check_tables(estimator(), complete)
    check_row_permutation(estimator(), X, sigma=sigma)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("missing", [0.0, 0.2])
def test_a_bright_column_that_does_not_change_is_nothing(dtype, missing):
    X = make(n=300, missing=missing, noise=0.1)[0].astype(dtype)
    bright = np.insert(X, 4, 1.2345678e9, axis=1)
    expected = estimator().fit(X)
    found = estimator().fit(bright)
    others = np.arange(16) != 4
    assert_allclose(found.explained_variance_, expected.explained_variance_, rtol=1e-3)
    assert_allclose(found.components_[:, others], expected.components_, atol=2e-3)
    assert_allclose(found.components_[:, 4], 0, atol=1e-3)
    assert found.mean_[4] == bright[0, 4]


def test_rows_that_are_drawn_must_differ():
    rng = np.random.default_rng(0)
    W = np.linalg.qr(rng.normal(size=(20, 1)))[0].T
    X = np.ones((30_000, 20))
    X[:1500] += rng.normal(size=(1500, 1)) @ W
    X[0, 0] = np.nan
    ppca = ProbabilisticPCA(1, random_state=0).fit(X)
    assert_allclose(np.abs(ppca.components_), np.abs(W), atol=1e-2)
    # none was drawn
    X = np.ones((30_000, 20))
    X[7], X[8] = 2, 0
    with pytest.raises(ValueError, match="2000 rows that the fit begins with.*the sa"):
        ProbabilisticPCA(1, random_state=0).fit(X)


@pytest.mark.parametrize("scale", [1.0, 1e-30])
@pytest.mark.parametrize("with_sigma", [False, True])
def test_values_too_large_to_be_squared_are_refused(scale, with_sigma):
    X = (scale * make(missing=0)[0]).astype(np.float32)
    sigma = np.float32(0.3 * scale) if with_sigma else None
    fitted = estimator().fit(X, sigma=sigma)
    X[5, 3] = 1e25
    for use in (estimator().fit, fitted.transform, fitted.score_samples):
        with pytest.raises(ValueError, match="too large to be squared.*in row 5"):
            use(X, sigma=sigma)
    if not with_sigma:
        estimator().fit(X.astype(np.float64))


def test_nothing_beside_an_infinite_error_is_looked_at():
    X, sigma, _ = make()
    sigma[3, 4] = np.inf
    expected = estimator().fit(X, sigma=sigma)
    for value in (np.inf, -np.inf, np.nan, 1e300):
        X[3, 4] = value
        found = estimator().fit(X, sigma=sigma)
        assert_array_equal(found.components_, expected.components_)
        assert_array_equal(found.transform(X, sigma), expected.transform(X, sigma))


@pytest.mark.parametrize("dtype, atol", [(np.float64, 1e-12), (np.float32, 1e-5)])
def test_empty_rows_among_many_blocks(dtype, atol):
    """Means are summed by the block, so that only rounding differs."""
    X = make(n=2500, missing=0.1)[0].astype(dtype)
    more = np.insert(X, np.arange(0, 2500, 7), np.nan, axis=0)
    one, other = estimator().fit(X), estimator().fit(more)
    assert one.n_iter_ == other.n_iter_
    assert_allclose(other.components_, one.components_, atol=atol)
    assert_allclose(other.noise_variance_, one.noise_variance_, rtol=atol)


def test_warnings_point_at_the_caller():
    X, sigma, _ = make(missing=0.4, wide=True)
    for errors in (None, sigma):
        with pytest.warns(ConvergenceWarning) as caught:
            ProbabilisticPCA(2, tol=1e-9, max_iter=2).fit(X, sigma=errors)
        assert caught[0].filename == __file__


callbacks = pytest.importorskip(
    "sklearn.callback", reason="callbacks came with scikit-learn 1.9"
)


class StopAfter:
    """Ends a fit after so many passes."""

    def __init__(self, n):
        self.n, self.seen = n, 0

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context):
        self.seen += context.task_name == "pass"
        return self.seen >= self.n


@pytest.mark.parametrize("with_sigma", [False, True])
def test_callbacks_see_and_stop_passes(with_sigma):
    X, sigma, _ = make(missing=0.4, wide=True)
    sigma = sigma if with_sigma else None
    plain = estimator().fit(X, sigma=sigma)
    watcher = StopAfter(10**6)
    watched = estimator().set_callbacks(watcher).fit(X, sigma=sigma)
    assert watcher.seen == plain.n_iter_ > 2
    assert_array_equal(watched.components_, plain.components_)
    stopped = estimator().set_callbacks(StopAfter(2)).fit(X, sigma=sigma)
    assert stopped.n_iter_ <= 3


def test_errors_of_other_columns_and_no_rows_are_refused():
    X, sigma, _ = make(n=50, p=4)
    frame = pd.DataFrame(X, columns=list("abcd"))
    errors = pd.DataFrame(np.full(X.shape, 0.1), columns=list("abdc"))
    with pytest.raises(ValueError, match=r"columns of `sigma` must be those of X"):
        ProbabilisticPCA(2).fit(frame, sigma=errors)
    ProbabilisticPCA(2).fit(frame, sigma=errors[frame.columns])
    for empty in (np.zeros((0, 4), int), np.zeros((4, 0), int)):
        with pytest.raises(ValueError, match=r"Found array with 0 (sample|feature)"):
            ProbabilisticPCA(2).fit(empty)

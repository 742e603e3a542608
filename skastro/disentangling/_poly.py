"""Labels removed by a polynomial in each bin."""

import copy
from numbers import Integral

import numpy as np
from sklearn.decomposition import PCA
from sklearn.utils import check_random_state, gen_batches

from ..decomposition import ProbabilisticPCA
from ..utils import uncertain
from ..utils.arrays import power_of_two
from ..utils.sklearn_names import Interval, StrOptions, _fit_context
from ._adaptation import Adaptable
from ._conditioned import ConditionedTransformer
from ._factor_analysis_decoder import ROWS, Decoder
from ._incomplete import observed_scores, regress
from ._polynomials import OrthonormalPolynomials, degree_for
from ._scores import Scores

#: What "auto" allows.
MAX_DEGREE, MAX_COMPONENTS = 4, 50


class PolyDisentangler(Adaptable, ConditionedTransformer):
    """Disentangle by regressing away a polynomial of the labels, bin by bin.

    What the polynomial leaves of a spectrum is reduced to its principal components.
    `recast` adds all that it leaves to the polynomial at the new labels.

    Where bins are missing, as NaN, or have errors, `sigma`, each bin's polynomial is of
    the stars that it was observed in, weighted by their errors, and components are
    those of `ProbabilisticPCA`. Latent variables are then those of highest likelihood
    (with a prior ten times as wide as the population), and else the projection. Stars
    without any bin are left out of the fit, and have the latents 0.

    Parameters
    ----------
    condition_columns : int, slice, str, list, mask or callable, default=None
        The columns of X that hold known labels, as `ColumnTransformer` takes columns:
        ``slice(-3, None)`` for three labels at the end. The others are the bins of the
        spectrum. None if labels are given beside X, as ``conditions``.
    degree : int or "auto", default="auto"
        Highest total degree of the polynomial. "auto" is the highest, from 1 to 4, of
        which there are at least 5 stars for each polynomial.
    n_components : int or "auto", default="auto"
        Number of principal components of the residuals. "auto" is 50, but not more
        than a third of the stars, or than bins.
    verbose : int, default=0
        1 logs how many of the stars that `transform` is given are out of what was
        learned.
    random_state : int, RandomState instance or None, default=None
        For the randomised solver that `sklearn.decomposition.PCA` takes for large data,
        and for the start of `ProbabilisticPCA`.

    Attributes
    ----------
    coef_ : ndarray of shape (n_polynomials, n_bins)
        Coefficients of the orthonormal polynomials of the labels; NaN in bins that
        fewer stars have than there are polynomials, which have no part.
    components_ : ndarray of shape (n_components, n_bins)
        Orthonormal principal axes of the residuals.
    explained_variance_ratio_ : ndarray of shape (n_components,)
        Share of the residuals' variance along each.
    noise_variance_ : float
        Mean variance of a bin of the residuals beside the components, and beside
        `sigma`.
    lowest_score_ : float
        What counts as learned: a star's log-likelihood less its expectation, in
        standard deviations, that all but 1 in 1,000 stars of the fit exceed. Of other
        stars the expectation is lower by what a fit gains on its own.
    degree_ : int
        Degree of the polynomial.
    latent_metric_ : ndarray of shape (n_components, n_components)
        The matrix M of the distance :math:`(z - z')^T M (z - z')` between stars: the
        unit matrix, for the Euclidean distance.
    condition_indices_, spectrum_indices_ : ndarray of int
        Columns of X that are labels, and bins; no labels if they were beside X.
    condition_names_ : ndarray of str, of shape (n_conditions,)
        Names of the labels, if they had any.
    condition_range_ : ndarray of shape (n_conditions, 2)
        Range of each label in training; of kinds, of each level but the first.
    condition_mean_ : ndarray of shape (n_conditions,)
        Mean of each label in training, likewise.
    n_features_in_ : int
        Number of columns of X.
    feature_names_in_ : ndarray of shape (n_features,)
        Their names, if X had any.

    See Also
    --------
    ConditionalFactorAnalysis : Knows how the response to abundances changes with the
        labels, and takes missing and uncertain labels.

    References
    ----------
    N. Price-Jones & J. Bovy 2019, MNRAS 487, 871; *Decoding Astronomical Spectra Using
    Machine Learning*, section 4.4.3.

    Examples
    --------
    >>> from skastro.datasets import make_twin_spectra
    >>> from skastro.disentangling import PolyDisentangler
    >>> from skastro.preprocessing import append_conditions
    >>> data = make_twin_spectra(100, random_state=0)
    >>> X = append_conditions(data.X, data.u)
    >>> model = PolyDisentangler(slice(-3, None), n_components=20, random_state=0)
    >>> model.fit_transform(X).shape
    (200, 20)
    """

    _parameter_constraints: dict = {
        **ConditionedTransformer._condition_constraints,
        "degree": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "n_components": [
            Interval(Integral, 1, None, closed="left"),
            StrOptions({"auto"}),
        ],
        "verbose": ["verbose"],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        condition_columns=None,
        *,
        degree="auto",
        n_components="auto",
        verbose=0,
        random_state=None,
    ):
        self.condition_columns = condition_columns
        self.degree = degree
        self.n_components = n_components
        self.verbose = verbose
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, sigma=None, conditions=None):
        """Fit polynomials and principal components.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Spectra, NaN where missing; with labels among the columns or beside them.
        y : ignored
            There for scikit-learn.
        sigma : array-like of shape (n_samples, n_features), default=None
            1-sigma errors of the spectra; those of labels must be 0.
        conditions : array-like of shape (n_samples, n_conditions), default=None
            Labels, if they are not columns of X.

        Returns
        -------
        self : PolyDisentangler

        Raises
        ------
        ValueError
            If labels are missing, uncertain or constant, X says nothing, or there is
            too little data.
        """
        rows = self._fit_rows(X, y, sigma, conditions)
        S, U, sigma, _ = rows
        n, p = S.shape
        k = self.n_components
        if k == "auto":
            # probabilistic PCA needs a direction for the noise
            most = p - (sigma is not None or np.isnan(S).any())
            k = max(1, min(MAX_COMPONENTS, n // 3, most))
        if k > min(n, p):
            raise ValueError(
                f"`n_components`={k} must be at most min(n_samples,"
                f" n_bins)={min(n, p)}."
            )
        U = self._scale_conditions(U)
        self.degree_ = (
            self.degree if self.degree != "auto" else degree_for(U, MAX_DEGREE)
        )
        self._polynomials = OrthonormalPolynomials(self.degree_).fit(U)
        phi = self._polynomials(U).astype(S.dtype)
        self._scale = power_of_two(S)
        S = S / S.dtype.type(self._scale)
        if sigma is None and not np.isnan(S).any():
            coef = phi.T @ S / n
            rng = check_random_state(self.random_state)
            pca = PCA(k, random_state=rng).fit(S - phi @ coef)
            # scikit-learn's is the mean of as many directions as there are stars
            noise = pca.noise_variance_ * (min(n, p) - k) / max(p - k, 1)
            components, noise = pca.components_, float(noise)
        else:
            if sigma is not None:
                sigma = sigma / S.dtype.type(self._scale)
            coef = regress(phi, S, sigma).astype(S.dtype)
            pca = self._of_incomplete(k, S - phi @ coef, sigma)
            coef[0] += pca.mean_
            components, noise = pca.components_, pca.noise_variance_
        # contiguous as in a copy from a file, to give the same to the last bit
        self.components_ = np.ascontiguousarray(components)
        self.coef_ = coef * S.dtype.type(self._scale)
        self.explained_variance_ratio_ = pca.explained_variance_ratio_
        self.noise_variance_ = noise * self._scale**2
        self._variance = np.asarray(pca.explained_variance_, dtype=np.float64)
        self._n_features_out = len(self.components_)
        self.latent_metric_ = np.eye(self._n_features_out)
        self._note_scores(rows, (phi.shape[1] + k) / n)
        return self

    def _of_incomplete(self, k, residuals, sigma):
        rng = check_random_state(self.random_state)
        return ProbabilisticPCA(k, random_state=rng).fit(residuals, sigma=sigma)

    def _mean(self, U, dtype):
        phi = self._polynomials(self._scale_conditions(U)).astype(dtype)
        return phi @ self.coef_

    def _encode(self, S, U, sigma=None):
        residuals = S - self._mean(U, S.dtype)
        if sigma is None and not np.isnan(residuals).any():
            return residuals @ self.components_.T
        s, noise = self._scale, self._noise
        prior = uncertain.WIDE * np.maximum(self._variance, noise)
        if sigma is not None:
            sigma = sigma / s
        return s * observed_scores(residuals / s, self.components_, noise, prior, sigma)

    @property
    def _noise(self):
        """Variance of a bin in the unit of the fit, and never 0."""
        return max(self.noise_variance_ / self._scale**2, 1e-9 * self._variance.max())

    def _gaussian(self):
        """Return loadings of the population, and the noise, in units of X."""
        size = np.sqrt(np.maximum(self._variance - self._noise, 0)) * self._scale
        return size[:, None] * self.components_, self._noise * self._scale**2

    @property
    def _mean_polynomials(self):
        return self._polynomials

    def _mean_residuals(self, rows):
        return rows.S - self._mean(rows.U, np.float64)

    def _with_mean_changed(self, change):
        other = copy.copy(self)
        other.coef_ = (self.coef_ + change).astype(self.coef_.dtype)
        return other

    def _scores(self, rows):
        loadings, noise = self._gaussian()
        loadings = loadings[None] / self._scale
        noise = np.full(loadings.shape[2], noise / self._scale**2)
        decoder = Decoder(None, loadings, noise)
        parts = []
        for at in gen_batches(len(rows.S), ROWS):
            sigma = None if rows.sigma is None else rows.sigma[at]
            residual = self._mean_residuals(rows.take(at)) / self._scale
            missing = np.isnan(residual)
            variance = None
            if sigma is not None:
                variance = np.square(sigma / self._scale, dtype=np.float64)
            parts.append(
                decoder.log_density(
                    np.where(missing, 0, residual),
                    np.ones((len(residual), 1)),
                    variance,
                    missing,
                )
            )
        return Scores.of_parts(parts, self._scale)

    def _decode(self, Z, U):
        return Z @ self.components_ + self._mean(U, Z.dtype)

    def _recast(self, rows, u_new):
        S, U = rows.S, rows.U
        return S - self._mean(U, S.dtype) + self._mean(u_new, S.dtype)

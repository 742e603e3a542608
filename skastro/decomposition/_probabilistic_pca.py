"""Principal components of spectra with missing and uncertain pixels."""

import numbers

import numpy as np
from sklearn.base import TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from ..utils import uncertain
from ..utils.arrays import as_matrix, refuse_errors_as_y
from ..utils.estimator import SkastroEstimator
from ..utils.progress import LongFit, Progress, long_fit
from ..utils.sigma import broadcast_errors, check_error_names
from ..utils.sklearn_names import Interval, _fit_context
from ._ppca_fit import Fit
from ._ppca_likelihood import covariance_operator, observed
from ._ppca_rows import (
    as_rows,
    row_blocks,
    rows_of,
    working_dtype,
)


class ProbabilisticPCA(
    LongFit, uncertain.UncertainVectorsOut, TransformerMixin, SkastroEstimator
):
    r"""Probabilistic PCA by maximum likelihood, with missing and uncertain entries.

    Rows are Gaussian: :math:`x_n = \mu + W z_n + \epsilon_n` with
    :math:`z_n \sim N(0, I)`. Only the observed entries of a row count; NaN marks a
    missing one. Without `sigma` the noise has one fitted variance,
    :math:`\epsilon_{nj} \sim N(0, s^2)`; with it, entry j of row n has the variance
    :math:`\sigma_{nj}^2 + s^2`, of which :math:`s^2` is fitted.

    Data are read in blocks of rows, so that X may be larger than memory.

    Parameters
    ----------
    n_components : int, default=2
        Number of components, less than the numbers of rows and columns. The APOGEE
        spectra of the thesis asked for 30.
    tol : float, default=1e-4
        EM ends when a pass raises the log-likelihood by less than this, per observed
        entry, and no more than this is to come. Rounding in single precision is about
        1e-7.
    max_iter : int, default=100
        Passes over the data at most.
    batch_size : int, default=512
        Rows of a block.
    with_covariance : bool, default=False
        What `transform` returns. By default, posterior means of the scores. If True,
        the scores of highest likelihood, which the population does not draw towards
        its mean, followed by the lower triangle of the covariance of their errors,
        row by row: ``n_components + n_components * (n_components + 1) / 2`` columns.
        `RSCA` and `doppelganger_scorer` know what to do with them.
    verbose : int, default=0
        Whether to show a progress bar.
    random_state : int, RandomState instance or None, default=None
        Chooses the rows and axes that the fit begins with, which the result does not
        depend on beyond `tol`.

    Attributes
    ----------
    components_ : ndarray of shape (n_components, n_features)
        Orthonormal principal axes, by falling variance; the entry of largest size is
        positive in each. Zero in columns that were never observed.
    mean_ : ndarray of shape (n_features,)
        Mean of the model; NaN in columns that were never observed.
    explained_variance_ : ndarray of shape (n_components,)
        Variance of the model along each axis, noise included, as of N (not N - 1)
        rows. Scores have the prior variance ``explained_variance_ - noise_variance_``.
    explained_variance_ratio_ : ndarray of shape (n_components,)
        Its share in the variance of the model over all columns ever observed, errors
        `sigma` excluded.
    noise_variance_ : float
        Fitted variance :math:`s^2` of the noise of an entry, beside its own.
    n_observed_ : ndarray of shape (n_features,)
        Number of rows in which each column was observed.
    n_iter_ : int
        Passes over the data.
    n_features_in_ : int
        Number of features of X.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the features of X, if it has names.

    See Also
    --------
    sklearn.decomposition.PCA : For complete data, without a likelihood of its own.
    skastro.metric_learning.RSCA : The metric of chemical likeness on the scores.

    Notes
    -----
    Without `sigma` the latent variables of EM are the missing entries alone, whose
    conditional means and covariances are exact. The M-step is a step of subspace
    iteration with a Nyström approximation, which never lowers the likelihood. Beside
    two products of matrices, a row costs (number of missing entries) x
    n_components^2, or of observed ones where those are fewer. With `sigma` EM starts
    from that solution; a pass costs three products with n_components^2 / 2 columns.

    Single precision tells noise down to about 1/3000 of the scatter of a pixel; with
    less, fit in float64.

    A row without any observed entry has the scores 0. A row with fewer observed
    entries than components has well-defined scores, as every other: what it does not
    tell is taken from the population.

    References
    ----------
    .. [1] Tipping & Bishop 1999, J. R. Stat. Soc. B 61, 611.
    .. [2] Roweis 1998, NIPS 10, 626: EM for PCA with missing data.
    .. [3] *Decoding Astronomical Spectra Using Machine Learning*, section 5.4.1.

    Examples
    --------
    >>> import numpy as np
    >>> from skastro.decomposition import ProbabilisticPCA
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(300, 1)) @ rng.normal(size=(1, 20)) + 5
    >>> X += 0.01 * rng.normal(size=X.shape)
    >>> holes = X.copy()
    >>> holes[rng.random(X.shape) < 0.2] = np.nan
    >>> ppca = ProbabilisticPCA(n_components=1).fit(holes)
    >>> ppca.explained_variance_ratio_.round(3)
    array([1.])
    >>> float(np.abs(ppca.impute(holes) - X).max()) < 0.1
    True
    """

    _parameter_constraints = {
        "n_components": [Interval(numbers.Integral, 1, None, closed="left")],
        "tol": [Interval(numbers.Real, 0, None, closed="left")],
        "max_iter": [Interval(numbers.Integral, 1, None, closed="left")],
        "batch_size": [Interval(numbers.Integral, 1, None, closed="left")],
        "with_covariance": ["boolean"],
        "verbose": ["verbose"],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        n_components=2,
        *,
        tol=1e-4,
        max_iter=100,
        batch_size=512,
        with_covariance=False,
        verbose=0,
        random_state=None,
    ):
        self.n_components = n_components
        self.tol = tol
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.with_covariance = with_covariance
        self.verbose = verbose
        self.random_state = random_state

    @long_fit
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, sigma=None):
        """Fit axes, variances, mean and noise.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data, NaN where missing. Kept in float32 if it is. An ``np.memmap`` or an
            object that slices like an array (h5py, zarr) is read in blocks. Rows in
            which nothing was observed do not count.
        y : None
            Ignored.
        sigma : array-like of shape (n_samples, n_features), default=None
            1-sigma errors; or one for all, or one for each column. Infinity means not
            observed. Any value will do where X is missing.

        Returns
        -------
        self : ProbabilisticPCA
            Fitted estimator.

        Raises
        ------
        ValueError
            If `n_components` is too large, X infinite anywhere, missing everywhere or
            nowhere different, or `sigma` of another shape, or not positive where X is
            observed.

        Warns
        -----
        ConvergenceWarning
            If `max_iter` passes were not enough for `tol`.
        """
        refuse_errors_as_y(self, X, y)
        X = as_rows(self, X, reset=True)
        if sigma is not None:
            sigma = self._errors(sigma, X)
        n_features = X.shape[1]
        data, mean, self.n_observed_ = rows_of(X, sigma, self.batch_size)
        columns, unit = np.flatnonzero(self.n_observed_), data.unit
        if self.n_components >= min(data.n_rows, len(columns)):
            raise ValueError(
                f"n_components={self.n_components} must be less than the numbers of"
                f" rows and columns in which anything is observed, {data.n_rows} and"
                f" {len(columns)}; X has n_samples={X.shape[0]} and"
                f" n_features={n_features}."
            )
        with Progress(self, self.max_iter, "ProbabilisticPCA", "pass") as progress:
            fit = Fit(data, self.n_components, self.tol, self.max_iter, progress)
            rng = check_random_state(self.random_state)
            V, variance, noise, mean = fit.run(mean, rng)
        self.n_iter_ = fit.n_iter
        dtype = working_dtype(X)
        largest = np.abs(V).argmax(axis=0)
        V = V * np.where(V[largest, np.arange(V.shape[1])] < 0, -1, 1)
        self.components_ = np.zeros((self.n_components, n_features), dtype)
        self.components_[:, columns] = V.T
        self.mean_ = np.full(n_features, np.nan, dtype)
        self.mean_[columns] = mean * unit
        total = variance.sum() + noise * (len(columns) - self.n_components)
        self.explained_variance_ratio_ = (variance / total).astype(dtype)
        self.explained_variance_ = variance.astype(np.float64) * unit**2
        self.noise_variance_ = float(noise) * unit**2
        self._unit = unit
        self._weighted = sigma is not None
        return self

    def fit_transform(self, X, y=None, sigma=None):
        """Fit, and return the scores of X.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data, NaN where missing.
        y : None
            Ignored.
        sigma : array-like of shape (n_samples, n_features), default=None
            1-sigma errors.

        Returns
        -------
        scores : ndarray of shape (n_samples, n_columns)
            See `transform`.
        """
        return self.fit(X, y, sigma=sigma).transform(X, sigma=sigma)

    def transform(self, X, sigma=None):
        """Return the scores of each row along the principal axes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data, NaN where missing. Columns never observed in the fit are left out.
        sigma : array-like of shape (n_samples, n_features), default=None
            1-sigma errors: required if the fit had them, else not allowed.

        Returns
        -------
        scores : ndarray of shape (n_samples, n_components)
            Posterior means, in the units of X and its precision. If
            `with_covariance`, scores of highest likelihood and their packed
            covariances, in more columns and in float64.
        """
        unit = self._fitted_unit()
        signal = self._signal() / unit**2
        found = []
        for model, block, _ in self._likelihoods(X, sigma):
            n_rows = len(model.linear)
            if self.with_covariance:
                scores, covariance = model.combine(1 / (uncertain.WIDE * signal))
                shape = (n_rows, *covariance.shape[1:])
                covariance = np.broadcast_to(covariance * unit**2, shape)
                scores = uncertain.UncertainVectors(scores * unit, covariance).pack()
            else:
                scores = (model.combine(1 / signal)[0] * unit).astype(block.dtype)
            found.append(scores)
        return np.concatenate(found)

    def inverse_transform(self, X):
        """Return the mean of the rows that have given scores.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_components)
            Scores; what `transform` appends to them is ignored.

        Returns
        -------
        X_original : ndarray of shape (n_samples, n_features)
            NaN in columns that were never observed.
        """
        check_is_fitted(self)
        X, k = as_matrix(X, "X"), len(self.components_)
        if X.ndim != 2 or X.shape[1] not in (k, uncertain.n_packed(k)):
            raise ValueError(
                f"X must have {k} columns, the scores, got an array of shape {X.shape}."
            )
        return X[:, :k] @ self.components_ + self.mean_

    def impute(self, X, sigma=None):
        """Fill in missing entries by their conditional means.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data, NaN where missing.
        sigma : array-like of shape (n_samples, n_features), default=None
            1-sigma errors, as for `transform`.

        Returns
        -------
        X_filled : ndarray of shape (n_samples, n_features)
            X, with observed entries as they are; NaN only in columns that were never
            observed.
        """
        unit = self._fitted_unit()
        signal = self._signal() / unit**2
        filled, start = None, 0
        for model, block, missing in self._likelihoods(X, sigma):
            if filled is None:
                filled = np.empty((len(X), block.shape[1]), block.dtype)
            scores, _ = model.combine(1 / signal)
            scores = (scores * unit).astype(block.dtype)
            expected = scores @ self.components_ + self.mean_
            block = block * block.dtype.type(unit)
            filled[start : start + len(block)] = np.where(missing, expected, block)
            start += len(block)
        return filled

    def score_samples(self, X, sigma=None):
        """Return the log-likelihood of the observed entries of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data, NaN where missing.
        sigma : array-like of shape (n_samples, n_features), default=None
            1-sigma errors, as for `transform`.

        Returns
        -------
        log_likelihood : ndarray of shape (n_samples,)
            Natural logarithms; 0 for a row without observed entries.
        """
        unit = self._fitted_unit()
        signal = self._signal() / unit**2
        seen = slice(None) if self.n_observed_.all() else self.n_observed_ > 0
        components = self.components_[:, seen]
        return np.concatenate(
            [
                model.log_density(components, signal, missing[:, seen])
                - np.count_nonzero(~missing[:, seen], axis=1) * np.log(unit)
                for model, _, missing in self._likelihoods(X, sigma)
            ]
        )

    def score(self, X, y=None, sigma=None):
        """Return the mean log-likelihood of the rows of X.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data, NaN where missing.
        y : None
            Ignored.
        sigma : array-like of shape (n_samples, n_features), default=None
            1-sigma errors, as for `transform`.

        Returns
        -------
        log_likelihood : float
            Mean of `score_samples`.
        """
        return float(self.score_samples(X, sigma=sigma).mean())

    def get_covariance(self):
        """Return the covariance of the model, errors `sigma` excluded.

        Returns
        -------
        covariance : LinearOperator of shape (n_features, n_features)
            ``covariance @ x`` multiplies without forming the matrix.
        """
        return covariance_operator(
            self.components_, self._signal(), self.noise_variance_
        )

    def get_precision(self):
        """Return the inverse of the covariance of the model.

        Returns
        -------
        precision : LinearOperator of shape (n_features, n_features)
            ``precision @ x`` multiplies without forming the matrix.
        """
        signal, noise = self._signal(), self.noise_variance_
        along = -signal / noise / (signal + noise)
        return covariance_operator(self.components_, along, 1 / noise)

    def _fitted_unit(self):
        check_is_fitted(self)
        return self._unit

    def _signal(self):
        """Return the prior variances of the scores."""
        check_is_fitted(self)
        variance = self.explained_variance_
        floor = 1e-12 * max(variance[0], float(np.finfo("f4").tiny) * self._unit**2)
        return np.maximum(variance - self.noise_variance_, floor)

    def _likelihoods(self, X, sigma):
        """Return likelihoods of scores, data and what is missing, in the unit."""
        check_is_fitted(self)
        X = as_rows(self, X, reset=False)
        if self._weighted and sigma is None:
            raise ValueError(
                "`sigma` was given to fit and is needed here too: 1-sigma errors of"
                " the shape of X."
            )
        if sigma is not None and not self._weighted:
            raise ValueError(
                "`sigma` must be None, since the noise was fitted without it; give"
                " `sigma` to fit too."
            )
        if sigma is not None:
            sigma = self._errors(sigma, X)
        unit = self._unit
        return observed(
            row_blocks(X, sigma, self.batch_size, unit=unit),
            self.components_.astype(working_dtype(X)),
            self.mean_ / unit,
            self.noise_variance_ / unit**2,
            self.n_observed_ > 0,
        )

    def _errors(self, sigma, X):
        check_error_names(sigma, getattr(self, "feature_names_in_", None))
        return broadcast_errors(sigma, X.shape)

    @property
    def _n_values(self):
        return len(self.components_)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = (
            ["float64"] if self.with_covariance else ["float64", "float32"]
        )
        return tags

"""Factor analysis whose loadings depend on known labels."""

from math import comb
from numbers import Integral, Real

import numpy as np
from sklearn.utils import check_random_state

from ..utils import uncertain
from ..utils.sklearn_names import Interval, StrOptions, _fit_context
from ._conditioned import ConditionedTransformer
from ._factor_analysis_decoder import Decoder, combine
from ._factor_analysis_em import FREE_PASSES, ROWS, ConditionalEM
from ._polynomials import OrthonormalPolynomials

#: What `degree="auto"` allows.
MAX_DEGREE, ROWS_PER_POLYNOMIAL = 6, 40


class ConditionalFactorAnalysis(ConditionedTransformer):
    r"""Disentangle by factor analysis given the labels.

    A spectrum x of a star with labels u is

    .. math:: x = \mu(u) + L(u)^T z + \epsilon, \quad z \sim N(0, I), \quad
        \epsilon_j \sim N(0, \psi_j + \sigma_j^2)

    with :math:`\mu` and the loadings L polynomials of u in each bin. The latent
    variables z are independent of u by construction, up to second moments, and hold
    what spectra of equal labels differ in. Bins that are NaN are missing.

    The likelihood leaves rotations of z that change with u undetermined. Those are
    chosen that make the loadings the simplest functions of u, of fewest terms: an
    abundance is to have the same axis at all labels. This needs no twins.

    Parameters
    ----------
    condition_columns : int, slice, str, list, mask or callable, default=None
        The columns of X that hold known labels, as `ColumnTransformer` takes columns:
        ``slice(-3, None)`` for three labels at the end. The others are the bins of the
        spectrum. None if labels are given beside X, as ``conditions``.
    n_components : int, default=20
        Number of latent variables. A few more than there are abundances do no harm.
    degree : int or "auto", default="auto"
        Degree of the polynomials of the mean spectrum; what too low a degree leaves is
        taken for chemistry. "auto" is the highest, from 1 to 6, of which there are at
        least 40 stars for each polynomial.
    loading_degree : int, default=3
        Degree of the polynomials of the loadings.
    max_iter : int, default=20
        Passes over the data at most.
    tol : float, default=0.01
        The fit ends when latent variables change by less than this in a pass, root
        mean square, in units of the population's scatter.
    with_covariance : bool, default=False
        What `transform` returns. By default, posterior means of z. If True, the values
        of highest likelihood (with a prior ten times as wide as the population),
        followed by the lower triangle of their error covariance, row by row:
        ``n_components + n_components * (n_components + 1) / 2`` columns, for
        ``n_false_twins(with_covariance=True)``. Errors differ much from star to star,
        and distances that know of them find many more twins. They are those of the
        spectrum, and of the frame that a sample of n stars defines: about
        ``n_components * n_loading_terms / (4 n)`` in variance.
    verbose : int, default=0
        Whether to show a progress bar.
    random_state : int, RandomState instance or None, default=None
        Seeds the randomised decomposition that the fit begins with.

    Attributes
    ----------
    mean_coef_ : ndarray of shape (n_mean_terms, n_bins)
        Coefficients of the mean, of polynomials orthonormal over the training set.
    loadings_ : ndarray of shape (n_loading_terms, n_components, n_bins)
        Coefficients of the loadings, likewise; the first are the mean loadings.
    noise_variance_ : ndarray of shape (n_bins,)
        Fitted variance :math:`\psi` of each bin, beside `sigma`.
    latent_metric_ : ndarray of shape (n_components, n_components)
        The matrix M of a distance :math:`(z - z')^T M (z - z')` between stars: the
        inverse of twice the mean covariance of the errors in the training set, so
        that twins are at a distance of about ``n_components``.
    degree_ : int
        Degree of the mean spectrum.
    n_iter_ : int
        Passes over the data.
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
    PolyDisentangler : Removes the mean spectrum at the labels, and no more.
    skastro.metrics.n_false_twins : Strangers taken for twins.

    Notes
    -----
    EM, with three steps of its own in each pass. (1) Latent variables are rotated, by
    angles polynomial in u, to the loadings of least :math:`\sum_b \ln |L_b|^2` over
    their terms but the constant: the penalty of terms whose prior variances are fitted.
    (2) They are made white at all labels, as far as the sample departs from white by
    more than its scatter: parameter expansion of EM, whose plain steps are as small as
    the errors of z. (3) The matrix of loadings of each bin, terms by components, is
    shrunk by its singular values, since a bin responds to few abundances; and that of
    the mean, terms by bins, which changes with the labels in few ways.

    With missing bins or `sigma`, entries have weights of their own: the expectation
    step is exact, and maximisation is one step of preconditioned regression a pass
    with a line search in each bin, in which the posterior covariances count with the
    mean weight of a bin.

    What the model leaves out, such as responses that are not linear in z, counts as
    noise, independent from bin to bin. In simulated spectra without noise it is all
    there is, and not independent: errors are then far too small, and twins are missed.
    Add noise to such spectra.

    References
    ----------
    The idea of conditioning on labels is of *Decoding Astronomical Spectra Using
    Machine Learning*, chapter 4; factor analysis by EM is of D. Rubin & D. Thayer 1982,
    Psychometrika 47, 69, and its parameter expansion of C. Liu, D. Rubin & Y. Wu 1998,
    Biometrika 85, 755.

    Examples
    --------
    >>> from skastro.datasets import make_twin_spectra
    >>> from skastro.disentangling import ConditionalFactorAnalysis
    >>> from skastro.preprocessing import append_conditions
    >>> data = make_twin_spectra(400, random_state=0)
    >>> X = append_conditions(data.X[:, :500], data.u)
    >>> model = ConditionalFactorAnalysis(
    ...     slice(-3, None), n_components=5, max_iter=5, random_state=0
    ... )
    >>> model.fit_transform(X).shape
    (800, 5)
    """

    _parameter_constraints: dict = {
        **ConditionedTransformer._condition_constraints,
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "degree": [
            Interval(Integral, 1, None, closed="left"),
            StrOptions({"auto"}),
        ],
        "loading_degree": [Interval(Integral, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "with_covariance": ["boolean"],
        "verbose": ["verbose"],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        condition_columns=None,
        *,
        n_components=20,
        degree="auto",
        loading_degree=3,
        max_iter=20,
        tol=0.01,
        with_covariance=False,
        verbose=0,
        random_state=None,
    ):
        self.condition_columns = condition_columns
        self.n_components = n_components
        self.degree = degree
        self.loading_degree = loading_degree
        self.max_iter = max_iter
        self.tol = tol
        self.with_covariance = with_covariance
        self.verbose = verbose
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, sigma=None, conditions=None):
        """Fit the mean, the loadings and the noise.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Spectra and labels. NaN marks a missing bin; labels must be there.
        y : ignored
            There for scikit-learn.
        sigma : array-like of shape (n_samples, n_features), default=None
            1-sigma errors of the entries of X; those of labels are not used.

        Returns
        -------
        self : ConditionalFactorAnalysis

        Raises
        ------
        ValueError
            If labels are missing or constant, there is too little data for the numbers
            of components and polynomials, or `sigma` does not fit.
        """
        S, U, sigma, _ = self._fit_rows(X, y, sigma, conditions)
        n, p = S.shape
        if self.n_components > min(n, p):
            raise ValueError(
                f"`n_components`={self.n_components} must be at most min(n_samples,"
                f" n_bins)={min(n, p)}."
            )
        U = self._scale_conditions(U)
        self.degree_ = self._choose_degree(*U.shape)
        self._mean_terms = OrthonormalPolynomials(self.degree_).fit(U)
        self._loading_terms = OrthonormalPolynomials(self.loading_degree).fit(U)
        phi_mean, phi = self._mean_terms(U), self._loading_terms(U)
        n_terms = phi_mean.shape[1] + self.n_components * phi.shape[1]
        if n_terms > n:
            raise ValueError(
                f"{n} rows do not determine the {n_terms} coefficients of a bin; lower"
                f" `n_components`={self.n_components}, `degree`={self.degree_} or"
                f" `loading_degree`={self.loading_degree}, or give more rows."
            )
        em = ConditionalEM(
            S,
            phi_mean,
            phi,
            sigma,
            self.n_components,
            check_random_state(self.random_state),
        )
        with self._progress() as bar:
            for n_iter in range(1, self.max_iter + 1):  # noqa: B007
                change = em.step(whiten_freely=n_iter <= FREE_PASSES)
                bar.set_postfix({"change": f"{change:.2e}"}, refresh=False)
                bar.update()
                if change < self.tol and n_iter > FREE_PASSES:
                    break
        self.n_iter_ = n_iter
        # contiguous as in a copy from a file, to give the same to the last bit
        self.mean_coef_ = np.ascontiguousarray(em.decoder.mean)
        self.loadings_ = np.ascontiguousarray(em.decoder.loadings)
        self.noise_variance_ = em.decoder.noise
        # a bin that was never seen has no spectrum to be decoded to
        self.mean_coef_[:, np.broadcast_to(em.n_observed, p) == 0] = np.nan
        self._n_fitted = n
        typical = em.covariance + self._frame_variance(phi)
        self.latent_metric_ = np.linalg.inv(2 * typical.mean(axis=0))
        return self

    def _choose_degree(self, n, n_conditions):
        if self.degree != "auto":
            return self.degree
        allowed = [
            degree
            for degree in range(2, MAX_DEGREE + 1)
            if comb(n_conditions + degree, degree) * ROWS_PER_POLYNOMIAL <= n
        ]
        return max(allowed, default=1)

    @property
    def _n_features_out(self):
        k = self._n_latents
        return uncertain.n_packed(k) if self.with_covariance else k

    def _progress(self):
        from tqdm.auto import tqdm

        return tqdm(
            total=self.max_iter,
            desc="conditional factor analysis",
            unit="pass",
            disable=not self.verbose,
        )

    def transform(self, X, sigma=None, conditions=None):
        """Return the latent variables of stars.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Spectra and labels, in the columns of `fit`.
        sigma : array-like of shape (n_samples, n_features), default=None
            1-sigma errors; needed if `fit` had them.

        Returns
        -------
        Z : ndarray of shape (n_samples, n_columns)
            Latent variables, with their covariances if `with_covariance`. A spectrum
            without any bin has the mean 0 of the population.

        Raises
        ------
        ValueError
            If X or `sigma` do not fit the data of `fit`.

        Warns
        -----
        UserWarning
            If labels are far outside the range of training.
        """
        S, U, sigma, _ = self._rows(X, sigma, conditions)
        if not self.with_covariance:
            return self._posterior(S, U, sigma, 1.0)[0].astype(S.dtype, copy=False)
        z, covariance = self._posterior(S, U, sigma, 1 / uncertain.WIDE)
        covariance += self._frame_variance(self._phi(U, np.float64)[1])
        packed = uncertain.UncertainVectors(z, covariance).pack()
        return packed.astype(S.dtype, copy=False)

    def _encode(self, S, U, sigma=None):
        return self._posterior(S, U, sigma, 1.0)[0]

    @property
    def _n_latents(self):
        return self.loadings_.shape[1]

    @property
    def _decoder(self):
        return Decoder(self.mean_coef_, self.loadings_, self.noise_variance_)

    def _phi(self, U, dtype):
        U = self._scale_conditions(U)
        return self._mean_terms(U).astype(dtype), self._loading_terms(U).astype(dtype)

    def _frame_variance(self, phi):
        """Return how uncertain the frame of the latents is at some labels.

        It makes n stars white, whose second moments scatter by ``1 / n`` for each of
        their polynomials in the labels; half of that is in the latents.
        """
        k = self.n_components
        variance = (k + 1) / (4 * self._n_fitted) * (np.square(phi).sum(axis=1) - 1)
        return np.maximum(variance, 0)[:, None, None] * np.eye(k)

    def _posterior(self, S, U, sigma, precision):
        """Return means and covariances of z with a prior of given precision."""
        k = self._n_latents
        z, covariance = np.empty((len(S), k)), np.empty((len(S), k, k))
        dtype = np.result_type(S.dtype, self.loadings_.dtype)
        decoder = self._decoder
        for start in range(0, len(S), ROWS):
            rows = slice(start, start + ROWS)
            phi_mean, phi = self._phi(U[rows], dtype)
            residual = S[rows] - phi_mean @ decoder.mean
            missing = np.isnan(residual)
            residual[missing] = 0
            variance = None
            if sigma is not None:
                variance = np.where(missing, 1, np.square(sigma[rows]))
            likelihood = decoder.likelihood(residual, phi, variance, missing)
            z[rows], covariance[rows] = combine(*likelihood, precision)
        return z, covariance

    def _decode(self, Z, U):
        decoder, dtype = self._decoder, self.loadings_.dtype
        spectra = np.empty((len(Z), self.mean_coef_.shape[1]), dtype=dtype)
        for start in range(0, len(Z), ROWS):
            rows = slice(start, start + ROWS)
            phi_mean, phi = self._phi(U[rows], dtype)
            spectra[rows] = decoder.decode(phi_mean, phi, Z[rows].astype(dtype))
        return spectra

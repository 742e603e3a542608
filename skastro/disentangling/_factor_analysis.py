"""Factor analysis whose loadings depend on known labels."""

from numbers import Integral, Real

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state

from ..utils.arrays import power_of_two
from ..utils.progress import LongFit, Progress, long_fit
from ..utils.sklearn_names import Interval, StrOptions, _fit_context
from ..utils.warn import warn
from ._conditioned import ConditionedTransformer
from ._factor_analysis_em import FREE_PASSES, ConditionalEM
from ._factor_analysis_inference import FactorInference
from ._factor_analysis_labels import (
    STEPS,
    STEPS_IN_PASS,
    LabelPrior,
    UncertainLabels,
)
from ._polynomials import OrthonormalPolynomials, count

#: What "auto" allows.
MAX_DEGREE, ROWS_PER_POLYNOMIAL = 6, 40
MAX_COMPONENTS, ROWS_PER_COMPONENT = 20, 10
#: Stars for each coefficient of a bin, for loadings of degree 1, 2 and 3. Responses
#: change with the labels mostly in proportion: that is worth more errors than the rest.
ROWS_PER_COEFFICIENT = 5, 10, 10

#: Stars whose scores are looked at, if all have labels that are not exact.
FEW = 200
#: Times `tol` that latents may change in the last pass without a warning.
UNSETTLED = 10


class ConditionalFactorAnalysis(LongFit, FactorInference):
    r"""Disentangle by factor analysis given the labels.

    A spectrum x of a star with labels u is

    .. math:: x = \mu(u) + L(u)^T z + \epsilon, \quad z \sim N(0, I), \quad
        \epsilon_j \sim N(0, \psi_j + \sigma_j^2)

    with :math:`\mu` and the loadings L polynomials of u in each bin. The latent
    variables z are independent of u by construction, up to second moments, and hold
    what spectra of equal labels differ in. Bins and labels that are NaN are missing,
    and both may have errors.

    The likelihood leaves rotations of z that change with u undetermined. Those are
    chosen that make the loadings the simplest functions of u, of fewest terms: an
    abundance is to have the same axis at all labels. This needs no twins.

    Parameters
    ----------
    condition_columns : int, slice, str, list, mask or callable, default=None
        The columns of X that hold known labels, as `ColumnTransformer` takes columns:
        ``slice(-3, None)`` for three labels at the end. The others are the bins of the
        spectrum. None if labels are given beside X, as ``conditions``.
    n_components : int or "auto", default="auto"
        Number of latent variables. A few more than there are abundances do no harm.
        "auto" is 20; of spectra of fewer bins, as many; and one for every 10 stars at
        most.
    degree : int or "auto", default="auto"
        Degree of the polynomials of the mean spectrum; what too low a degree leaves is
        taken for chemistry. "auto" is the highest, from 1 to 6, of which there are at
        least 40 stars for each polynomial.
    loading_degree : int or "auto", default="auto"
        Degree of the polynomials of the loadings. Coefficients that the stars do not
        determine well put noise in all latents. "auto" is the highest, from 0 to 3, of
        which there are at least 10 stars for each coefficient of a bin, or 5 if it is
        1: with three labels and 20 latents, 3 from about 5,000 stars on, 2 from about
        2,500 and 1 from 450. A bin's mean has a coefficient for each polynomial of
        `degree`, and its loadings have one for each of theirs and each latent.
    max_iter : int, default=20
        Passes over the data at most.
    tol : float, default=0.01
        The fit ends when latent variables change by less than this in a pass, root
        mean square, in units of the population's scatter. `max_iter` passes often end
        it before, when all that is learned is learned; it is a warning if they still
        change by more than ten times `tol`. 0 makes exactly `max_iter` passes.
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
        1 shows a progress bar, and logs how many of the stars that `transform` is given
        are out of what was learned.
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
    lowest_score_ : float
        What counts as learned: a star's log-likelihood less its expectation, in
        standard deviations, that all but 1 in 1,000 stars of the fit exceed. Of other
        stars the expectation is lower by what a fit gains on its own.
    degree_ : int
        Degree of the mean spectrum.
    n_components_ : int
        Number of latent variables.
    loading_degree_ : int
        Degree of the loadings.
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

    Labels that are missing or have errors are integrated over. What they may be is told
    by a Gaussian of all stars' labels and by the spectrum itself, which often knows the
    temperature better than any catalogue: nodes of a quadrature are placed about the
    peak of both, and weighted by the exact likelihood of the spectrum there. A fit with
    such stars begins with the others, if these are enough, and places nodes anew in
    each pass; the cost of a pass grows with the number of nodes, 5 for one uncertain
    label of a star, 9 and 19 for two and three. Errors of a few per cent of a label's
    range are nothing to good spectra. Of much larger ones of all stars, not all is made
    up for: some is taken for chemistry.

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
    ...     slice(-3, None), n_components=5, max_iter=5, tol=0, random_state=0
    ... )
    >>> model.fit_transform(X).shape
    (800, 5)
    """

    _parameter_constraints: dict = {
        **ConditionedTransformer._condition_constraints,
        "n_components": [
            Interval(Integral, 1, None, closed="left"),
            StrOptions({"auto"}),
        ],
        "degree": [
            Interval(Integral, 1, None, closed="left"),
            StrOptions({"auto"}),
        ],
        "loading_degree": [
            Interval(Integral, 0, None, closed="left"),
            StrOptions({"auto"}),
        ],
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
        n_components="auto",
        degree="auto",
        loading_degree="auto",
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

    @long_fit
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, sigma=None, conditions=None, condition_sigma=None):
        """Fit the mean, the loadings and the noise.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Spectra, with labels among the columns or beside them. NaN marks a missing
            bin or label. Stars without any bin are left out.
        y : ignored
            There for scikit-learn.
        sigma : array-like of shape (n_samples, n_features), default=None
            1-sigma errors of the entries of X, or of its spectra alone. Those of labels
            are used: 0 stands for an exact one, infinity for one that is not known.
        conditions : array-like of shape (n_samples, n_conditions), default=None
            Labels, if they are not columns of X: numbers, NaN where missing; or kinds,
            such as names of fibres, which may not be missing.
        condition_sigma : array-like of shape (n_samples, n_conditions) or \
                (n_conditions,), default=None
            1-sigma errors of labels, in either way that these are given.

        Returns
        -------
        self : ConditionalFactorAnalysis

        Raises
        ------
        ValueError
            If labels are constant, X says nothing, there is too little data for the
            numbers of components and polynomials, or errors do not fit.
        """
        rows = self._fit_rows(X, y, sigma, conditions, condition_sigma)
        self._unit = power_of_two(rows.S)
        S, sigma = self._in_unit(rows.S), self._in_unit(rows.sigma)
        if sigma is not None:  # sums over stars are pairwise, and so more precise
            sigma = np.asfortranarray(sigma)
        U, labels = self._fit_labels(rows)
        n, p = S.shape
        self.degree_ = self._choose_degree(U)
        self.n_components_, self.loading_degree_ = self._choose_sizes(U, p)
        if self.n_components_ > min(n, p):
            raise ValueError(
                f"`n_components`={self.n_components_} must be at most min(n_samples,"
                f" n_bins)={min(n, p)}."
            )
        self._mean_terms = OrthonormalPolynomials(self.degree_).fit(U)
        self._loading_terms = OrthonormalPolynomials(self.loading_degree_).fit(U)
        phi_mean, phi = self._terms(U)
        n_terms = phi_mean.shape[1] + self.n_components_ * phi.shape[1]
        if n_terms > n:
            raise ValueError(
                f"{n} rows do not determine the {n_terms} coefficients of a bin; lower"
                f" `n_components`={self.n_components_}, `degree`={self.degree_} or"
                f" `loading_degree`={self.loading_degree_}, or give more rows."
            )
        em = ConditionalEM(
            S,
            phi_mean,
            phi,
            sigma,
            self.n_components_,
            check_random_state(self.random_state),
            labels,
            self._terms,
        )
        last_free = min(FREE_PASSES, self.max_iter - 1)
        with Progress(
            self, self.max_iter, "conditional factor analysis", "pass"
        ) as progress:
            for n_iter in range(1, self.max_iter + 1):  # noqa: B007
                if labels is not None and n_iter > last_free:
                    em.place_nodes(STEPS if n_iter == last_free + 1 else STEPS_IN_PASS)
                change = em.step(whiten_freely=n_iter <= FREE_PASSES)
                if progress.step(change=f"{change:.2e}"):
                    break
                if change < self.tol and n_iter > FREE_PASSES:
                    break
            else:
                self._warn_of_passes(change)
        self.n_iter_ = n_iter
        self._set_decoder(em.decoder, np.broadcast_to(em.n_observed, p) == 0)
        self._n_fitted = n
        typical = em.covariance + self._frame_variance(phi)
        self.latent_metric_ = np.linalg.inv(2 * typical.mean(axis=0))
        if labels is not None:  # integrals over labels take their time
            few = np.flatnonzero(labels.certain)
            rows = rows.take(few if len(few) >= FEW else slice(FEW))
        self._note_scores(rows, em.n_fitted.mean() / n)
        return self

    def _warn_of_passes(self, change):
        if change > UNSETTLED * self.tol > 0:
            warn(
                f"EM is far from convergence after max_iter={self.max_iter} passes: in"
                f" the last one, latents changed by {change:.1e} of the population's"
                f" scatter, tol={self.tol:.1e}. Allow for more passes; or, where those"
                " do not help, for fewer n_components or lower degrees, which the stars"
                " do determine.",
                ConvergenceWarning,
            )

    def _fit_labels(self, rows):
        """Return scaled labels, and what is known of those that are not exact."""
        U = self._scale_conditions(rows.U)
        if rows.U_sigma is None and not np.isnan(U).any():
            self._label_prior = LabelPrior().fit(U, np.zeros_like(U))
            return U, None
        sigma = self._scaled_errors(rows)
        self._label_prior = LabelPrior().fit(U, sigma)
        mean, covariance = self._label_prior.given(U, sigma)
        return mean, UncertainLabels(mean, covariance)

    def _choose_degree(self, U):
        if self.degree != "auto":
            return self.degree
        allowed = [
            degree
            for degree in range(2, MAX_DEGREE + 1)
            if count(U, degree) * ROWS_PER_POLYNOMIAL <= len(U)
        ]
        return max(allowed, default=1)

    def _choose_sizes(self, U, n_bins):
        """Return the number of components, and the degree of their loadings."""
        k, degree = self.n_components, self.loading_degree
        n, n_mean = len(U), count(U, self.degree_)
        if k == "auto":
            k = min(MAX_COMPONENTS, n_bins, max(1, n // ROWS_PER_COMPONENT))
        if degree == "auto":
            allowed = [
                degree
                for degree, n_rows in enumerate(ROWS_PER_COEFFICIENT, start=1)
                if n_rows * (n_mean + k * count(U, degree)) <= n
            ]
            degree = max(allowed, default=0)
        return k, degree

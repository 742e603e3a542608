"""Labels removed by a polynomial in each bin."""

from numbers import Integral

import numpy as np
from sklearn.decomposition import PCA
from sklearn.utils import check_random_state

from ..utils.sklearn_names import Interval, _fit_context
from ._conditioned import ConditionedTransformer
from ._polynomials import OrthonormalPolynomials


class PolyDisentangler(ConditionedTransformer):
    """Disentangle by regressing away a polynomial of the labels, bin by bin.

    What the polynomial leaves of a spectrum is reduced to its principal components.
    `recast` adds all that it leaves to the polynomial at the new labels.

    Parameters
    ----------
    condition_columns : int, slice, str, list, mask or callable, default=None
        The columns of X that hold known labels, as `ColumnTransformer` takes columns:
        ``slice(-3, None)`` for three labels at the end. The others are the bins of the
        spectrum. None if labels are given beside X, as ``conditions``.
    degree : int, default=4
        Highest total degree of the polynomial.
    n_components : int, default=50
        Number of principal components of the residuals.
    random_state : int, RandomState instance or None, default=None
        For the randomised solver that `sklearn.decomposition.PCA` takes for large data.

    Attributes
    ----------
    coef_ : ndarray of shape (n_polynomials, n_bins)
        Coefficients of the orthonormal polynomials of the labels.
    components_ : ndarray of shape (n_components, n_bins)
        Orthonormal principal axes of the residuals.
    explained_variance_ratio_ : ndarray of shape (n_components,)
        Share of the residuals' variance along each.
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
        labels, and about missing bins and errors.

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
        "degree": [Interval(Integral, 1, None, closed="left")],
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
    }

    def __init__(
        self, condition_columns=None, *, degree=4, n_components=50, random_state=None
    ):
        self.condition_columns = condition_columns
        self.degree = degree
        self.n_components = n_components
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, sigma=None, conditions=None):
        """Fit polynomials and principal components.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Spectra and labels.
        y : ignored
            There for scikit-learn.

        Returns
        -------
        self : PolyDisentangler

        Raises
        ------
        ValueError
            If X holds NaN, labels are constant, or there is too little data.
        """
        S, U, sigma, _ = self._fit_rows(X, y, sigma, conditions)
        if self.n_components > min(S.shape):
            raise ValueError(
                f"`n_components`={self.n_components} must be at most min(n_samples,"
                f" n_bins)={min(S.shape)}."
            )
        self._polynomials = OrthonormalPolynomials(self.degree).fit(
            self._scale_conditions(U)
        )
        phi = self._polynomials(self._scale_conditions(U)).astype(S.dtype)
        self.coef_ = phi.T @ S / len(S)
        residuals = S - phi @ self.coef_
        pca = PCA(
            self.n_components, random_state=check_random_state(self.random_state)
        ).fit(residuals)
        # contiguous as in a copy from a file, to give the same to the last bit
        self.components_ = np.ascontiguousarray(pca.components_)
        self.explained_variance_ratio_ = pca.explained_variance_ratio_
        self._n_features_out = len(self.components_)
        self.latent_metric_ = np.eye(self._n_features_out)
        return self

    def _mean(self, U, dtype):
        phi = self._polynomials(self._scale_conditions(U)).astype(dtype)
        return phi @ self.coef_

    def _encode(self, S, U, sigma=None):
        return (S - self._mean(U, S.dtype)) @ self.components_.T

    def _decode(self, Z, U):
        return Z @ self.components_ + self._mean(U, Z.dtype)

    def _recast(self, rows, u_new):
        S, U = rows.S, rows.U
        return S - self._mean(U, S.dtype) + self._mean(u_new, S.dtype)

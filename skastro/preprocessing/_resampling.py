"""Spectra on another grid of wavelengths."""

import numbers

import numpy as np
from scipy import sparse

from ..utils.arrays import plain
from ..utils.sklearn_names import Interval, StrOptions, _fit_context
from ._air import air_to_vacuum, vacuum_to_air
from ._linear import ERRORS, apply, edges_of
from ._spectra import SpectrumTransformer, increasing


class SpectrumResampler(SpectrumTransformer):
    r"""Puts spectra on another grid of wavelengths, and conserves their flux.

    A new pixel has the mean flux density of what it covers of the old ones,
    :math:`\sum_j o_{ij} f_j / \sum_j o_{ij}`, with the widths :math:`o_{ij}` of the
    overlaps in wavelength. Pixels reach half way to their neighbours. Where less than
    `min_coverage` of a new pixel is covered by observed ones it is missing, so that
    gaps stay gaps.

    Parameters
    ----------
    wavelength : array-like of shape (n_pixels,), default=None
        Wavelengths of the pixels of X [Angstrom]; by default the pixels' numbers.
    new_wavelength : array-like of shape (n_new_pixels,), default=None
        Wavelengths of the new pixels; by default the same.
    medium, new_medium : {"vacuum", "air"}, default="vacuum"
        What either wavelengths are those of. They are converted by the index of Ciddor
        (1996), see `air_to_vacuum`.
    min_coverage : float, default=0.5
        The least share of a new pixel that must be observed.
    errors : {"effective", "marginal"}, default="effective"
        What is returned of the covariance of new pixels, which share old ones. By
        default the errors of pixels as if they were independent, which make a mean
        over many of them right: :math:`\sum_k C_{ik}` is the square of that of i. A
        finer grid than the old one so brings no precision. ``"marginal"``: the square
        roots of :math:`C_{ii}`.
    with_sigma : bool, default=False
        Whether `transform` appends the errors.

    Attributes
    ----------
    overlap_ : sparse array of shape (n_new_pixels, n_pixels)
        Shares of the new pixels that lie in the old ones.
    n_features_in_ : int
        Number of columns of X.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the columns of X, if it has names.

    Notes
    -----
    The errors take the old pixels as independent, and neglect correlations that X
    comes with. The density of flux is that per wavelength, or one without a unit,
    such as a normalised flux.

    References
    ----------
    .. [1] Carnall 2017, arXiv:1705.05165: SpectRes.
    .. [2] Ciddor 1996, Appl. Opt. 35, 1566.

    Examples
    --------
    >>> from skastro.preprocessing import SpectrumResampler
    >>> resampler = SpectrumResampler([1, 2, 3, 4], [1.5, 3.5], errors="marginal")
    >>> resampler.fit_transform([[1.0, 3.0, 5.0, 5.0]])
    array([[2., 5.]])
    >>> resampler.set_params(with_sigma=True)
    SpectrumResampler(errors='marginal', new_wavelength=[1.5, 3.5],
                      wavelength=[1, 2, 3, 4], with_sigma=True)
    >>> resampler.fit_transform([[1.0, 3.0, 5.0, 5.0]], sigma=0.1).round(3)
    array([[2.   , 5.   , 0.071, 0.071]])
    """

    _parameter_constraints = {
        "wavelength": [None, "array-like"],
        "new_wavelength": [None, "array-like"],
        "medium": [StrOptions({"vacuum", "air"})],
        "new_medium": [StrOptions({"vacuum", "air"})],
        "min_coverage": [Interval(numbers.Real, 0, 1, closed="both")],
        "errors": [ERRORS],
        "with_sigma": ["boolean"],
    }

    def __init__(
        self,
        wavelength=None,
        new_wavelength=None,
        *,
        medium="vacuum",
        new_medium="vacuum",
        min_coverage=0.5,
        errors="effective",
        with_sigma=False,
    ):
        self.wavelength = wavelength
        self.new_wavelength = new_wavelength
        self.medium = medium
        self.new_medium = new_medium
        self.min_coverage = min_coverage
        self.errors = errors
        self.with_sigma = with_sigma

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, sigma=None):
        """Find which pixels overlap; nothing is learned from the spectra.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_pixels)
            Spectra, NaN where missing; with their errors beside them, of twice as many
            columns, as steps ``with_sigma=True`` give them.
        y : None
            Ignored.
        sigma : array-like of shape (n_samples, n_pixels), default=None
            1-sigma errors; or one for all, or one for each pixel.

        Returns
        -------
        self : SpectrumResampler
            Fitted estimator.

        Raises
        ------
        ValueError
            If X has another number of columns than `wavelength`, wavelengths do not
            increase, or the grids do not overlap.
        """
        self._admit(X, y, sigma)
        old = new = self._wavelength
        if self.new_wavelength is not None:
            new = plain(self.new_wavelength, "new_wavelength", unit="Angstrom")
            new = np.asarray(new, dtype=np.float64)
            increasing("new_wavelength", new)
        low, high = edges_of(new)
        if self.medium != self.new_medium:
            convert = air_to_vacuum if self.medium == "vacuum" else vacuum_to_air
            low, high = convert(low), convert(high)
        self.overlap_ = overlaps(*edges_of(old), low, high)
        if not self.overlap_.nnz:
            raise ValueError(
                f"`new_wavelength`, from {new[0]:g} to {new[-1]:g}, has nothing in"
                f" common with `wavelength`, from {old[0]:g} to {old[-1]:g}; are both"
                " in Angstrom?"
            )
        return self

    def _transformed(self, flux, sigma):
        return apply(
            self.overlap_,
            flux,
            sigma,
            errors=self.errors,
            min_coverage=self.min_coverage,
        )

    def _names_out(self, names):
        prefix = type(self).__name__.lower()
        return np.array([f"{prefix}{i}" for i in range(self.overlap_.shape[0])])


def overlaps(low, high, new_low, new_high):
    """Return the shares of new pixels that lie in old ones.

    Parameters
    ----------
    low, high : ndarray of shape (n_old,)
        Edges of the old pixels, increasing.
    new_low, new_high : ndarray of shape (n_new,)
        Edges of the new ones.

    Returns
    -------
    overlaps : sparse array of shape (n_new, n_old)
    """
    first = np.searchsorted(high, new_low, side="right")
    last = np.searchsorted(low, new_high, side="left")
    counts = np.maximum(last - first, 0)
    rows = np.repeat(np.arange(len(new_low)), counts)
    starts = np.cumsum(counts) - counts
    columns = np.arange(counts.sum()) - np.repeat(starts, counts)
    columns = columns + np.repeat(first, counts)
    width = np.minimum(high[columns], new_high[rows])
    width = width - np.maximum(low[columns], new_low[rows])
    share = np.maximum(width, 0.0) / (new_high - new_low)[rows]
    shape = (len(new_low), len(low))
    return sparse.csr_array((share, (rows, columns)), shape=shape)

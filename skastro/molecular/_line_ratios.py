"""Ratios of lines in place of their intensities."""

import numpy as np

from ..utils.sklearn_names import HasMethods
from ..utils.suggestions import closest
from ._derived import DerivedModel
from ._line_lookup import find_among, molecules_of


class LineRatioModel(DerivedModel):
    """Decimal logarithms of line ratios, predicted by a model of the lines.

    Ratios do not depend on the filling factor of a single phase, nor on a calibration
    that both lines share. Ratios of one species emphasise temperature and density,
    those of two species chemistry.

    Parameters
    ----------
    model : RadexModel, RadexEmulator, ChemicalModel or MultiPhaseModel
        The model of the lines.
    ratios : sequence of (str, str)
        Numerator and denominator of each ratio, lines of ``model`` in any spelling that
        :func:`find_lines` takes. Ratios that share a line share its error, which a
        retrieval does not know: take as few as say what is to be said.

    Attributes
    ----------
    n_features_in_ : int
        Number of parameters. Defined after ``fit``.

    References
    ----------
    *Decoding Astronomical Spectra Using Machine Learning*, section 2.5.

    Examples
    --------
    >>> from skastro.molecular import LineRatioModel, RadexModel
    >>> radex = RadexModel(["CO(3-2)", "CO(6-5)"])
    >>> model = LineRatioModel(radex, [("CO(6-5)", "CO(3-2)")])
    >>> model.output_names
    ['CO(6-5)/CO(3-2)']
    >>> theta = [[150.0, 5e5, 1e19, 50.0, 1.0], [150.0, 5e5, 1e19, 50.0, 0.1]]
    >>> model.predict(theta).round(3)
    array([[0.053],
           [0.053]])
    >>> model.transform([5923.0, 6699.0], [592.3, 669.9])
    (array([0.0534...]), array([0.0614...]))
    """

    _parameter_constraints: dict = {
        "model": [HasMethods(["predict"])],
        "ratios": ["array-like"],
    }

    #: Unit of the prediction.
    output_unit = "dex"
    #: Logarithms of ratios have any sign.
    nonnegative_output = False

    def __init__(self, model, ratios):
        self.model = model
        self.ratios = ratios

    @property
    def parameter_names(self):
        """Names of the columns of ``theta``, in order."""
        return self.model.parameter_names

    @property
    def parameter_units(self):
        """Units of the columns of ``theta``, as astropy spells them."""
        return self.model.parameter_units

    @property
    def output_names(self):
        """Names of the columns of the prediction, such as ``"CO(6-5)/CO(3-2)"``."""
        lines = list(self.model.output_names)
        return [f"{lines[above]}/{lines[below]}" for above, below in self._pairs()]

    def _pairs(self):
        """Return where each numerator and denominator stand among the lines."""
        lines, molecules = list(self.model.output_names), molecules_of(self.model)
        if isinstance(self.ratios, str) or not np.iterable(self.ratios):
            raise TypeError(
                "`ratios` must be a sequence of pairs of line names, such as"
                f' [("CO(6-5)", "CO(3-2)")], got {self.ratios!r}.'
            )
        pairs = []
        for pair in self.ratios:
            if isinstance(pair, str) or not np.iterable(pair) or len(pair) != 2:
                raise ValueError(
                    "`ratios` must hold pairs of different line names, got"
                    f" {pair!r} among {self.ratios!r}."
                )
            positions = [find_among(name, lines, molecules) for name in pair]
            for name, position in zip(pair, positions, strict=True):
                if position is None:
                    raise ValueError(
                        f"`ratios` has the line {name!r}, but `model` only {lines}."
                        + closest(str(name), lines)
                    )
            if positions[0] == positions[1]:
                raise ValueError(
                    "`ratios` must hold pairs of different line names, got"
                    f" {pair!r}, which are both {lines[positions[0]]}."
                )
            pairs.append(positions)
        return pairs

    def _positions(self):
        """Return where numerators and where denominators stand among the lines."""
        return np.array(self._pairs()).T

    def transform(self, intensity, sigma):
        """Return the ratios of observed intensities, and their errors.

        Parameters
        ----------
        intensity : array-like of shape (n_lines,) or (n_lines, n_objects)
            Intensities of all lines of ``model``, in their order; NaN where missing.
        sigma : array-like of the same shape
            Their 1-sigma errors.

        Returns
        -------
        ratios : ndarray of shape (n_ratios,) or (n_ratios, n_objects)
            Decimal logarithms; NaN where a line is missing.
        sigma : ndarray of the same shape
            Their errors, to first order.

        Raises
        ------
        ValueError
            If an intensity is not positive, so that its logarithm says nothing.
        """
        intensity = np.asarray(intensity, dtype=float)
        sigma = np.asarray(sigma, dtype=float)
        n_lines = len(self.model.output_names)
        if intensity.shape != sigma.shape or len(intensity) != n_lines:
            raise ValueError(
                f"`intensity` and `sigma` must have a row for each of {n_lines} lines,"
                f" got shapes {intensity.shape} and {sigma.shape}."
            )
        above, below = self._positions()
        used = intensity[np.unique([above, below])]
        if (used <= 0).any():
            raise ValueError(
                "`intensity` must be positive for a ratio of it, got"
                f" {used[used <= 0][0]}; leave non-detections to a retrieval of"
                " intensities with limits."
            )
        relative = sigma / intensity / np.log(10)
        ratios = np.log10(intensity[above]) - np.log10(intensity[below])
        return ratios, np.hypot(relative[above], relative[below])

    def in_domain(self, X):
        """Whether gas lies in the range that the model of the lines has learned.

        Parameters
        ----------
        X : array-like of shape (n_models, n_parameters)
            Gas properties; see :meth:`predict`.

        Returns
        -------
        inside : ndarray of shape (n_models,), dtype bool
        """
        if hasattr(self.model, "in_domain"):
            return self.model.in_domain(X)
        return np.ones(len(self._check_theta(X)), dtype=bool)

    def predict(self, theta, return_std=False):
        """Predict line ratios.

        Parameters
        ----------
        theta : array-like of shape (n_models, n_parameters)
            Columns as in ``parameter_names``, in the units of ``parameter_units``.
        return_std : bool, default=False
            Whether to return the model's uncertainty too, to first order.

        Returns
        -------
        ratios : ndarray of shape (n_models, n_ratios)
            Decimal logarithms; NaN where a line is not in emission.
        ratios_std : ndarray of shape (n_models, n_ratios)
            Their standard deviations. Only with ``return_std=True``.
        """
        above, below = self._positions()
        if return_std:
            intensity, std = self.model.predict(theta, return_std=True)
        else:
            intensity, std = self.model.predict(theta), None
        intensity = np.where(intensity > 0, intensity, np.nan)
        logarithm = np.log10(intensity)
        ratios = logarithm[:, above] - logarithm[:, below]
        if not return_std:
            return ratios
        relative = std / intensity / np.log(10)
        return ratios, np.hypot(relative[:, above], relative[:, below])

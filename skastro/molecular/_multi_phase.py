"""Several gas phases in one beam."""

from numbers import Integral

import numpy as np

from ..parameter_space import ParameterSpace
from ..utils.sklearn_names import HasMethods, Interval
from ..utils.suggestions import closest
from ._derived import DerivedModel


class MultiPhaseModel(DerivedModel):
    """Intensities of several gas phases in one beam, added.

    Each phase has its own parameters, numbered from 1, beside those that all share;
    its filling factor is inside its own intensity, and phases do not shadow each
    other.

    Parameters
    ----------
    model : RadexModel, RadexEmulator or ChemicalModel
        The model of one phase.
    n_phases : int, default=2
        Number of phases.
    shared : sequence of str, default=("metallicity", "line_width")
        Parameters that all phases have in common; those that ``model`` does not have
        do not count.

    Attributes
    ----------
    n_features_in_ : int
        Number of parameters. Defined after ``fit``.

    See Also
    --------
    ChemicalModel : One phase with chemistry.

    References
    ----------
    *Decoding Astronomical Spectra Using Machine Learning*, section 2.4.

    Examples
    --------
    >>> from skastro.datasets import gas_prior
    >>> from skastro.molecular import MultiPhaseModel, RadexModel
    >>> one = RadexModel(["CO(3-2)", "CO(6-5)"], column_density="per line width")
    >>> two = MultiPhaseModel(one, 2)
    >>> two.parameter_names
    ['line_width', 'temperature_1', 'density_1', 'column_density_CO_1', \
'filling_factor_1', 'temperature_2', 'density_2', 'column_density_CO_2', \
'filling_factor_2']
    >>> prior = two.prior(gas_prior(["CO"]), order_by="density")
    >>> two.predict(prior.sample(5, random_state=0)).shape
    (5, 2)
    """

    _parameter_constraints: dict = {
        "model": [HasMethods(["predict"])],
        "n_phases": [Interval(Integral, 1, None, closed="left")],
        "shared": ["array-like"],
    }

    def __init__(self, model, n_phases=2, *, shared=("metallicity", "line_width")):
        self.model = model
        self.n_phases = n_phases
        self.shared = shared

    def _of_one(self):
        """Return the parameters of one phase, and whether each is shared."""
        if isinstance(self.shared, str):
            raise TypeError(f"`shared` must be a sequence, got {self.shared!r}.")
        names = list(self.model.parameter_names)
        return names, [name in self.shared for name in names]

    def _columns(self):
        """Return, for each phase, the columns that its model takes."""
        names, shared = self._of_one()
        n_shared, n_own = sum(shared), len(names) - sum(shared)
        columns = []
        for phase in range(self.n_phases):
            common = iter(range(n_shared))
            own = iter(range(n_shared + phase * n_own, n_shared + (phase + 1) * n_own))
            columns.append([next(common if s else own) for s in shared])
        return columns

    def _spread_out(self, values):
        """Return what belongs to the parameters of one phase, for all phases."""
        _, shared = self._of_one()
        common = [v for v, s in zip(values, shared, strict=True) if s]
        own = [v for v, s in zip(values, shared, strict=True) if not s]
        return common + own * self.n_phases

    @property
    def parameter_names(self):
        """Names of the columns of ``theta``: shared ones, then phase after phase."""
        names, shared = self._of_one()
        own = [name for name, s in zip(names, shared, strict=True) if not s]
        return [name for name, s in zip(names, shared, strict=True) if s] + [
            f"{name}_{phase}" for phase in range(1, self.n_phases + 1) for name in own
        ]

    @property
    def parameter_units(self):
        """Units of the columns of ``theta``, as astropy spells them."""
        return self._spread_out(self.model.parameter_units)

    @property
    def output_names(self):
        """Names of the columns of the prediction: the lines."""
        return self.model.output_names

    @property
    def nonnegative_output(self):
        """Whether no line can be in absorption, which a retrieval should know."""
        return getattr(self.model, "nonnegative_output", False)

    def prior(self, space, *, order_by=None):
        """Return the prior of all phases, given that of one.

        Parameters
        ----------
        space : ParameterSpace
            Prior of the parameters of one phase.
        order_by : str, default=None
            Parameter by which phases are put in order, lowest first, such as
            ``"density"``. Without an order the posterior is the same under exchange
            of phases, and its summaries mean nothing.

        Returns
        -------
        prior : ParameterSpace
            The same distribution for each phase. The evidence does not depend on the
            order.

        Raises
        ------
        ValueError
            If ``space`` has other parameters than the model of a phase, or
            ``order_by`` is none that phases have of their own.
        """
        names, shared = self._of_one()
        if sorted(space.names) != sorted(names):
            raise ValueError(
                f"`space` must have the parameters of one phase, {names}, got"
                f" {space.names}."
            )
        own = [name for name, s in zip(names, shared, strict=True) if not s]
        if order_by is not None and order_by not in own:
            raise ValueError(
                f"`order_by` must be a parameter that each phase has of its own, {own},"
                f" got {order_by!r}." + closest(str(order_by), own)
            )
        parameters = {n: space[n] for n, s in zip(names, shared, strict=True) if s}
        for phase in range(1, self.n_phases + 1):
            for name in own:
                label = space[name].label
                parameters[f"{name}_{phase}"] = space[name].relabel(
                    None if label is None else f"{label} ({phase})"
                )
        ordered = None
        if order_by is not None and self.n_phases > 1:
            phases = range(1, self.n_phases + 1)
            ordered = [tuple(f"{order_by}_{phase}" for phase in phases)]
        return ParameterSpace(parameters, ordered=ordered)

    def in_domain(self, X):
        """Whether every phase lies in the range that its model has learned.

        Parameters
        ----------
        X : array-like of shape (n_models, n_parameters)
            Gas properties; see :meth:`predict`.

        Returns
        -------
        inside : ndarray of shape (n_models,), dtype bool
        """
        theta = self._check_theta(X)
        inside = np.ones(len(theta), dtype=bool)
        if hasattr(self.model, "in_domain"):
            inside = self.model.in_domain(self._stack(theta))
            inside = inside.reshape(self.n_phases, len(theta)).all(axis=0)
        return inside

    def _stack(self, theta):
        """Return the phases of all models below each other."""
        return np.concatenate([theta[:, columns] for columns in self._columns()])

    def predict(self, theta, return_std=False):
        """Predict line intensities.

        Parameters
        ----------
        theta : array-like of shape (n_models, n_parameters)
            Columns as in ``parameter_names``, in the units of ``parameter_units``.
        return_std : bool, default=False
            Whether to return the models' uncertainty too. Phases share one emulator,
            so its errors are taken to add up.

        Returns
        -------
        intensity : ndarray of shape (n_models, n_lines)
            Velocity-integrated intensity, the sum over phases [K km/s].
        intensity_std : ndarray of shape (n_models, n_lines)
            Its standard deviation. Only with ``return_std=True``.

        Raises
        ------
        ValueError
            As the model of a phase.
        """
        theta = self._check_theta(theta)
        shape = (self.n_phases, len(theta), len(self.output_names))
        if not return_std:
            return self.model.predict(self._stack(theta)).reshape(shape).sum(axis=0)
        intensity, std = self.model.predict(self._stack(theta), return_std=True)
        return intensity.reshape(shape).sum(axis=0), std.reshape(shape).sum(axis=0)

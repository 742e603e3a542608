"""Radiation around a gas, and dust within it."""

from dataclasses import dataclass
from numbers import Real
from typing import ClassVar, NamedTuple

import numpy as np

from ..utils.arrays import refuse_units
from ._constants import GHZ_TO_KELVIN, INTENSITY_OF_A_PHOTON


class Surroundings(NamedTuple):
    """Photons at the lines of a species, as occupation numbers of their modes.

    Each is of shape (n_lines,), or of shape (n_models, n_lines).
    """

    #: of the radiation that excites
    pumping: np.ndarray
    #: of the radiation against which lines are seen
    behind: np.ndarray
    #: optical depth of dust within the source; None without
    dust_depth: np.ndarray | None = None
    #: of black-body radiation of the dust
    dust: np.ndarray | None = None

    def rows(self, index):
        """Return those of some of the models."""
        return Surroundings(
            *(v[index] if np.ndim(v) == 2 else v for v in self),
        )


def black_body(frequency, temperature):
    """Return the occupation number of black-body radiation."""
    with np.errstate(over="ignore"):
        return 1.0 / np.expm1(GHZ_TO_KELVIN * frequency / temperature)


class _Source:
    """What fields and dust share: values that are numbers, or parameters."""

    _units: ClassVar[dict] = {}
    _positive: ClassVar[tuple] = ("temperature",)
    _brighter: ClassVar[str] = "a brighter one has a higher temperature"

    def __post_init__(self):
        kind = type(self).__name__
        for key in self._units:
            value = getattr(self, key)
            if isinstance(value, str) and value == "free":
                continue
            refuse_units(value, key, self._units[key] or "no unit")
            if not isinstance(value, Real) or not np.isfinite(value):
                raise ValueError(
                    f'`{key}` of {kind} must be a number or "free", got {value!r}.'
                )
            if value < 0 or (value == 0 and key in self._positive):
                least = "positive" if key in self._positive else "at least 0"
                raise ValueError(f"`{key}` of {kind} must be {least}, got {value!r}.")
            if key == "dilution" and value > 1:
                raise ValueError(
                    f"`dilution` of {kind} must be at most 1, the part of the sky that"
                    f" it fills, got {value!r}; {self._brighter}."
                )
        if hasattr(self, "frequency") and not isinstance(self, TabulatedField):
            frequency = self.frequency
            number = isinstance(frequency, Real) and not isinstance(frequency, bool)
            if not (number and np.isfinite(frequency) and frequency > 0):
                raise ValueError(
                    f"`frequency` of {kind} must be positive, a number in GHz, got"
                    f" {frequency!r}."
                )
        if not isinstance(self.name, str) or not self.name:
            raise ValueError(f"`name` of {kind} must be a word, got {self.name!r}.")

    @property
    def parameters(self):
        """Names of the free parameters and their units."""
        return {
            f"{self.name}_{key}": unit
            for key, unit in self._units.items()
            if isinstance(getattr(self, key), str)
        }

    def _value(self, key, gas):
        """Return a number, or a column of what a parameter is in each model."""
        value = getattr(self, key)
        if isinstance(value, str):
            return gas[f"{self.name}_{key}"][:, None]
        return value

    def _depth(self, frequency, gas):
        """Return the optical depth of dust at frequencies [GHz], a power law."""
        relative = frequency / self.frequency
        return self._value("optical_depth", gas) * relative ** self._value("beta", gas)


@dataclass(frozen=True)
class BlackBody(_Source):
    """A diluted black body, as a radiation field of :class:`RadexModel`.

    Parameters
    ----------
    temperature : float or "free"
        Temperature [K].
    dilution : float or "free", default=1.0
        Factor by which it is fainter than a black body, at most 1: the part of the
        sky, seen by the gas, that it fills.
    name : str, default="radiation"
        Prefix of the parameters that are free, such as ``radiation_temperature``.
    behind : bool, default=True
        Whether lines are seen against it too; else, as a star beside the gas, it only
        excites.

    Examples
    --------
    >>> from skastro.molecular import BlackBody, RadexModel
    >>> star = BlackBody(4e4, dilution="free", name="star", behind=False)
    >>> RadexModel(["CO(3-2)"], radiation=[star]).parameter_names[:3]
    ['temperature', 'density', 'star_dilution']
    """

    temperature: float | str
    dilution: float | str = 1.0
    name: str = "radiation"
    behind: bool = True

    _units: ClassVar[dict] = {"temperature": "K", "dilution": ""}

    def _occupation(self, frequency, gas):
        """Return the occupation number at frequencies [GHz]."""
        photons = black_body(frequency, self._value("temperature", gas))
        return self._value("dilution", gas) * photons


@dataclass(frozen=True)
class ModifiedBlackBody(_Source):
    r"""Radiation of dust outside the gas, as a radiation field of :class:`RadexModel`.

    .. math:: I_\nu = W \left(1 - e^{-\tau_\nu}\right) B_\nu(T), \quad
       \tau_\nu = \tau_0 (\nu / \nu_0)^\beta.

    Parameters
    ----------
    temperature : float or "free"
        Temperature of the dust [K].
    optical_depth : float or "free"
        Its optical depth :math:`\tau_0` at ``frequency``.
    frequency : float
        The frequency :math:`\nu_0` [GHz].
    beta : float or "free", default=1.8
        Exponent of the optical depth.
    dilution : float or "free", default=1.0
        Dilution :math:`W`, at most 1.
    name : str, default="dust_radiation"
        Prefix of the parameters that are free, such as ``dust_radiation_temperature``.
    behind : bool, default=True
        As for :class:`BlackBody`.

    See Also
    --------
    Dust : Dust within the gas.
    """

    temperature: float | str
    optical_depth: float | str
    frequency: float
    beta: float | str = 1.8
    dilution: float | str = 1.0
    name: str = "dust_radiation"
    behind: bool = True

    _units: ClassVar[dict] = {
        "temperature": "K",
        "optical_depth": "",
        "beta": "",
        "dilution": "",
    }

    def _occupation(self, frequency, gas):
        """Return the occupation number at frequencies [GHz]."""
        photons = black_body(frequency, self._value("temperature", gas))
        emissivity = -np.expm1(-self._depth(frequency, gas))
        return self._value("dilution", gas) * emissivity * photons


@dataclass(frozen=True, eq=False)
class TabulatedField(_Source):
    """A table of intensities, as a radiation field of :class:`RadexModel`.

    Parameters
    ----------
    frequency : array-like of shape (n_frequencies,)
        Frequencies [GHz], increasing. They must cover all lines of the model's
        species, which all take part in the excitation.
    intensity : array-like of shape (n_frequencies,)
        Mean intensity over all directions [W m^-2 Hz^-1 sr^-1], positive; its
        logarithm is interpolated linearly in that of the frequency.
    dilution : float or "free", default=1.0
        Factor of the whole table, at most 1.
    name : str, default="table"
        Prefix of the parameter that may be free, ``table_dilution``.
    behind : bool, default=True
        As for :class:`BlackBody`.
    """

    frequency: object
    intensity: object
    dilution: float | str = 1.0
    name: str = "table"
    behind: bool = True

    _units: ClassVar[dict] = {"dilution": ""}
    _brighter: ClassVar[str] = "a brighter one has a table of higher intensities"

    def __post_init__(self):
        super().__post_init__()
        for key, unit in (("frequency", "GHz"), ("intensity", "W m^-2 Hz^-1 sr^-1")):
            refuse_units(getattr(self, key), key, unit)
        frequency, intensity = self._table()
        if frequency.ndim != 1 or frequency.shape != intensity.shape:
            raise ValueError(
                "`frequency` and `intensity` of TabulatedField must be of one length,"
                f" got shapes {frequency.shape} and {intensity.shape}."
            )
        if len(frequency) < 2 or not (np.diff(frequency) > 0).all():
            raise ValueError(
                "`frequency` of TabulatedField must have two or more values that"
                " increase [GHz]."
            )
        for key, values in (("frequency", frequency), ("intensity", intensity)):
            wrong = ~(np.isfinite(values) & (values > 0))
            if wrong.any():
                raise ValueError(
                    f"`{key}` of TabulatedField must be positive and finite, got"
                    f" {values[wrong][0]}."
                )

    def _table(self):
        return (
            np.asarray(self.frequency, dtype=float),
            np.asarray(self.intensity, dtype=float),
        )

    def _occupation(self, frequency, gas):
        """Return the occupation number at frequencies [GHz]."""
        own, intensity = self._table()
        # ends that are lines themselves may differ by rounding
        outside = (frequency < own[0] * (1 - 1e-6)) | (frequency > own[-1] * (1 + 1e-6))
        if outside.any():
            raise ValueError(
                f"The table of the radiation field {self.name!r} covers {own[0]:g} to"
                f" {own[-1]:g} GHz, but the lines of the species, which all take part"
                f" in its excitation, are at {frequency.min():g} to"
                f" {frequency.max():g} GHz; extend the table."
            )
        logarithm = np.interp(np.log(frequency), np.log(own), np.log(intensity))
        photons = np.exp(logarithm) / (INTENSITY_OF_A_PHOTON * frequency**3)
        return self._value("dilution", gas) * photons


@dataclass(frozen=True)
class Dust(_Source):
    r"""Dust within the gas, which absorbs and emits at the lines.

    Its optical depth through the source is
    :math:`\tau_\nu = \tau_0 (\nu / \nu_0)^\beta`, its source function that of a black
    body.

    Parameters
    ----------
    temperature : float or "free"
        Temperature of the dust [K].
    optical_depth : float or "free"
        Its optical depth :math:`\tau_0` at ``frequency``.
    frequency : float
        The frequency :math:`\nu_0` [GHz].
    beta : float or "free", default=1.8
        Exponent of the optical depth.
    name : str, default="dust"
        Prefix of the parameters that are free, such as ``dust_temperature``.

    See Also
    --------
    ModifiedBlackBody : Radiation of dust outside the gas.

    Examples
    --------
    >>> from skastro.molecular import Dust, RadexModel
    >>> dust = Dust("free", 0.1, 345.0)
    >>> RadexModel(["CO(3-2)"], dust=dust).parameter_names[:3]
    ['temperature', 'density', 'dust_temperature']
    """

    temperature: float | str
    optical_depth: float | str
    frequency: float
    beta: float | str = 1.8
    name: str = "dust"

    _units: ClassVar[dict] = {"temperature": "K", "optical_depth": "", "beta": ""}

    def _occupation(self, frequency, gas):
        """Return the occupation number within it, at frequencies [GHz]."""
        return black_body(frequency, self._value("temperature", gas))


def source_parameters(radiation, dust):
    """Return the free parameters of fields and dust, and their units.

    Parameters
    ----------
    radiation : sequence of fields or None
        Radiation fields.
    dust : Dust or None
        Dust within the gas.

    Returns
    -------
    parameters : dict of str to str

    Raises
    ------
    TypeError
        If they are something else.
    ValueError
        If two parameters have one name.
    """
    kinds = (BlackBody, ModifiedBlackBody, TabulatedField)
    if radiation is not None:
        if isinstance(radiation, kinds) or not np.iterable(radiation):
            raise TypeError(
                "`radiation` must be a sequence of radiation fields, such as"
                f" [BlackBody(40)], got {radiation!r}."
            )
        for field in radiation:
            if not isinstance(field, kinds):
                names = ", ".join(kind.__name__ for kind in kinds)
                raise TypeError(
                    f"`radiation` must hold radiation fields ({names}), got {field!r}."
                )
    if dust is not None and not isinstance(dust, Dust):
        raise TypeError(f"`dust` must be a Dust or None, got {dust!r}.")
    parameters = {}
    for source in [*(radiation or ()), *([] if dust is None else [dust])]:
        for name, unit in source.parameters.items():
            if name in parameters:
                raise ValueError(
                    f"Two sources of radiation have a parameter {name!r}; give one of"
                    " them another `name`."
                )
            parameters[name] = unit
    return parameters


def surroundings(line_temperatures, background_temperature, radiation, dust, gas):
    """Return the photons at the lines of a species.

    Parameters
    ----------
    line_temperatures : ndarray of shape (n_lines,)
        Energies of the lines [K].
    background_temperature : float or None
        Temperature of the black body behind everything [K].
    radiation : sequence of fields or None
        Fields beside it, which are added.
    dust : Dust or None
        Dust within the gas.
    gas : dict of str to ndarray
        The free parameters.

    Returns
    -------
    surroundings : Surroundings
    """
    if background_temperature is None:
        pumping = np.zeros_like(line_temperatures)
    else:
        with np.errstate(over="ignore"):
            pumping = 1.0 / np.expm1(line_temperatures / background_temperature)
    behind = pumping
    frequency = line_temperatures / GHZ_TO_KELVIN
    for field in radiation or ():
        photons = field._occupation(frequency, gas)
        pumping = pumping + photons
        if field.behind:
            behind = behind + photons
    if dust is None:
        return Surroundings(pumping, behind)
    return Surroundings(
        pumping, behind, dust._depth(frequency, gas), dust._occupation(frequency, gas)
    )

"""Priors of the properties of gas, for the models of its lines."""

from ..parameter_space import LogUniform, ParameterSpace, Uniform
from ..utils.suggestions import closest

#: Column density per line width, thesis Table 2.2 [cm^-2 / (km/s)].
_COLUMN_RANGES = {
    "CO": (1e13, 1e19),
    "HCN": (1e9, 1e17),
    "HCO+": (1e8, 1e15),
    "CS": (1e10, 1e18),
}

#: The same where abundances follow from chemistry: abundances of the UCLCHEM grid,
#: with A_V of 1 to 100 mag and line widths of 100 to 1 km/s.
_CHEMICAL_COLUMN_RANGES = {
    "CO": (1e11, 3e20),
    "HCN": (3e6, 3e17),
    "HCO+": (1e6, 1e15),
    "CS": (1e7, 3e18),
}

#: Some of the others, not of the thesis: from trace amounts to what thick clouds have.
_OTHER_COLUMN_RANGES = {
    "C": (1e13, 1e18),
    "C+": (1e13, 1e18),
    "O": (1e13, 1e19),
    "CN": (1e9, 1e17),
    "OH": (1e9, 1e17),
}

#: All others.
_ANY_COLUMN_RANGE = (1e9, 1e18)

#: Line widths of the thesis [km/s].
_LINE_WIDTHS = (1, 100)

_COLUMN = "column_density_"

#: Priors of all parameters but columns and those of radiation and dust.
_PRIORS = {
    "temperature": Uniform(10, 200, "K", label=r"$T_\mathrm{kin}$"),
    "density": LogUniform(1e4, 1e6, "cm-3", label=r"$n(\mathrm{H}_2)$"),
    "density_ortho_H2": LogUniform(1e3, 1e6, "cm-3", label=r"$n(o\mathrm{H}_2)$"),
    "density_para_H2": LogUniform(1e3, 1e6, "cm-3", label=r"$n(p\mathrm{H}_2)$"),
    "density_H": LogUniform(1, 1e6, "cm-3", label=r"$n(\mathrm{H})$"),
    "density_He": LogUniform(1e3, 2e5, "cm-3", label=r"$n(\mathrm{He})$"),
    "density_H+": LogUniform(1e-3, 1e3, "cm-3", label=r"$n(\mathrm{H}^+)$"),
    "density_e": LogUniform(1e-3, 1e3, "cm-3", label=r"$n(e)$"),
    "electron_fraction": LogUniform(1e-8, 1e-3, label=r"$x(e)$"),
    "ortho_para_ratio": Uniform(0, 3, label=r"$\mathrm{o/p}$"),
    "metallicity": Uniform(0.2, 2, label=r"$m_Z$"),
    "visual_extinction": Uniform(1, 100, "mag", label=r"$A_V$"),
    "radiation_field": LogUniform(1, 1000, label=r"$\chi$"),
    "ionisation_rate": LogUniform(1, 1000, label=r"$\zeta$"),
    "line_width": Uniform(*_LINE_WIDTHS, "km / s", label=r"$\Delta v$"),
    "filling_factor": Uniform(0, 1, label=r"$f$"),
}


def gas_prior(
    species=("CO", "HCN", "HCO+", "CS"), *, column_densities="free", model=None
):
    """Prior of the properties of one gas phase, as the thesis has it.

    Parameters
    ----------
    species : sequence of str, default=("CO", "HCN", "HCO+", "CS")
        Whose column densities are parameters; without a ``model``, which has its own.
    column_densities : {"free", "chemical"}, default="free"
        Their range: that of the thesis, where they are free, or the wider one that
        follows from :func:`chemical_prior`, as the design of a
        :class:`~skastro.molecular.RadexEmulator` inside a
        :class:`~skastro.molecular.ChemicalModel`.
    model : RadexModel, RadexEmulator or another model of one phase, default=None
        Whose parameters there are, in its units: column densities of its species, in
        total or per line width; densities of other partners, an electron fraction,
        free values of radiation fields and dust.

    Returns
    -------
    prior : ParameterSpace
        Thesis, Table 2.2: temperature, density, a column density for each species,
        line width and filling factor. Without a ``model`` columns are *per line
        width*, as :class:`~skastro.molecular.RadexModel` takes them with
        ``column_density="per line width"``.

    Raises
    ------
    ValueError
        If there is no range for a species or for a parameter of ``model``.
    TypeError
        If ``species`` or ``model`` is something else.

    Notes
    -----
    Table 2.2 and the text of the thesis disagree on the column densities of CS and
    HCO+, uniform in the one and log-uniform in the other; they are log-uniform here.

    Total column densities have the range that those of the table have at line widths
    of 1 to 100 km/s: the highest is 100 times that per line width, or, with
    ``"chemical"``, which are columns of A_V of 1 to 100 mag, the lowest is.

    What is not of the thesis has a wide range, to be narrowed to what is known: any
    other species 1e9 to 1e18 cm^-2 per km/s, a :class:`~skastro.molecular.BlackBody`
    2.73 to 1e5 K, dust 10 to 100 K, whatever their names.

    Examples
    --------
    >>> from skastro.datasets import gas_prior
    >>> gas_prior(["CO"]).names
    ['temperature', 'density', 'column_density_CO', 'line_width', 'filling_factor']

    Of a model:

    >>> from skastro.molecular import RadexModel
    >>> radex = RadexModel(["CN(1_1.5-0_0.5)"], partners=("H2", "e"))
    >>> prior = gas_prior(model=radex)
    >>> prior["column_density_CN"]
    LogUniform(1e+09, 1e+19, unit='cm-2')

    With a narrower range of one of them:

    >>> from skastro.parameter_space import LogUniform, ParameterSpace
    >>> electrons = LogUniform(0.1, 10, "cm-3")
    >>> prior = ParameterSpace(prior.parameters | {"density_e": electrons})
    """
    if column_densities not in ("free", "chemical"):
        raise ValueError(
            '`column_densities` must be "free" or "chemical", got'
            f" {column_densities!r}."
        )
    chemical = column_densities == "chemical"
    if model is not None:
        return _prior_of(model, chemical)
    ranges = _CHEMICAL_COLUMN_RANGES if chemical else _COLUMN_RANGES
    if isinstance(species, str) or hasattr(species, "parameter_names"):
        raise TypeError(
            "`species` must be a sequence of names, or give a model of gas as `model`,"
            f" got {species!r}."
        )
    unknown = [name for name in species if name not in ranges]
    if unknown:
        raise ValueError(
            f"`species` has {unknown}, without a range in Table 2.2; known are"
            f" {list(ranges)}. gas_prior(model=...) has all species of a model."
        )
    columns = {
        f"{_COLUMN}{name}": _column(name, "cm-2 km-1 s", chemical) for name in species
    }
    names = ["temperature", "density", *columns, "line_width", "filling_factor"]
    return ParameterSpace({name: (_PRIORS | columns)[name] for name in names})


def chemical_prior(*, model=None):
    """Prior of one gas phase whose abundances follow from chemistry.

    Parameters
    ----------
    model : ChemicalModel, default=None
        Whose parameters there are: beside those of the thesis whatever its radiative
        transfer takes, with ranges as for :func:`gas_prior`.

    Returns
    -------
    prior : ParameterSpace
        Thesis, Table 2.2: temperature, density, metallicity [solar], visual
        extinction, radiation field [Draine], cosmic-ray ionisation rate
        [1.3e-17 s^-1], line width and filling factor.

    Raises
    ------
    ValueError
        If there is no range for a parameter of ``model``.
    TypeError
        If ``model`` is something else.

    Notes
    -----
    Table 2.2 and the text of the thesis disagree on the ionisation rate, uniform in
    the one and log-uniform in the other, as here, and on the lowest metallicity, 0 or
    0.2; it is 0.2 here.

    Examples
    --------
    >>> from skastro.datasets import chemical_prior
    >>> chemical_prior()["metallicity"].bounds
    (0.2, 2.0)
    """
    if model is not None:
        return _prior_of(model, chemical=True)
    names = ["temperature", "density", "metallicity", "visual_extinction"]
    names += ["radiation_field", "ionisation_rate", "line_width", "filling_factor"]
    return ParameterSpace({name: _PRIORS[name] for name in names})


def _prior_of(model, chemical):
    """Return the prior of all parameters of a model."""
    if not hasattr(model, "parameter_names"):
        raise TypeError(
            "`model` must be a model of gas itself, such as a RadexModel, whose"
            f" parameters have names and units, got {model!r}."
        )
    sources = _of_sources(model)
    priors = {}
    for name, unit in zip(model.parameter_names, model.parameter_units, strict=True):
        species = name.removeprefix(_COLUMN)
        if species != name and unit in ("cm-2", "cm-2 km-1 s"):
            priors[name] = _column(species, unit, chemical)
        elif name in _PRIORS | sources:
            priors[name] = (_PRIORS | sources)[name]
        else:
            known = [*_PRIORS, *sources, f"{_COLUMN}…"]
            raise ValueError(
                f"`model` has a parameter {name!r}, without a range here; known are"
                f" {known}. The prior of several phases is the `prior` method of"
                " MultiPhaseModel, of that of one; for others give a ParameterSpace of"
                " your own." + closest(name, known)
            )
    return ParameterSpace(priors)


def _column(species, unit, chemical):
    """Return the prior of a column density, in total or per line width."""
    ranges = _COLUMN_RANGES | _OTHER_COLUMN_RANGES
    if chemical:
        ranges = ranges | _CHEMICAL_COLUMN_RANGES
    lower, upper = ranges.get(species, _ANY_COLUMN_RANGE)
    label = rf"N(\mathrm{{{species.replace('+', '^+')}}})"
    if unit != "cm-2":
        return LogUniform(lower, upper, unit, label=rf"${label}/\Delta v$")
    if chemical and species in _CHEMICAL_COLUMN_RANGES:
        lower *= _LINE_WIDTHS[1]  # they are columns of all line widths already
    else:
        upper *= _LINE_WIDTHS[1]
    return LogUniform(lower, upper, unit, label=f"${label}$")


def _of_sources(model):
    """Return priors of what can be free in the radiation fields and dust of a model.

    They are told by their kind, since their names are free.
    """
    settings = model.get_params() if hasattr(model, "get_params") else {}
    sources = []
    for name, value in settings.items():
        kind = name.rpartition("__")[2]  # also of a model inside
        if kind == "radiation":
            sources += value or ()
        elif kind == "dust" and value is not None:
            sources.append(value)
    priors = {}
    for source in sources:
        name = source.name.replace("_", r"\ ")
        temperature = LogUniform(2.73, 1e5, "K", label=rf"$T_\mathrm{{{name}}}$")
        if hasattr(source, "optical_depth"):  # it is dust
            temperature = Uniform(10, 100, "K", label=temperature.label)
        own = {
            "temperature": temperature,
            "dilution": LogUniform(1e-3, 1, label=rf"$W_\mathrm{{{name}}}$"),
            "optical_depth": LogUniform(1e-4, 10, label=rf"$\tau_\mathrm{{{name}}}$"),
            "beta": Uniform(1, 2.5, label=rf"$\beta_\mathrm{{{name}}}$"),
        }
        priors |= {f"{source.name}_{key}": prior for key, prior in own.items()}
    return priors

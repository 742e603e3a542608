"""Line intensities of real and synthetic galaxies."""

import numpy as np
from sklearn.utils import Bunch

from ..parameter_space import LogUniform, ParameterSpace, Uniform
from ..utils.suggestions import closest

_LINES = ["CO(3-2)", "CO(6-5)", "HCN(4-3)", "HCO+(4-3)", "CS(7-6)"]

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

#: Other species, not of the thesis: from trace amounts to what thick clouds have.
_OTHER_COLUMN_RANGES = {
    "C": (1e13, 1e18),
    "C+": (1e13, 1e18),
    "O": (1e13, 1e19),
    "CN": (1e9, 1e17),
}

#: Parameters that a model may take beside those of Table 2.2, and their priors.
_OTHERS = {
    "density_ortho_H2": LogUniform(1e3, 1e6, "cm-3", label=r"$n(o\mathrm{H}_2)$"),
    "density_para_H2": LogUniform(1e3, 1e6, "cm-3", label=r"$n(p\mathrm{H}_2)$"),
    "density_H": LogUniform(1, 1e6, "cm-3", label=r"$n(\mathrm{H})$"),
    "density_He": LogUniform(1e3, 2e5, "cm-3", label=r"$n(\mathrm{He})$"),
    "density_H+": LogUniform(1e-3, 1e3, "cm-3", label=r"$n(\mathrm{H}^+)$"),
    "density_e": LogUniform(1e-3, 1e3, "cm-3", label=r"$n(e)$"),
    "electron_fraction": LogUniform(1e-8, 1e-3, label=r"$x(e)$"),
    "ortho_para_ratio": Uniform(0, 3, label=r"$\mathrm{o/p}$"),
    "radiation_temperature": Uniform(2.73, 100, "K", label=r"$T_\mathrm{rad}$"),
    "radiation_dilution": LogUniform(1e-3, 1, label=r"$W$"),
    "dust_radiation_temperature": Uniform(10, 100, "K", label=r"$T_\mathrm{dust}$"),
    "dust_radiation_optical_depth": LogUniform(1e-4, 10, label=r"$\tau_\mathrm{dust}$"),
    "dust_radiation_beta": Uniform(1, 2.5, label=r"$\beta$"),
    "dust_radiation_dilution": LogUniform(1e-3, 1, label=r"$W$"),
    "dust_temperature": Uniform(10, 100, "K", label=r"$T_\mathrm{dust}$"),
    "dust_optical_depth": LogUniform(1e-4, 10, label=r"$\tau_\mathrm{dust}$"),
    "dust_beta": Uniform(1, 2.5, label=r"$\beta$"),
}

_LABELS = {
    "temperature": r"$T_\mathrm{kin}$",
    "density": r"$n(\mathrm{H}_2)$",
    "line_width": r"$\Delta v$",
    "filling_factor": r"$f$",
}


def gas_prior(
    species=("CO", "HCN", "HCO+", "CS"), *, column_densities="free", parameters=None
):
    """Prior of the properties of one gas phase, as the thesis has it.

    Parameters
    ----------
    species : sequence of str, default=("CO", "HCN", "HCO+", "CS")
        Whose column densities are parameters.
    column_densities : {"free", "chemical"}, default="free"
        Their range: that of the thesis, where they are free, or the wider one that
        follows from :func:`chemical_prior`, as the design of a
        :class:`~skastro.molecular.RadexEmulator` inside a
        :class:`~skastro.molecular.ChemicalModel`.
    parameters : sequence of str, default=None
        The parameters of a model, its ``parameter_names``, in place of those that
        ``species`` have with H2 alone: densities of other partners, an electron
        fraction, free radiation fields and dust. They are not of the thesis, and
        their ranges are wide: narrow them to what is known.

    Returns
    -------
    prior : ParameterSpace
        Thesis, Table 2.2: temperature, density, a column density *per line width*
        for each species, line width and filling factor, named and in units as
        :class:`~skastro.molecular.RadexModel` takes them with
        ``column_density="per line width"``.

    Notes
    -----
    Table 2.2 and the text of the thesis disagree on the column densities of CS and
    HCO+, uniform in the one and log-uniform in the other; they are log-uniform here.

    Examples
    --------
    >>> from skastro.datasets import gas_prior
    >>> gas_prior(["CO"]).names
    ['temperature', 'density', 'column_density_CO', 'line_width', 'filling_factor']

    Of a model with more parameters:

    >>> from skastro.molecular import RadexModel
    >>> radex = RadexModel(
    ...     ["HCN(1-0)"], partners=("H2", "e"), electrons="fraction",
    ...     column_density="per line width",
    ... )
    >>> gas_prior(parameters=radex.parameter_names)["electron_fraction"]
    LogUniform(1e-08, 0.001)
    """
    if column_densities not in ("free", "chemical"):
        raise ValueError(
            '`column_densities` must be "free" or "chemical", got'
            f" {column_densities!r}."
        )
    ranges = _COLUMN_RANGES if column_densities == "free" else _CHEMICAL_COLUMN_RANGES
    if parameters is not None:
        return ParameterSpace(
            {
                name: _prior_of(name, ranges | _OTHER_COLUMN_RANGES)
                for name in parameters
            }
        )
    unknown = [name for name in species if name not in ranges]
    if unknown:
        raise ValueError(
            f"`species` has {unknown}, without a range in Table 2.2; known are"
            f" {list(ranges)}."
        )
    columns = [f"column_density_{name}" for name in species]
    names = ["temperature", "density", *columns, "line_width", "filling_factor"]
    return ParameterSpace({name: _prior_of(name, ranges) for name in names})


def _prior_of(name, columns):
    """Return the prior of one parameter."""
    species = name.removeprefix("column_density_")
    if species != name and species in columns:
        label = rf"$N(\mathrm{{{species.replace('+', '^+')}}})/\Delta v$"
        return LogUniform(*columns[species], "cm-2 km-1 s", label=label)
    known = {
        "temperature": Uniform(10, 200, "K", label=_LABELS["temperature"]),
        "density": LogUniform(1e4, 1e6, "cm-3", label=_LABELS["density"]),
        **_OTHERS,
        "line_width": Uniform(1, 100, "km / s", label=_LABELS["line_width"]),
        "filling_factor": Uniform(0, 1, label=_LABELS["filling_factor"]),
    }
    if name not in known:
        known |= {f"column_density_{species}": None for species in columns}
        raise ValueError(
            f"`parameters` has {name!r}, without a range here; known are"
            f" {list(known)}. Add it: ParameterSpace(gas_prior(...).parameters |"
            f" {{{name!r}: ...}})." + closest(name, known)
        )
    return known[name]


def chemical_prior():
    """Prior of one gas phase whose abundances follow from chemistry.

    Returns
    -------
    prior : ParameterSpace
        Thesis, Table 2.2: temperature, density, metallicity [solar], visual
        extinction, radiation field [Draine], cosmic-ray ionisation rate
        [1.3e-17 s^-1], line width and filling factor.

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
    return ParameterSpace(
        {
            "temperature": Uniform(10, 200, "K", label=_LABELS["temperature"]),
            "density": LogUniform(1e4, 1e6, "cm-3", label=_LABELS["density"]),
            "metallicity": Uniform(0.2, 2, label=r"$m_Z$"),
            "visual_extinction": Uniform(1, 100, "mag", label=r"$A_V$"),
            "radiation_field": LogUniform(1, 1000, label=r"$\chi$"),
            "ionisation_rate": LogUniform(1, 1000, label=r"$\zeta$"),
            "line_width": Uniform(1, 100, "km / s", label=_LABELS["line_width"]),
            "filling_factor": Uniform(0, 1, label=_LABELS["filling_factor"]),
        }
    )


def load_ngc1068():
    """Load the line intensities of the galaxy NGC 1068, East Knot.

    Five lines of dense gas at the east knot of the circumnuclear disc, measured with
    ALMA, with the errors of 20 % that the thesis gives them.

    Returns
    -------
    data : Bunch
        lines : list of str
            Names of the lines.
        intensity : ndarray of shape (5,)
            Velocity-integrated intensity [K km/s].
        sigma : ndarray of shape (5,)
            Their standard errors [K km/s].
        prior : ParameterSpace
            The thesis' prior of one gas phase without chemistry: :func:`gas_prior`.
        chemical_prior : ParameterSpace
            The same with chemistry: :func:`chemical_prior`.
        DESCR : str
            Description and sources.

    Notes
    -----
    The thesis leaves HCO+(4-3) out of its fits, since its chemical models fall short of
    it; a model with a free column density for each species can fit all five.

    References
    ----------
    Viti et al. (2014), A&A 570, A28. Thesis, Tables 2.2 and 2.8.

    Examples
    --------
    >>> from skastro.datasets import load_ngc1068
    >>> ngc1068 = load_ngc1068()
    >>> ngc1068.lines[0], float(ngc1068.intensity[0])
    ('CO(3-2)', 2346.28)
    """
    intensity = np.array([2346.28, 2712.70, 639.47, 251.18, 8.26])
    return Bunch(
        lines=list(_LINES),
        intensity=intensity,
        sigma=0.2 * intensity,
        prior=gas_prior(),
        chemical_prior=chemical_prior(),
        DESCR=(
            "NGC 1068, East Knot: velocity-integrated intensities [K km/s] of Viti et"
            " al. (2014), as in Table 2.8 of the thesis, with errors of 20 %."
        ),
    )


#: Abundances per hydrogen nucleus that the thesis' chemistry gives the phases below,
#: computed with UCLCHEM (Holdship et al. 2017, AJ 154, 38).
_WARM = {
    "temperature": 150.0,
    "density": 5e5,
    "metallicity": 0.9,
    "visual_extinction": 40.0,
    "radiation_field": 10.0,
    "ionisation_rate": 100.0,
    "line_width": 50.0,
    "filling_factor": 1.0,
    "log_abundance": {"CO": -3.6234, "HCN": -7.0167, "HCO+": -9.8258, "CS": -7.4933},
}
_COOL = {
    "temperature": 50.0,
    "density": 2e4,
    "metallicity": 0.9,
    "visual_extinction": 3.0,
    "radiation_field": 10.0,
    "ionisation_rate": 10.0,
    "line_width": 50.0,
    "filling_factor": 0.7,
    "log_abundance": {"CO": -3.6827, "HCN": -7.5374, "HCO+": -10.3807, "CS": -7.3579},
}
_DIRECT = {
    1: np.array([6760.0, 6905.0, 905.5, 16.1, 361.05]),
    2: np.array([2865.2, 2233.4, 271.9, 4.9, 108.5]),
}


def load_synthetic_galaxy(n_phases=1):
    """Load the synthetic observations of the thesis, of one or two gas phases.

    Parameters
    ----------
    n_phases : {1, 2}, default=1
        Which case: one warm, dense phase (thesis, Tables 2.3 and 2.4), or the same
        phase beside a cooler, more tenuous one (Tables 2.5 and 2.6).

    Returns
    -------
    data : Bunch
        lines : list of str
            Names of the lines.
        intensity : ndarray of shape (5,)
            Intensities that the thesis computed with UCLCHEM and RADEX [K km/s].
        sigma : ndarray of shape (5,)
            Errors of 20 % [K km/s].
        phases : list of dict
            The true parameters of each phase: temperature [K], density [cm^-3],
            metallicity [solar], visual_extinction [mag], radiation_field [Draine],
            ionisation_rate [1.3e-17 s^-1], line_width [km/s], filling_factor, and
            log_abundance of each species per hydrogen nucleus.
        theta : ndarray of shape (n_phases, 8)
            The same as rows for :class:`~skastro.molecular.RadexModel` with the
            lines above: total column densities are abundance · 1.6e21 cm^-2 · A_V.
        DESCR : str
            Description and sources.

    Raises
    ------
    ValueError
        If ``n_phases`` is neither 1 nor 2.

    Examples
    --------
    >>> from skastro.datasets import load_synthetic_galaxy
    >>> load_synthetic_galaxy(n_phases=2).theta.shape
    (2, 8)
    """
    if n_phases not in _DIRECT:
        raise ValueError(f"`n_phases` must be 1 or 2, got {n_phases!r}.")
    phases = [dict(_WARM)]
    if n_phases == 2:
        phases = [dict(_COOL), dict(_WARM, filling_factor=0.3)]
    theta = np.array(
        [
            [
                phase["temperature"],
                phase["density"],
                *(
                    10 ** phase["log_abundance"][name]
                    * 1.6e21
                    * phase["visual_extinction"]
                    for name in ("CO", "HCN", "HCO+", "CS")
                ),
                phase["line_width"],
                phase["filling_factor"],
            ]
            for phase in phases
        ]
    )
    intensity = _DIRECT[n_phases].copy()
    return Bunch(
        lines=list(_LINES),
        intensity=intensity,
        sigma=0.2 * intensity,
        phases=phases,
        theta=theta,
        DESCR=(
            f"Synthetic galaxy of {n_phases} gas phase(s): thesis, Tables"
            f" {'2.3 and 2.4' if n_phases == 1 else '2.5 and 2.6'}."
        ),
    )

"""Line intensities of real and synthetic galaxies."""

import numpy as np
from sklearn.utils import Bunch

from ._priors import chemical_prior, gas_prior

_LINES = ["CO(3-2)", "CO(6-5)", "HCN(4-3)", "HCO+(4-3)", "CS(7-6)"]


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

"""Grids of astrochemical models."""

from importlib import resources

import numpy as np
from sklearn.utils import Bunch

from ..utils.suggestions import closest

#: The columns of the file, in the order of :func:`chemical_prior`.
_ORDER = ["T", "n", "m_Z", "A_V", "chi", "zeta"]

_DESCR = """\
12,572 models of the gas-grain chemical code UCLCHEM (2018 version, UMIST12 network) in
two phases, the set-up of the thesis: a cloud collapses in free fall at 10 K to its
final density while ice freezes out; then it is warmed to its final temperature, all ice
is released, and the gas evolves for 1e7 years. Parameters cover thesis Table 2.1 with
metallicities from 0.2; 12,322 models are a Latin hypercube in the logarithms of
density, radiation field and ionisation rate, and 250, the test set, one that is linear
in all parameters, which is how the thesis sampled. The numerical error of abundances is
up to 0.003 dex. Computed for this project.
"""


def load_uclchem_grid(species=None):
    """Load a grid of chemical abundances of dense gas, computed with UCLCHEM.

    Parameters
    ----------
    species : sequence of str, default=None
        Which species, in which order; by default all 26.

    Returns
    -------
    grid : Bunch
        theta : ndarray of shape (12572, 6)
            Temperature [K], density of H2 [cm^-3], metallicity [solar], visual
            extinction [mag], radiation field [Draine], cosmic-ray ionisation rate
            [1.3e-17 s^-1].
        parameter_names : list of str
            Names of these columns, as in :func:`chemical_prior`.
        log_abundance : ndarray of shape (12572, n_species)
            Decimal logarithm of the abundance per hydrogen nucleus.
        species : list of str
            Names of these columns.
        test : ndarray of shape (12572,), dtype bool
            The 250 models that are sampled linearly, as in the thesis.
        DESCR : str
            What was computed, and how.

    Raises
    ------
    ValueError
        If the grid does not have a species; the message names the closest.

    References
    ----------
    Holdship, Viti, Jiménez-Serra, Makrymallis & Priestley (2017), AJ 154, 38.
    McElroy, Walsh, Markwick, Cordiner, Smith & Millar (2013), A&A 550, A36. Thesis,
    section 2.3 and Table 2.1.

    Examples
    --------
    >>> from skastro.datasets import load_uclchem_grid
    >>> grid = load_uclchem_grid(["CO", "HCO+"])
    >>> grid.theta.shape, grid.log_abundance.shape
    ((12572, 6), (12572, 2))
    """
    path = resources.files("skastro.datasets") / "data" / "uclchem_grid.npz"
    with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
        columns = list(stored["parameter_names"])
        theta = stored["parameters"][:, [columns.index(name) for name in _ORDER]]
        known = [str(name) for name in stored["species"]]
        log_abundance = stored["log_abundances"].astype(float)
        test = stored["sampling"] == 1
    if isinstance(species, str):
        raise TypeError(f"`species` must be a sequence of names, got {species!r}.")
    species = known if species is None else list(species)
    for name in species:
        if name not in known:
            raise ValueError(
                f"The grid has no species {name!r}, only {known}."
                + closest(str(name), known)
            )
    return Bunch(
        theta=theta.astype(float),
        parameter_names=[
            "temperature",
            "density",
            "metallicity",
            "visual_extinction",
            "radiation_field",
            "ionisation_rate",
        ],
        log_abundance=log_abundance[:, [known.index(name) for name in species]],
        species=species,
        test=test,
        DESCR=_DESCR,
    )

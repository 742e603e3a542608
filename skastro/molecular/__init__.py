"""Physics of molecular lines, as regressors from gas properties to intensities."""

from ._chemical_model import ChemicalModel
from ._chemistry import CHEMICAL_PARAMETERS, AbundanceEmulator, chemical_features
from ._gas import GasModel
from ._lamda import fetch_lamda, read_lamda
from ._line import Blend, Line
from ._line_model import LineModel
from ._line_ratios import LineRatioModel
from ._lines import find_lines, line_catalogue
from ._molecule import Collisions, Molecule
from ._multi_phase import MultiPhaseModel
from ._overlap import OverlapWarning
from ._radex import RadexModel
from ._radex_emulator import RadexEmulator
from ._radiation import BlackBody, Dust, ModifiedBlackBody, TabulatedField
from ._shipped import load_molecule
from ._statistical_equilibrium import Solution

__all__ = [
    "CHEMICAL_PARAMETERS",
    "AbundanceEmulator",
    "BlackBody",
    "Blend",
    "ChemicalModel",
    "Collisions",
    "Dust",
    "GasModel",
    "Line",
    "LineModel",
    "LineRatioModel",
    "ModifiedBlackBody",
    "Molecule",
    "MultiPhaseModel",
    "OverlapWarning",
    "RadexEmulator",
    "RadexModel",
    "Solution",
    "TabulatedField",
    "chemical_features",
    "fetch_lamda",
    "find_lines",
    "line_catalogue",
    "load_molecule",
    "read_lamda",
]

"""Physics of molecular lines, as regressors from gas properties to intensities."""

from ._lamda import Collisions, Molecule, fetch_lamda, load_molecule, read_lamda
from ._line_model import LineModel
from ._lines import Line, find_lines, line_catalogue
from ._radex import RadexModel
from ._radex_emulator import RadexEmulator
from ._statistical_equilibrium import Solution

__all__ = [
    "Collisions",
    "Line",
    "LineModel",
    "Molecule",
    "RadexEmulator",
    "RadexModel",
    "Solution",
    "fetch_lamda",
    "find_lines",
    "line_catalogue",
    "load_molecule",
    "read_lamda",
]

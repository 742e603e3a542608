"""Files: spectra of surveys, maps of lines, and fitted estimators without pickle."""

from ._apogee import read_apogee
from ._component_maps import write_component_maps
from ._estimators import load_estimator, save_estimator
from ._integrated import to_integrated_temperature
from ._line_maps import read_line_maps
from ._line_table import LineTable, read_line_table
from ._parameter_maps import write_parameter_maps
from ._spectra import Spectra, read_spectra

__all__ = [
    "LineTable",
    "Spectra",
    "load_estimator",
    "read_apogee",
    "read_line_maps",
    "read_line_table",
    "read_spectra",
    "save_estimator",
    "to_integrated_temperature",
    "write_component_maps",
    "write_parameter_maps",
]

"""For test suites: the list of estimators, and hypothesis strategies.

Needs hypothesis, which ``pip install skastro[test]`` brings.
"""

from ._discovery import all_estimators
from ._strategies import (
    gas,
    incomplete_data,
    line_maps,
    open_clusters,
    parameter_spaces,
    parameters,
)

__all__ = [
    "all_estimators",
    "gas",
    "incomplete_data",
    "line_maps",
    "open_clusters",
    "parameter_spaces",
    "parameters",
]

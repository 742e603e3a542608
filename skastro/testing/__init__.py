"""For test suites: ready-made checks, hypothesis strategies, the list of estimators.

Needs hypothesis, which ``pip install skastro[test]`` brings.
"""

from ._checks import (
    check_empty_rows_do_not_matter,
    check_errors_travel,
    check_missing_equals_masked,
    check_refit_identical,
    check_row_permutation,
    check_scale_equivariance,
    check_single_precision,
    check_tables,
)
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
    "check_empty_rows_do_not_matter",
    "check_errors_travel",
    "check_missing_equals_masked",
    "check_refit_identical",
    "check_row_permutation",
    "check_scale_equivariance",
    "check_single_precision",
    "check_tables",
    "gas",
    "incomplete_data",
    "line_maps",
    "open_clusters",
    "parameter_spaces",
    "parameters",
]

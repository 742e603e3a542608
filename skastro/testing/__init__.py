"""For test suites: the list of estimators, and hypothesis strategies.

Needs hypothesis, which ``pip install skastro[test]`` brings.
"""

from ._discovery import all_estimators
from ._strategies import gas, parameter_spaces, parameters

__all__ = ["all_estimators", "gas", "parameter_spaces", "parameters"]

"""Named, bounded, unit-bearing parameters: the design of a grid, and its prior."""

from ._parameter import LogUniform, Parameter, Uniform
from ._space import ParameterSpace

__all__ = ["LogUniform", "Parameter", "ParameterSpace", "Uniform"]

"""Emulation: grids of simulations, and networks that learn them."""

from ..utils.emulator_range import ExtrapolationWarning
from ._emulator import EmulatorRegressor
from ._published import PUBLISHED_PARAMETERS
from ._simulations import (
    SimulationError,
    SimulationFailure,
    SimulationGrid,
    SimulationWarning,
    run_simulations,
)

__all__ = [
    "PUBLISHED_PARAMETERS",
    "EmulatorRegressor",
    "ExtrapolationWarning",
    "SimulationError",
    "SimulationFailure",
    "SimulationGrid",
    "SimulationWarning",
    "run_simulations",
]

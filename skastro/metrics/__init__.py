"""Figures of merit."""

from ._calibration import SimulationBasedCalibration, simulation_based_calibration
from ._compare_models import compare_models
from ._components import component_mae, match_components
from ._doppelganger import (
    DoppelgangerRates,
    doppelganger_rate,
    doppelganger_rates,
    doppelganger_scorer,
    intra_inter_distances,
)
from ._emulation import error_factor
from ._label_errors import LabelErrors, label_errors
from ._model_comparison import ModelComparison
from ._recast import RecastErrors, recast_errors
from ._retrieval import log_evidence_scorer
from ._twins import (
    n_false_twins,
    twin_recovery_curve,
    twin_recovery_limit,
    twin_recovery_scorer,
)

__all__ = [
    "DoppelgangerRates",
    "LabelErrors",
    "ModelComparison",
    "RecastErrors",
    "SimulationBasedCalibration",
    "compare_models",
    "component_mae",
    "doppelganger_rate",
    "doppelganger_rates",
    "doppelganger_scorer",
    "error_factor",
    "intra_inter_distances",
    "label_errors",
    "log_evidence_scorer",
    "match_components",
    "recast_errors",
    "simulation_based_calibration",
    "n_false_twins",
    "twin_recovery_curve",
    "twin_recovery_limit",
    "twin_recovery_scorer",
]

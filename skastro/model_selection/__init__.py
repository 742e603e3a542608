"""Splitting of data, and evaluation of what was fitted."""

from ._calibrated_regressor import CalibratedRegressor
from ._doppelganger import cross_val_doppelganger_rates
from ._line_maps import choose_n_components, held_out_entries_scorer, nmf_consensus
from ._splitters import ClusterKFold, LeaveOneClusterOut, TwinKFold

__all__ = [
    "CalibratedRegressor",
    "ClusterKFold",
    "LeaveOneClusterOut",
    "TwinKFold",
    "choose_n_components",
    "cross_val_doppelganger_rates",
    "held_out_entries_scorer",
    "nmf_consensus",
]

"""Splitting of data, and evaluation of what was fitted."""

from ._doppelganger import LeaveOneClusterOut, cross_val_doppelganger_rates
from ._line_maps import choose_n_components, held_out_entries_scorer, nmf_consensus

__all__ = [
    "LeaveOneClusterOut",
    "choose_n_components",
    "cross_val_doppelganger_rates",
    "held_out_entries_scorer",
    "nmf_consensus",
]

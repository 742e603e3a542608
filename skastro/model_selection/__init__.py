"""Splitting of data, and evaluation of what was fitted."""

from ._doppelganger import LeaveOneClusterOut, cross_val_doppelganger_rates

__all__ = ["LeaveOneClusterOut", "cross_val_doppelganger_rates"]

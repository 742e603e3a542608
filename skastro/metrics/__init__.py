"""Figures of merit."""

from ._emulation import error_factor
from ._retrieval import log_evidence_scorer

__all__ = ["error_factor", "log_evidence_scorer"]

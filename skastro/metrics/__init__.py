"""Figures of merit."""

from ._emulation import error_factor

__all__ = ["error_factor"]

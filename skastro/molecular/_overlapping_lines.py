r"""Statistical equilibrium of a molecule whose lines overlap.

The mean intensity of a line is the average over its profile of what the background,
dust and *all* lines at that velocity contribute, as in pythonradex (Cataldi et al.;
after Rybicki & Hummer 1992, A&A 262, 209): with the optical depth
:math:`\tau = \sum_j \tau_j + \tau_d` of a segment of the velocity axis,

.. math:: \bar J_i = \sum_s w_s \left[\beta(\tau)\,J_\mathrm{bg} + (1 - \beta(\tau))
   \frac{\sum_j \tau_j S_j + \tau_d S_d}{\tau}\right].

A photon of line i either escapes, or is absorbed by the dust, or by another line, or
by its own, which undoes its emission. The first three leave rates in which nothing is
subtracted. With :math:`\kappa_j x` the optical depth of a population, they are

.. math:: A_i \left[\bar\beta_i (1 + n_\mathrm{bg}) + \bar d_i (1 + n_d)
   + \sum_{j \ne i} T_{ij} \kappa_j \tfrac{g_u}{g_l} x_{l,j}\right], \quad
   A_i \tfrac{g_u}{g_l} \left[\bar\beta_i n_\mathrm{bg} + \bar d_i n_d
   + \sum_{j \ne i} T_{ij} \kappa_j x_{u,j}\right]

out of the upper and the lower level, where :math:`T_{ij}` is the average of
:math:`(1 - \beta) / \tau` over the part of line i where j is, and :math:`\bar d_i` that
of :math:`(1 - \beta)\,\tau_d / \tau`. Their derivatives by the populations of all lines
are known too, for Newton's method, which starts from the populations of a gas whose
lines are apart: from Boltzmann's it would not find those of very thick lines.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from ._constants import TAU_MIN
from ._molecule import Molecule
from ._overlap import least_distance
from ._profiles import chains, equivalent_width, segments
from ._radiation import Surroundings
from ._statistical_equilibrium import Solution, StatisticalEquilibrium


class _Group(NamedTuple):
    """Lines that overlap with each other."""

    #: which of the molecule's lines
    lines: np.ndarray
    #: the part of each line in each segment, (n_models, n_segments, n_lines)
    share: np.ndarray
    #: 1 where a line is present in a segment, of the same shape
    present: np.ndarray
    #: which of the molecule's levels they are between
    levels: np.ndarray
    #: 1 for the upper and for the lower level of each line, (n_lines, n_levels)
    upper: np.ndarray
    lower: np.ndarray


@dataclass(frozen=True)
class WideLines:
    """Surroundings of lines that have a width.

    Attributes
    ----------
    surroundings : Surroundings
        Radiation and dust.
    molecule : Molecule
        The lines.
    line_width : ndarray of shape (n_models,)
        Full widths at half maximum [km/s].
    start : ndarray of shape (n_models, n_levels)
        Populations to start from.
    """

    surroundings: Surroundings
    molecule: Molecule
    line_width: np.ndarray
    start: np.ndarray

    def rows(self, index):
        """Return those of some of the models."""
        return WideLines(
            self.surroundings.rows(index),
            self.molecule,
            self.line_width[index],
            self.start[index],
        )

    @cached_property
    def groups(self):
        """Lines that overlap with others."""
        width, groups = equivalent_width(self.line_width), []
        for lines in chains(self.molecule.frequencies, width.max(initial=0.0)):
            if len(lines) == 1:
                continue
            length, present = segments(self.molecule.frequencies[lines], width)
            ends = self.molecule.upper[lines], self.molecule.lower[lines]
            levels = np.unique(ends)
            upper, lower = ((end[:, None] == levels).astype(float) for end in ends)
            share = length[:, :, None] * present
            groups.append(_Group(lines, share, present, levels, upper, lower))
        return groups


class OverlappingLines(StatisticalEquilibrium):
    """Batched solver of the populations of a molecule whose lines overlap.

    Its :meth:`solve` takes :class:`WideLines` as the surroundings.
    """

    def refine(self, apart, temperature, amounts, column, around, line_width):
        """Return the solution where lines overlap, given that where they are apart.

        Parameters
        ----------
        apart : Solution
            That of :class:`StatisticalEquilibrium`. Models in which no lines overlap
            stay as they are.
        temperature, amounts, column, around
            As for :meth:`StatisticalEquilibrium.solve`.
        line_width : ndarray of shape (n_models,)
            Full widths at half maximum [km/s].

        Returns
        -------
        solution : Solution
        """
        closest = least_distance(self.molecule, None)
        rows = np.flatnonzero(equivalent_width(line_width) > closest)
        if rows.size == 0:
            return apart
        # models that are solved together have lines of about one width
        rows = rows[np.argsort(line_width[rows], kind="stable")]
        start = apart.populations[rows]
        around = WideLines(around.rows(rows), self.molecule, line_width[rows], start)
        own = self.solve(temperature[rows], amounts[:, rows], column[rows], around)
        merged = {name: value.copy() for name, value in vars(apart).items()}
        for name, value in vars(own).items():
            merged[name][rows] = value
        merged["n_iter"][rows] += apart.n_iter[rows]
        return Solution(**merged)

    def _start(self, temperature, around):
        return around.start.copy()

    def _line_rates(self, x, column, around):
        """Return rates, and their derivatives within and beyond each line."""
        down, up, by_upper, by_lower = super()._line_rates(
            x, column, around.surroundings
        )
        coupling = []
        for group in around.groups:
            lines = group.lines
            down[:, lines], up[:, lines], *derivatives = self._group_rates(
                group, x, column, around.surroundings
            )
            by_upper[:, lines] = by_lower[:, lines] = 0.0
            coupling.append((group, *derivatives))
        return down, up, by_upper, by_lower, coupling

    def _group_rates(self, group, x, column, around):
        """Return rates of lines that overlap, and the derivatives of their net flow.

        Returns
        -------
        down, up : ndarray of shape (n_models, n_lines)
            Rates out of the upper and of the lower level [s^-1].
        by_upper, by_lower : ndarray of shape (n_models, n_lines, n_lines)
            Derivatives of the net flow down each line by the population of either level
            of each line.
        """
        lines, share, present = group.lines, group.share, group.present
        einstein_a, ratio = self.molecule.einstein_a[lines], self._weight_ratio[lines]
        x_upper = x[:, self.molecule.upper[lines]]
        x_lower = x[:, self.molecule.lower[lines]] * ratio
        kappa = self._tau_factor[lines] * column[:, None]
        shadow, light = kappa * x_lower, kappa * x_upper

        def total(values):  # of the lines that are present in each segment
            return np.matmul(present, values[:, :, None])

        def average(values):  # over the profile of each line
            return (share * values).sum(axis=1)

        shadows, lights = total(shadow), total(light)
        depth = shadows - lights
        capped = depth < TAU_MIN
        cap = np.where(capped, TAU_MIN / np.where(capped, depth, 1.0), 1.0)
        dust_depth = dust = 0.0
        if around.dust is not None:
            dust = around.dust[..., lines]
            dust_depth = total(_for_each(around.dust_depth[..., lines], x))
            dust_depth /= np.maximum(present.sum(axis=2, keepdims=True), 1.0)
        beta, slope = self.escape_probability(depth * cap + dust_depth)
        trapped, trapped_slope = self._trapped(depth * cap + dust_depth)
        # what a gas that is as thick as the cap traps of photons of its lines
        mutual = trapped * cap
        mutual_slope = np.where(
            capped, -mutual / np.where(capped, depth, 1.0), trapped_slope
        )
        slope, trapped_slope = (
            np.where(capped, 0.0, s) for s in (slope, trapped_slope)
        )

        background = around.pumping[..., lines]
        free, lost = average(beta), average(trapped * dust_depth)
        to_each = np.matmul((share * mutual).transpose(0, 2, 1), present)
        own = np.arange(len(lines))
        to_each[:, own, own] = 0.0
        down = free * (1 + background) + lost * (1 + dust)
        down += np.matmul(to_each, shadow[:, :, None])[:, :, 0]
        up = free * background + lost * dust
        up += np.matmul(to_each, light[:, :, None])[:, :, 0]

        # by the optical depth of each segment, and of the lines that are present in it
        from_outside = (1 + background) * x_upper - background * x_lower
        from_dust = ((1 + dust) * x_upper - dust * x_lower)[:, None] * dust_depth
        from_lines = x_upper[:, None] * shadows - x_lower[:, None] * lights
        by_depth = slope * from_outside[:, None]
        by_depth += trapped_slope * from_dust + mutual_slope * from_lines
        by_line = np.matmul((share * by_depth).transpose(0, 2, 1), present)
        by_lower = (by_line + to_each * x_upper[:, :, None]) * (kappa * ratio)[:, None]
        by_upper = -(by_line + to_each * x_lower[:, :, None]) * kappa[:, None]
        by_lower[:, own, own] -= up * ratio
        by_upper[:, own, own] += down
        factor = einstein_a[:, None]
        return (
            einstein_a * down,
            einstein_a * ratio * up,
            factor * by_upper,
            factor * by_lower,
        )

    def _fill_jacobian(self, jacobian, leaving, by_upper, by_lower, coupling):
        """Add lines that are apart, what leaves each level, and lines that overlap."""
        super()._fill_jacobian(jacobian, leaving, by_upper, by_lower)
        for group, by_upper_of, by_lower_of in coupling:
            by_level = by_upper_of @ group.upper + by_lower_of @ group.lower
            entries = np.ix_(group.levels, group.levels)
            jacobian[:, *entries] += (group.lower - group.upper).T @ by_level

    def _emission(self, x, column, around):
        return super()._emission(x, column, around.surroundings)


def _for_each(values, x):
    """Return values for each model."""
    return np.broadcast_to(values, (len(x), values.shape[-1]))

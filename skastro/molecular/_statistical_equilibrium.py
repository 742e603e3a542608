r"""Statistical equilibrium of a molecule, for a block of models at once.

The level populations :math:`x` solve :math:`M(x)\,x = 0`, :math:`\sum x = 1`, where the
radiative rates in :math:`M` depend on the populations through the escape probability
of each line (van der Tak et al. 2007, A&A 468, 627). RADEX iterates on the
populations with under-relaxation, which stalls or runs away where lines are inverted.
Here the derivative of the escape probability is known, so the whole system is solved
by Newton's method, in the logarithm of the populations: every equation is divided by
the gross rate out of its level, so that the tiny populations of high levels come out
with the same relative precision as the large ones.
"""

from dataclasses import dataclass

import numpy as np

from ._constants import (
    EIGHT_PI,
    GAUSSIAN_AREA,
    WAVENUMBER_TO_KELVIN,
)
from ._escape_probability import ESCAPE_PROBABILITIES

#: Models solved together: small enough that the matrices stay in the cache.
_BLOCK = 128
#: Populations below this do not decide convergence.
_NEGLIGIBLE = 1e-25
#: Populations are kept above this, so that logarithms exist.
_FLOOR = 1e-60
#: The amplification of an inverted line is capped at this optical depth.
_TAU_MIN = -1.0


@dataclass(frozen=True)
class Solution:
    """Populations and lines of a batch of models.

    Attributes
    ----------
    populations : ndarray of shape (n_models, n_levels)
        Fraction of the molecules in each level.
    tau : ndarray of shape (n_models, n_lines)
        Optical depth at line centre.
    radiation_temperature : ndarray of shape (n_models, n_lines)
        Rayleigh-Jeans temperature of the line above the background [K].
    excitation_temperature : ndarray of shape (n_models, n_lines)
        Excitation temperature [K]; negative where the line is inverted.
    n_iter : ndarray of shape (n_models,)
        Newton iterations taken.
    converged : ndarray of shape (n_models,), dtype bool
        Whether the populations settled.
    """

    populations: np.ndarray
    tau: np.ndarray
    radiation_temperature: np.ndarray
    excitation_temperature: np.ndarray
    n_iter: np.ndarray
    converged: np.ndarray


class StatisticalEquilibrium:
    """Batched solver of the level populations of one molecule.

    Parameters
    ----------
    molecule : Molecule
        Levels, lines and collision rates.
    geometry : {"uniform sphere", "lvg", "slab"}
        Which escape probability to use.
    background_temperature : float
        Temperature of the black-body background [K].
    tol : float
        Largest relative change of a population in the last iteration.
    max_iter : int
        Newton iterations before a model is given up.
    """

    def __init__(
        self,
        molecule,
        geometry="uniform sphere",
        background_temperature=2.73,
        tol=1e-6,
        max_iter=100,
    ):
        self.molecule = molecule
        self.escape_probability = ESCAPE_PROBABILITIES[geometry]
        self.tol = tol
        self.max_iter = max_iter

        weights = molecule.statistical_weights
        upper, lower = molecule.upper, molecule.lower
        energies = molecule.energies * WAVENUMBER_TO_KELVIN
        wavenumbers = molecule.energies[upper] - molecule.energies[lower]
        self._line_temperatures = energies[upper] - energies[lower]
        self._weight_ratio = weights[upper] / weights[lower]
        with np.errstate(over="ignore"):
            self._background = 1.0 / np.expm1(
                self._line_temperatures / background_temperature
            )
        # tau = _tau_factor * N/dv * (x_l g_u / g_l - x_u), N/dv in cm^-2 / (km/s)
        self._tau_factor = molecule.einstein_a / (
            EIGHT_PI * GAUSSIAN_AREA * wavenumbers**3 * 1e5
        )
        self._upper_of = np.eye(molecule.n_levels)[upper]
        self._lower_of = np.eye(molecule.n_levels)[lower]
        self._energies = energies
        self._weights = weights
        self._tables = [
            self._dense_rates(table) for table in molecule.hydrogen_collisions()
        ]

    def _dense_rates(self, table):
        """Return a table's temperatures and its downward rates as matrices."""
        n_levels = self.molecule.n_levels
        rates = np.zeros((len(table.temperatures), n_levels, n_levels))
        rates[:, table.lower, table.upper] = table.rates
        return table.temperatures, rates

    def _partner_fractions(self, temperature):
        """Fraction of H2 that each collision table stands for."""
        if len(self._tables) == 1:
            return [np.ones_like(temperature)]
        # thermal ortho-to-para ratio, at most 3, as RADEX has it
        ratio = np.minimum(3.0, 9.0 * np.exp(-170.6 / temperature))
        return [1.0 / (1.0 + ratio), ratio / (1.0 + ratio)]

    def _collision_matrices(self, temperature, density):
        """Return ``C[b, i, j]``, the collision rate from level j to level i [s^-1]."""
        total = 0.0
        for (grid, rates), fraction in zip(
            self._tables, self._partner_fractions(temperature), strict=True
        ):
            position = np.clip(np.searchsorted(grid, temperature) - 1, 0, len(grid) - 2)
            weight = (temperature - grid[position]) / (
                grid[position + 1] - grid[position]
            )
            weight = np.clip(weight, 0.0, 1.0)
            scale = density * fraction
            total = (
                total
                + rates[position] * (scale * (1 - weight))[:, None, None]
                + rates[position + 1] * (scale * weight)[:, None, None]
            )
        # detailed balance: rate up = rate down g_u / g_l exp(-dE / kT)
        gap = self._energies[:, None] - self._energies[None, :]
        ratio = self._weights[:, None] / self._weights[None, :]
        with np.errstate(under="ignore"):
            boltzmann = ratio * np.exp(
                -np.maximum(gap, 0.0) / temperature[:, None, None]
            )
        return total + np.swapaxes(total, 1, 2) * boltzmann

    def _thermal(self, temperature):
        """Boltzmann populations, the start of the iteration."""
        with np.errstate(under="ignore"):
            x = self._weights * np.exp(-self._energies / temperature[:, None])
        return np.maximum(x / x.sum(axis=1, keepdims=True), _FLOOR)

    def _lines(self, x, column):
        """Return optical depths of the lines, capped where inverted."""
        upper, lower = self.molecule.upper, self.molecule.lower
        tau = (
            self._tau_factor
            * column[:, None]
            * (x[:, lower] * self._weight_ratio - x[:, upper])
        )
        return np.maximum(tau, _TAU_MIN)

    def _newton_step(self, x, collisions, leaving, column):
        """Return the logarithmic Newton step of the populations."""
        upper, lower = self.molecule.upper, self.molecule.lower
        einstein_a, ratio, background = (
            self.molecule.einstein_a,
            self._weight_ratio,
            self._background,
        )
        n_levels = self.molecule.n_levels
        tau = self._lines(x, column)
        beta, slope = self.escape_probability(tau)
        slope = np.where(tau > _TAU_MIN, slope, 0.0)
        x_upper, x_lower = x[:, upper], x[:, lower]
        down = einstein_a * beta * (1 + background)
        up = einstein_a * beta * background * ratio
        net = down * x_upper - up * x_lower
        # d net / d tau, then by the chain rule to both populations
        feedback = (
            einstein_a
            * slope
            * ((1 + background) * x_upper - background * ratio * x_lower)
            * (self._tau_factor * column[:, None])
        )
        by_upper = down - feedback
        by_lower = -up + feedback * ratio

        gross = x * leaving + (down * x_upper) @ self._upper_of
        gross += (up * x_lower) @ self._lower_of
        residual = np.matmul(collisions, x[:, :, None])[:, :, 0] - leaving * x
        residual += net @ (self._lower_of - self._upper_of)

        jacobian = collisions.copy()
        jacobian[:, lower, upper] += by_upper
        jacobian[:, upper, lower] -= by_lower
        diagonal = np.arange(n_levels)
        jacobian[:, diagonal, diagonal] -= (
            leaving + by_upper @ self._upper_of - by_lower @ self._lower_of
        )
        jacobian *= x[:, None, :]
        jacobian /= gross[:, :, None]
        residual /= gross
        # one equation is redundant: the most populated level's gives way to sum(x) = 1
        largest = np.argmax(x, axis=1)
        rows = np.arange(len(x))
        jacobian[rows, largest] = x
        residual[rows, largest] = x.sum(axis=1) - 1.0
        return -np.linalg.solve(jacobian, residual[:, :, None])[:, :, 0]

    def _solve_block(self, temperature, density, column):
        """Solve one block of models; see :meth:`solve`.

        The iteration starts from Boltzmann populations, from where the first steps
        only take from the high levels: of the starts tried it is the one that never
        walks into an inversion that is not there. A step may shrink a population a
        hundredfold; the few models that do not settle start again with halving as
        the limit.
        """
        n_models = len(temperature)
        collisions = self._collision_matrices(temperature, density)
        leaving = collisions.sum(axis=1)
        x = self._thermal(temperature)
        n_iter = np.zeros(n_models, dtype=int)
        converged = np.zeros(n_models, dtype=bool)
        for smallest_factor, max_iter in ((0.01, 20), (0.5, self.max_iter)):
            active = np.flatnonzero(~converged)
            x[active] = self._thermal(temperature[active])
            for _ in range(min(max_iter, self.max_iter)):
                if active.size == 0:
                    break
                step = self._newton_step(
                    x[active], collisions[active], leaving[active], column[active]
                )
                updated = x[active] * np.maximum(1.0 + step, smallest_factor)
                updated = np.maximum(updated, _FLOOR)
                updated /= updated.sum(axis=1, keepdims=True)
                x[active] = updated
                n_iter[active] += 1
                change = np.where(updated <= _NEGLIGIBLE, 0.0, np.abs(step))
                done = change.max(axis=1) < self.tol  # False where NaN
                converged[active[done]] = True
                active = active[~done]
        return x, n_iter, converged

    def solve(self, temperature, density, column):
        """Solve for the populations of a batch of models.

        Parameters
        ----------
        temperature : ndarray of shape (n_models,)
            Kinetic temperature [K].
        density : ndarray of shape (n_models,)
            Density of molecular hydrogen [cm^-3].
        column : ndarray of shape (n_models,)
            Column density per line width [cm^-2 / (km/s)].

        Returns
        -------
        solution : Solution
        """
        n_models = len(temperature)
        x = np.empty((n_models, self.molecule.n_levels))
        n_iter = np.empty(n_models, dtype=int)
        converged = np.empty(n_models, dtype=bool)
        for start in range(0, n_models, _BLOCK):
            block = slice(start, start + _BLOCK)
            x[block], n_iter[block], converged[block] = self._solve_block(
                temperature[block], density[block], column[block]
            )
        return Solution(x, *self._emission(x, column), n_iter, converged)

    def _emission(self, x, column):
        """Return optical depth, radiation and excitation temperature of the lines."""
        upper, lower = self.molecule.upper, self.molecule.lower
        tau = self._lines(x, column)
        small = np.abs(tau) < 1e-8
        # (1 - exp(-tau)) / tau
        escape = np.where(
            small, 1.0 - tau / 2, -np.expm1(-tau) / np.where(small, 1.0, tau)
        )
        # n_ex (1 - exp(-tau)), with n_ex = kappa x_u / tau: no division by a small tau
        source = self._tau_factor * column[:, None] * x[:, upper] * escape
        radiation = self._line_temperatures * (source - self._background * tau * escape)
        with np.errstate(divide="ignore"):
            excitation = self._line_temperatures / np.log(
                x[:, lower] * self._weight_ratio / x[:, upper]
            )
        return tau, radiation, excitation

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

from ._collision_rates import CollisionRates
from ._constants import EIGHT_PI, GAUSSIAN_AREA, TAU_MIN, WAVENUMBER_TO_KELVIN
from ._emission import blend_temperature, line_photons
from ._escape_probability import ESCAPE_PROBABILITIES

#: Models solved together: many enough that calls cost little beside arithmetic.
_BLOCK = 256
#: Of molecules with few levels as many as have this many rates between them.
_BLOCK_ELEMENTS = 256 * 41**2
#: Populations below this do not decide convergence.
_NEGLIGIBLE = 1e-25
#: Populations are kept above this, so that logarithms exist.
_FLOOR = 1e-60
#: Steps before those of models that go to and fro are searched, and halvings of one.
_PLAIN_STEPS, _HALVINGS = 15, 12


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
        Levels and lines.
    tables : sequence of Collisions
        Collision rates with each partner.
    geometry : str
        Which escape probability to use.
    tol : float
        Largest relative change of a population in the last iteration.
    max_iter : int
        Newton iterations before a model is given up.
    fall : float
        Factor by which one of the first steps may shrink a population.
    """

    def __init__(
        self,
        molecule,
        tables,
        geometry="uniform sphere",
        tol=1e-6,
        max_iter=100,
        fall=0.01,
    ):
        self.molecule = molecule
        self.escape_probability = ESCAPE_PROBABILITIES[geometry]
        self.tol = tol
        self.max_iter = max_iter
        self.fall = fall

        weights = molecule.statistical_weights
        upper, lower = molecule.upper, molecule.lower
        energies = molecule.energies * WAVENUMBER_TO_KELVIN
        wavenumbers = molecule.energies[upper] - molecule.energies[lower]
        self._line_temperatures = energies[upper] - energies[lower]
        self._weight_ratio = weights[upper] / weights[lower]
        # tau = _tau_factor * N/dv * (x_l g_u / g_l - x_u), N/dv in cm^-2 / (km/s)
        self._tau_factor = molecule.einstein_a / (
            EIGHT_PI * GAUSSIAN_AREA * wavenumbers**3 * 1e5
        )
        self._upper_of = np.eye(molecule.n_levels)[upper]
        self._lower_of = np.eye(molecule.n_levels)[lower]
        self._energies = energies
        self._weights = weights
        self._collisions = CollisionRates(molecule, tables, energies)
        self._distinct = _without_repetition(upper, lower)
        # where rates down and up the lines stand in a flat matrix
        self._downward = lower * molecule.n_levels + upper
        self._upward = upper * molecule.n_levels + lower

    @property
    def line_temperatures(self):
        """Energies of the lines [K]."""
        return self._line_temperatures

    def _thermal(self, temperature):
        """Return Boltzmann populations."""
        with np.errstate(under="ignore"):
            x = self._weights * np.exp(-self._energies / temperature[:, None])
        return np.maximum(x / x.sum(axis=1, keepdims=True), _FLOOR)

    def _start(self, temperature, around):
        """Return the populations that the iteration starts from."""
        return self._thermal(temperature)

    def _depths(self, x, column):
        """Return optical depths of the lines."""
        upper, lower = self.molecule.upper, self.molecule.lower
        return (
            self._tau_factor
            * column[:, None]
            * (x[:, lower] * self._weight_ratio - x[:, upper])
        )

    def _lines(self, x, column):
        """Return optical depths of the lines, capped where inverted."""
        return np.maximum(self._depths(x, column), TAU_MIN)

    def _line_rates(self, x, column, around):
        """Return rates down and up the lines, and the derivatives of their difference.

        Returns
        -------
        down, up : ndarray of shape (n_models, n_lines)
            Rates out of the upper and of the lower level [s^-1].
        by_upper, by_lower : ndarray of shape (n_models, n_lines)
            Derivatives of the net flow down by the population of either level.
        """
        einstein_a, ratio = self.molecule.einstein_a, self._weight_ratio
        upper, lower = self.molecule.upper, self.molecule.lower
        background = around.pumping
        x_upper, x_lower = x[:, upper], x[:, lower]
        tau = self._lines(x, column)
        if around.dust is None:
            beta, slope = self.escape_probability(tau)
            slope = np.where(tau > TAU_MIN, slope, 0.0)
            down = einstein_a * beta * (1 + background)
            up = einstein_a * beta * background * ratio
            # d net / d tau, then by the chain rule to both populations
            feedback = (
                einstein_a
                * slope
                * ((1 + background) * x_upper - background * ratio * x_lower)
                * (self._tau_factor * column[:, None])
            )
        else:
            # photons of the line are trapped by the line, or lost to the dust, whose
            # own photons fill the source; escaping ones leave room for the background
            total = tau + around.dust_depth
            trapped, slope = self._trapped(total)  # (1 - beta) / tau, per optical depth
            excess = around.dust_depth * around.dust - total * background
            photons = background + trapped * excess
            down = einstein_a * (1 - trapped * tau + photons)
            up = einstein_a * photons * ratio
            by_photons = slope * excess - trapped * background
            feedback = (
                einstein_a
                * (
                    (by_photons - slope * tau - trapped) * x_upper
                    - by_photons * ratio * x_lower
                )
                * (self._tau_factor * column[:, None])
            )
            feedback = np.where(tau > TAU_MIN, feedback, 0.0)
        return down, up, down - feedback, -up + feedback * ratio

    def _trapped(self, tau):
        """Return ``(1 - beta) / tau`` and its derivative."""
        beta, slope = self.escape_probability(tau)
        small = np.abs(tau) < 1e-4
        safe = np.where(small, 1.0, tau)
        trapped = np.where(small, -slope, (1 - beta) / safe)
        return trapped, np.where(small, 0.0, (-slope - trapped) / safe)

    def _imbalance(self, x, collisions, leaving, down, up):
        """Return what flows into each level less what flows out, and what flows out."""
        upper, lower = self.molecule.upper, self.molecule.lower
        x_upper, x_lower = x[:, upper], x[:, lower]
        net = down * x_upper - up * x_lower
        gross = x * leaving + (down * x_upper) @ self._upper_of
        gross += (up * x_lower) @ self._lower_of
        residual = np.matmul(collisions, x[:, :, None])[:, :, 0] - leaving * x
        residual += net @ (self._lower_of - self._upper_of)
        return residual, gross

    def _newton_step(self, x, collisions, leaving, column, around, jacobian):
        """Return the logarithmic Newton step of the populations.

        ``jacobian`` is memory for it.
        """
        down, up, *derivatives = self._line_rates(x, column, around)
        residual, gross = self._imbalance(x, collisions, leaving, down, up)

        np.copyto(jacobian, collisions)
        self._fill_jacobian(jacobian, leaving, *derivatives)
        jacobian *= x[:, None, :]
        jacobian /= gross[:, :, None]
        residual /= gross
        # one equation is redundant: the most populated level's gives way to sum(x) = 1
        largest = np.argmax(x, axis=1)
        rows = np.arange(len(x))
        jacobian[rows, largest] = x
        residual[rows, largest] = x.sum(axis=1) - 1.0
        return -np.linalg.solve(jacobian, residual[:, :, None])[:, :, 0]

    def _fill_jacobian(self, jacobian, leaving, by_upper, by_lower):
        """Add the lines, and what leaves each level, to the collisions."""
        by_pair = jacobian.reshape(len(jacobian), -1).T
        for lines in self._distinct:
            by_pair[self._downward[lines]] += by_upper[:, lines].T
            by_pair[self._upward[lines]] -= by_lower[:, lines].T
        diagonal = by_pair[:: self.molecule.n_levels + 1].T
        diagonal -= leaving + by_upper @ self._upper_of - by_lower @ self._lower_of

    def _solve_block(self, temperature, amounts, column, around, again, memory):
        """Solve one block of models; see :meth:`solve`.

        The iteration starts from Boltzmann populations, from where the first steps
        only take from the high levels: of the starts tried it is the one that never
        walks into an inversion that is not there. A step may shrink a population by
        ``fall``. The few models that do not settle start ``again`` with halving as
        the limit, and once more with a search for how far each step should go.
        """
        n_models = len(temperature)
        for_all, for_left, for_jacobian = memory
        all_collisions = self._collisions.matrices(temperature, amounts, for_all)
        all_leaving = all_collisions.sum(axis=1)
        x = self._start(temperature, around)
        n_iter = np.zeros(n_models, dtype=int)
        converged = np.zeros(n_models, dtype=bool)
        smallest_factor, max_iter = (0.5, self.max_iter) if again else (self.fall, 20)
        active, current, before, moved = np.arange(n_models), x.copy(), None, True
        for _ in range(min(max_iter, self.max_iter)):
            if moved:  # the models that are left
                collisions, rows = all_collisions, slice(None)
                if active.size < n_models:
                    rows, collisions = active, for_left[: active.size]
                    np.take(all_collisions, rows, 0, out=collisions, mode="clip")
                leaving = all_leaving[rows]
                own_column, own_around = column[rows], around.rows(rows)
                jacobian = for_jacobian[: active.size]
            step = self._newton_step(
                current, collisions, leaving, own_column, own_around, jacobian
            )
            updated = current * np.maximum(1.0 + step, smallest_factor)
            updated = np.maximum(updated, _FLOOR)
            updated /= updated.sum(axis=1, keepdims=True)
            # what goes to and fro exactly never settles
            if before is not None and np.allclose(updated, before, 1e-10, 0.0):
                break
            x[active] = updated
            n_iter[active] += 1
            change = np.where(updated <= _NEGLIGIBLE, 0.0, np.abs(step))
            done = change.max(axis=1) < self.tol  # False where NaN
            converged[active[done]] = True
            moved = done.any()
            before = current if again and not moved else None
            current = updated[~done] if moved else updated
            active = active[~done]
            if active.size == 0:
                break
        if again and active.size and self.max_iter >= _PLAIN_STEPS:
            x[active], steps, converged[active] = self._search(
                self._start(temperature[active], around.rows(active)),
                all_collisions[active],
                all_leaving[active],
                column[active],
                around.rows(active),
            )
            n_iter[active] += steps
        return x, n_iter, converged

    def _search(self, x, collisions, leaving, column, around):
        """Solve models that go to and fro, with steps that make the imbalance smaller.

        That is where an inverted line is at its cap, or where an escape probability
        has a step, and the derivative on either side points beyond the other.
        """

        def norm(x, gross):
            down, up, *_ = self._line_rates(x, column, around)
            residual, own = self._imbalance(x, collisions, leaving, down, up)
            gross = own if gross is None else gross
            relative = np.where(counts, residual / gross, 0.0)
            return np.sqrt((relative**2).sum(axis=1)), gross

        n_models = len(x)
        memory = np.empty_like(collisions)
        converged = np.zeros(n_models, dtype=bool)
        n_iter = np.zeros(n_models, dtype=int)
        for i in range(_PLAIN_STEPS + self.max_iter):
            step = self._newton_step(x, collisions, leaving, column, around, memory)
            length = np.ones((n_models, 1))
            least, halvings = (0.01, 1) if i < _PLAIN_STEPS else (0.1, _HALVINGS)
            counts = x > _NEGLIGIBLE
            now, gross = norm(x, None)
            best, accepted = x.copy(), converged.copy()
            for halving in range(halvings):
                moved = np.maximum(x * np.maximum(1.0 + length * step, least), _FLOOR)
                moved /= moved.sum(axis=1, keepdims=True)
                less = norm(moved, gross)[0] < now * (1 - 1e-3 * length[:, 0])
                take = (less | (halving == halvings - 1)) & ~accepted
                best[take] = moved[take]
                accepted |= take
                if accepted.all():
                    break
                length[~accepted] /= 2
            n_iter += ~converged
            change = np.where(counts, np.abs(step), 0.0).max(axis=1)
            x = best
            converged |= change < self.tol  # False where NaN
            if converged.all():
                break
        return x, n_iter, converged

    def solve(self, temperature, amounts, column, around):
        """Solve for the populations of a batch of models.

        Parameters
        ----------
        temperature : ndarray of shape (n_models,)
            Kinetic temperature [K].
        amounts : ndarray of shape (n_tables, n_models)
            Density of the partner of each table [cm^-3].
        column : ndarray of shape (n_models,)
            Column density per line width [cm^-2 / (km/s)].
        around : Surroundings
            Radiation and dust.

        Returns
        -------
        solution : Solution
        """
        n_models = len(temperature)
        x = np.empty((n_models, self.molecule.n_levels))
        n_iter = np.zeros(n_models, dtype=int)
        converged = np.zeros(n_models, dtype=bool)
        size = max(_BLOCK, _BLOCK_ELEMENTS // self.molecule.n_levels**2)
        # fresh memory for each block would cost as much as its arithmetic
        n_levels = self.molecule.n_levels
        memory = np.empty((3, min(size, n_models), n_levels, n_levels))
        rows = np.arange(n_models)
        for again in (False, True):
            for start in range(0, len(rows), size):
                block = rows[start : start + size]
                x[block], steps, converged[block] = self._solve_block(
                    temperature[block],
                    amounts[:, block],
                    column[block],
                    around.rows(block),
                    again,
                    memory,
                )
                n_iter[block] += steps
            rows = np.flatnonzero(~converged)
        return Solution(x, *self._emission(x, column, around), n_iter, converged)

    def thermal(self, temperature, column, around):
        """Return the solution where collisions rule: Boltzmann populations.

        Parameters
        ----------
        temperature, column, around
            As for :meth:`solve`.

        Returns
        -------
        solution : Solution
        """
        x = self._thermal(temperature)
        n_iter = np.zeros(len(x), dtype=int)
        emission = self._emission(x, column, around)
        return Solution(x, *emission, n_iter, np.ones(len(x), dtype=bool))

    def _emission(self, x, column, around):
        """Return optical depth, radiation and excitation temperature of the lines."""
        upper, lower = self.molecule.upper, self.molecule.lower
        tau = self._lines(x, column)
        # n_ex tau = kappa x_u: no division by a small tau
        emission = self._tau_factor * column[:, None] * x[:, upper]
        photons = line_photons(tau, emission, *around[1:])
        with np.errstate(divide="ignore"):
            excitation = self._line_temperatures / np.log(
                x[:, lower] * self._weight_ratio / x[:, upper]
            )
        return tau, self._line_temperatures * photons, excitation

    def blend_temperature(self, solution, column, around, lines, line_width):
        """Return the radiation temperature [K] of several ``lines`` seen as one.

        ``solution`` is that for ``column`` and ``around``, ``line_width`` the full
        widths at half maximum [km/s], of shape (n_models,) as the temperature is.
        """
        x = solution.populations
        return blend_temperature(
            lines,
            line_width,
            self.molecule.frequencies,
            solution.radiation_temperature,
            self._line_temperatures,
            self._depths(x, column),
            self._tau_factor * column[:, None] * x[:, self.molecule.upper],
            *around[1:],
        )


def _without_repetition(upper, lower):
    """Return groups of lines, none of which has a pair of levels twice."""
    seen, groups = {}, []
    for line, pair in enumerate(zip(upper.tolist(), lower.tolist(), strict=True)):
        times = seen[pair] = seen.get(pair, -1) + 1
        if times == len(groups):
            groups.append([])
        groups[times].append(line)
    if len(groups) == 1:
        return [slice(None)]
    return [np.array(group) for group in groups]

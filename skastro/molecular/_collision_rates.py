"""Collision rates of a molecule with its partners, for a block of models at once."""

import numpy as np


class CollisionRates:
    """Rates between levels, interpolated in temperature and in detailed balance.

    Parameters
    ----------
    molecule : Molecule
        Levels.
    tables : sequence of Collisions
        Downward rates with each partner.
    energies : ndarray of shape (n_levels,)
        Level energies [K].
    """

    def __init__(self, molecule, tables, energies):
        self._n_levels = molecule.n_levels
        # pairs of levels as the tables list them, each pair once
        rows = {}
        for table in tables:
            for pair in zip(table.lower.tolist(), table.upper.tolist(), strict=True):
                rows.setdefault(pair, len(rows))
        pairs = np.array(list(rows), dtype=int).reshape(-1, 2)
        self._lower, self._upper = pairs.T
        weights = molecule.statistical_weights
        self._ratio = weights[self._upper] / weights[self._lower]
        # negative where a file lists a rate from the lower to the upper level
        self._gap = energies[self._upper] - energies[self._lower]
        self._tables = []
        for table in tables:
            listed = zip(table.lower.tolist(), table.upper.tolist(), strict=True)
            rates = np.zeros((len(table.temperatures), len(rows)))
            rates[:, [rows[pair] for pair in listed]] = table.rates
            self._tables.append((table.temperatures, rates))

    def _downward(self, temperature, amounts):
        """Return the rates as the tables list them [s^-1]."""
        total = 0.0
        for (grid, rates), amount in zip(self._tables, amounts, strict=True):
            if len(grid) == 1:
                total = total + rates[0] * amount[:, None]
                continue
            position = np.clip(np.searchsorted(grid, temperature) - 1, 0, len(grid) - 2)
            weight = (temperature - grid[position]) / (
                grid[position + 1] - grid[position]
            )
            weight = np.clip(weight, 0.0, 1.0)  # the ends of a table are held
            total = (
                total
                + rates[position] * (amount * (1 - weight))[:, None]
                + rates[position + 1] * (amount * weight)[:, None]
            )
        return total

    def matrices(self, temperature, amounts):
        """Return ``C[b, i, j]``, the collision rate from level j to level i [s^-1].

        Parameters
        ----------
        temperature : ndarray of shape (n_models,)
            Kinetic temperature [K].
        amounts : ndarray of shape (n_tables, n_models)
            Density of the partner of each table [cm^-3].

        Returns
        -------
        matrices : ndarray of shape (n_models, n_levels, n_levels)
        """
        listed = self._downward(temperature, amounts)
        # detailed balance: rate up = rate down g_u / g_l exp(-dE / kT)
        with np.errstate(under="ignore"):
            reverse = listed * (self._ratio * np.exp(-self._gap / temperature[:, None]))
        matrices = np.zeros((len(temperature), self._n_levels, self._n_levels))
        matrices[:, self._lower, self._upper] = listed
        matrices[:, self._upper, self._lower] += reverse
        return matrices

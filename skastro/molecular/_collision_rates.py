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
        self._both_ways = any((upper, lower) in rows for lower, upper in rows)
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
        # in place: memory for each product would cost more than the products
        total = np.zeros((len(temperature), len(self._lower)))
        product = np.empty_like(total)
        for (grid, rates), amount in zip(self._tables, amounts, strict=True):
            if len(grid) == 1:
                total += np.multiply(rates[0], amount[:, None], out=product)
                continue
            position = np.clip(np.searchsorted(grid, temperature) - 1, 0, len(grid) - 2)
            weight = (temperature - grid[position]) / (
                grid[position + 1] - grid[position]
            )
            weight = np.clip(weight, 0.0, 1.0)  # the ends of a table are held
            for end, share in ((position, 1 - weight), (position + 1, weight)):
                np.take(rates, end, axis=0, out=product, mode="clip")
                product *= (amount * share)[:, None]
                total += product
        return total

    def matrices(self, temperature, amounts, memory=None):
        """Return ``C[b, i, j]``, the collision rate from level j to level i [s^-1].

        Parameters
        ----------
        temperature : ndarray of shape (n_models,)
            Kinetic temperature [K].
        amounts : ndarray of shape (n_tables, n_models)
            Density of the partner of each table [cm^-3].
        memory : ndarray of shape (at least n_models, n_levels, n_levels), default=None
            Where to put them.

        Returns
        -------
        matrices : ndarray of shape (n_models, n_levels, n_levels)
        """
        listed = self._downward(temperature, amounts)
        # detailed balance: rate up = rate down g_u / g_l exp(-dE / kT)
        with np.errstate(under="ignore"):
            reverse = np.divide(-self._gap, temperature[:, None])
            np.exp(reverse, out=reverse)
            reverse *= self._ratio
            reverse *= listed
        n_models, n_levels = len(temperature), self._n_levels
        if memory is None:
            memory = np.empty((n_models, n_levels, n_levels))
        matrices = memory[:n_models]
        matrices.fill(0.0)
        by_pair = matrices.reshape(n_models, -1).T
        by_pair[self._lower * n_levels + self._upper] = listed.T
        if self._both_ways:
            by_pair[self._upper * n_levels + self._lower] += reverse.T
        else:
            by_pair[self._upper * n_levels + self._lower] = reverse.T
        return matrices

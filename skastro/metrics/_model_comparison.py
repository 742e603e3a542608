"""What the evidence of many objects says of several models, and by whose word."""

from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp, softmax

from ..utils.suggestions import closest

#: Standard errors of ln Z by which a verdict must hold.
_N_SIGMA = 2.0


@dataclass(frozen=True, repr=False)
class ModelComparison:
    """What the evidence of many objects says of several models.

    Made by :func:`compare_models`. All logarithms are natural. Sums are over the
    objects of which every model has an evidence.

    Attributes
    ----------
    names : list of str
        Names of the models.
    objects : list
        Labels of the objects.
    log_evidence, log_evidence_err : ndarray of shape (n_models, n_objects)
        Evidence and its standard error; NaN where a model has none.
    model_prior : ndarray of shape (n_models,)
        Probability of each model before the data.
    odds : float
        Odds at which a model counts as preferred to another.
    unchecked : list of str
        Models of which only posteriors were given, which do not remember what data they
        are of: nothing tells that these are the same.
    """

    names: list
    objects: list
    log_evidence: np.ndarray
    log_evidence_err: np.ndarray
    model_prior: np.ndarray
    odds: float
    unchecked: list

    # -- all objects together

    @property
    def compared(self):
        """Whether each object has an evidence of every model: those that are summed."""
        return np.isfinite(self.log_evidence).all(axis=0)

    @property
    def missing(self):
        """Labels of the objects that each model, by name, has no evidence of."""
        found = np.isfinite(self.log_evidence)
        return {
            name: [
                label for label, has in zip(self.objects, row, strict=True) if not has
            ]
            for name, row in zip(self.names, found, strict=True)
        }

    @property
    def total_log_evidence(self):
        """Evidence of all objects together, of shape (n_models,)."""
        return self.log_evidence[:, self.compared].sum(axis=1)

    @property
    def total_log_evidence_err(self):
        """Its standard error: those of the objects, added in quadrature."""
        return np.sqrt((self.log_evidence_err[:, self.compared] ** 2).sum(axis=1))

    @property
    def probabilities(self):
        """Probability of each model, given that one of them made all objects."""
        return softmax(np.log(self.model_prior) + self.total_log_evidence)

    @property
    def object_probabilities(self):
        """Probability of each model for each object alone, (n_models, n_objects)."""
        log_weight = np.log(self.model_prior)[:, None] + self.log_evidence
        return np.exp(log_weight - logsumexp(log_weight, axis=0))

    @property
    def best(self):
        """Name of the most probable model."""
        return self.names[self._ranking()[0]]

    def log_odds(self, rival=None):
        """Return the logarithm of the odds of the best model against another.

        Parameters
        ----------
        rival : str, default=None
            Name of the other; by default the second most probable.

        Returns
        -------
        log_odds, log_odds_err : float
            Of the models' probabilities, so with their prior, and its standard error.

        Raises
        ------
        ValueError
            If there is no such other model.
        """
        best, other = self._pair(rival)
        difference = self.differences(rival)
        prior = np.log(self.model_prior[best] / self.model_prior[other])
        return prior + np.nansum(difference[0]), np.sqrt(np.nansum(difference[1] ** 2))

    def verdict(self, rival=None):
        """Tell whether the best model is preferred to another at the stated odds.

        Parameters
        ----------
        rival : str, default=None
            Name of the other; by default the second most probable.

        Returns
        -------
        verdict : {"preferred", "open", "not resolved"}
            Preferred where the odds exceed those asked by more than twice their
            numerical error; not resolved where they are within that of them, which
            longer sampling can settle, and open where they are less.
        """
        log_odds, err = self.log_odds(rival)
        if self._favours(log_odds, err):
            return "preferred"
        near = log_odds + _N_SIGMA * err >= np.log(self.odds)
        return "not resolved" if near else "open"

    # -- object by object

    def differences(self, rival=None):
        """Return by how much each object prefers the best model to another.

        Parameters
        ----------
        rival : str, default=None
            Name of the other; by default the second most probable.

        Returns
        -------
        difference, difference_err : ndarray of shape (n_objects,)
            Of ln Z, best less other, and its standard error; NaN for an object that is
            not compared.

        Raises
        ------
        ValueError
            If there is no such other model.
        """
        best, other = self._pair(rival)
        difference = self.log_evidence[best] - self.log_evidence[other]
        err = np.hypot(self.log_evidence_err[best], self.log_evidence_err[other])
        return tuple(np.where(self.compared, x, np.nan) for x in (difference, err))

    def decisive_objects(self, rival=None):
        """Return the objects of which each alone decides.

        Parameters
        ----------
        rival : str, default=None
            Name of the other model; by default the second most probable.

        Returns
        -------
        objects : list
            Labels of the objects without any one of which the best model would be
            preferred no more, or another be preferred; those of the largest
            contribution first.
        """
        deciding = np.flatnonzero(self._decide(rival))
        order = np.argsort(-np.abs(self.differences(rival)[0][deciding]), kind="stable")
        return [self.objects[i] for i in deciding[order]]

    def carrying_objects(self, rival=None):
        """Return the fewest objects without which a model is preferred no more.

        Parameters
        ----------
        rival : str, default=None
            Name of the other model; by default the second most probable.

        Returns
        -------
        objects : list
            Labels of the objects that prefer the best model most, as many as it takes;
            of length one where one alone decides, and empty where it is not preferred.
            All of them, where its prior alone suffices.
        """
        total, err = self.log_odds(rival)
        own, own_err = self.differences(rival)
        taken = []
        for i in np.argsort(-own, kind="stable")[: self.compared.sum()]:
            if not self._favours(total, err):
                break
            taken.append(self.objects[i])
            total, err = total - own[i], _less(err, own_err[i])
        return taken

    # -- tables and words

    def to_table(self):
        """Return the models as a table, the most probable first.

        Returns
        -------
        table : astropy.table.QTable
            ``model``, ``log_evidence`` and ``log_evidence_err`` of all objects
            together; ``difference`` from the most probable, and its
            ``difference_err``; ``model_prior`` and ``probability``.
        """
        from astropy.table import QTable

        order = self._ranking()
        sums, errors = self.total_log_evidence, self.total_log_evidence_err
        best = order[0]
        table = QTable()
        table["model"] = [self.names[k] for k in order]
        table["log_evidence"] = sums[order]
        table["log_evidence_err"] = errors[order]
        table["difference"] = (sums - sums[best])[order]
        table["difference_err"] = [
            0.0 if k == best else np.hypot(errors[k], errors[best]) for k in order
        ]
        table["model_prior"] = self.model_prior[order]
        table["probability"] = self.probabilities[order]
        table.meta["n_objects"] = int(self.compared.sum())
        return table

    def to_object_table(self, rival=None):
        """Return the objects as a table, in their order.

        Parameters
        ----------
        rival : str, default=None
            Name of the model to compare the best with; by default the second most
            probable.

        Returns
        -------
        table : astropy.table.QTable
            ``object``; ``difference`` of ln Z, best less rival, and
            ``difference_err``; ``log_odds_without``, of all others together;
            ``decides``, whether the verdict is another without it.
        """
        from astropy.table import QTable

        own, own_err = self.differences(rival)
        table = QTable()
        table["object"] = self.objects
        table["difference"], table["difference_err"] = own, own_err
        table["log_odds_without"] = self.log_odds(rival)[0] - own
        table["decides"] = self._decide(rival)
        best, other = self._pair(rival)
        table.meta["models"] = (self.names[best], self.names[other])
        return table

    def summary(self):
        """Write models, verdicts and the objects that decide as a text.

        Returns
        -------
        text : str
        """
        rows = [("model", "ln Z", "to the best", "probability")]
        for row in self.to_table():
            less = f"{row['difference']:.2f} ± {row['difference_err']:.2f}"
            rows.append(
                (
                    str(row["model"]),
                    f"{row['log_evidence']:.2f} ± {row['log_evidence_err']:.2f}",
                    "" if row["model"] == self.best else less,
                    f"{row['probability']:.3g}",
                )
            )
        widths = [max(len(row[i]) for row in rows) for i in range(4)]
        lines = [
            "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True))
            for row in rows
        ]
        n = int(self.compared.sum())
        lines.append(f"of {n} object{'s' * (n != 1)}, at odds of {self.odds:g} to 1")
        lines += [self._words(self.names[k]) for k in self._ranking()[1:]]
        for name, labels in self.missing.items():
            if labels:
                lines.append(
                    f"Not compared, without an evidence of {name!r}: {listed(labels)}."
                )
        if self.unchecked:
            lines.append(
                "Not known whether the data are the same, from posteriors alone: "
                f"{listed(self.unchecked)}."
            )
        return "\n".join(line.rstrip() for line in lines)

    __repr__ = summary

    def _words(self, rival):
        """Say how the best model stands to another, and by whose word."""
        log_odds, err = self.log_odds(rival)
        verdict = self.verdict(rival)
        said = {
            "preferred": f"{self.best!r} is preferred to {rival!r}",
            "open": f"Open between {self.best!r} and {rival!r}",
            "not resolved": f"Not resolved between {self.best!r} and {rival!r}"
            " (sample longer)",
        }[verdict]
        said += f": ln odds {log_odds:.2f} ± {err:.2f}, asked {np.log(self.odds):.2f}."
        alone = self.decisive_objects(rival)
        if alone:
            return f"{said} Each of these alone decides: {listed(alone)}."
        carrying = self.carrying_objects(rival)
        if carrying and verdict == "preferred" and len(carrying) < self.compared.sum():
            return f"{said} It takes {len(carrying)} to undo it: {listed(carrying)}."
        return said

    def _ranking(self):
        """Return the models' positions, the most probable first."""
        return np.argsort(
            -(np.log(self.model_prior) + self.total_log_evidence), kind="stable"
        )

    def _pair(self, rival):
        """Return the positions of the best model and of another."""
        order = self._ranking()
        if rival is None:
            return order[0], order[1]
        if rival not in self.names:
            raise ValueError(
                f"`rival`={rival!r} is none of the models, {self.names}."
                + closest(str(rival), self.names)
            )
        other = self.names.index(rival)
        if other == order[0]:
            raise ValueError(f"`rival`={rival!r} is the most probable model itself.")
        return order[0], other

    def _favours(self, log_odds, err):
        """Return 1, -1 or 0: for, against, neither at the odds, numbers allowed for."""
        sure = np.abs(log_odds) - _N_SIGMA * err >= np.log(self.odds)
        return np.where(sure, np.sign(log_odds), 0).astype(int)

    def _decide(self, rival):
        """Whether each object alone decides: the verdict is another without it."""
        total, err = self.log_odds(rival)
        own, own_err = self.differences(rival)
        without = self._favours(total - own, _less(err, own_err))
        return self.compared & (without != self._favours(total, err))


def _less(err, own):
    """Return the error of a sum without one of its terms."""
    return np.sqrt(np.maximum(err**2 - own**2, 0.0))


def listed(labels, n=10):
    """Write labels, the first few of many.

    Parameters
    ----------
    labels : list
        Labels of objects.
    n : int, default=10
        How many at most.

    Returns
    -------
    text : str
    """
    said = ", ".join(repr(getattr(x, "item", lambda x=x: x)()) for x in labels[:n])
    return said if len(labels) <= n else f"{said} and {len(labels) - n} more"

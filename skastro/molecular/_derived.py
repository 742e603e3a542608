"""Models made of another model, with nothing of their own to learn."""

import copy

from ..utils.cloning import clone_around
from ..utils.predictive_spread import has_spread
from ._gas import GasModel


def quiet(model, policy="ignore"):
    """Return a shallow copy of a model that does not mind its own domain.

    Parameters
    ----------
    model : object
        Any model.
    policy : str, default="ignore"
        Its ``extrapolation``, if it has one.

    Returns
    -------
    model : object
        Itself, if it has none.
    """
    if not hasattr(model, "extrapolation"):
        return model
    model = copy.copy(model)
    model.extrapolation = policy
    return model


class DerivedModel(GasModel):
    """Base of models that predict something of what ``model`` predicts.

    A clone keeps ``model`` as it is, fitted or not: it is not learned here.
    """

    @property
    def has_spread(self):
        """Whether ``model`` knows how uncertain it is."""
        return has_spread(self.model)

    @property
    def extrapolation(self):
        """What ``model`` does outside its range; set it there."""
        return getattr(self.model, "extrapolation", "ignore")

    @extrapolation.setter
    def extrapolation(self, policy):
        self.model = quiet(self.model, policy)

    def fit(self, X, y=None):
        """Check the parameters; there is nothing to learn.

        Parameters
        ----------
        X : array-like of shape (n_models, n_parameters)
            Gas properties; see :meth:`predict`.
        y : None
            Ignored; there is nothing to learn.

        Returns
        -------
        self : estimator
        """
        self._validate_params()
        self.n_features_in_ = self._check_theta(X).shape[1]
        return self

    def __sklearn_clone__(self):
        """Clone, but keep a fitted model fitted."""
        return clone_around(self, {"model"})

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        return tags

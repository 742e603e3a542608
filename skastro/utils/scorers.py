"""Scorers that take errors along: objects with metadata requests."""

import functools
import importlib

import sklearn
from sklearn.utils.metadata_routing import MetadataRequest


class Scorer:
    """A scorer that scikit-learn's searches and cross-validations pass metadata to.

    A plain function is called without any. Scorers of the package are shared by all
    who import them, and so never change: `set_score_request` returns another one.

    Parameters
    ----------
    function : callable
        ``function(estimator, X, y, **metadata) -> float``, higher is better; defined
        at the top of a module, where the scorer takes its name.
    metadata : tuple of str, default=()
        Names of the metadata that it takes, such as ``"sigma"``.
    """

    def __init__(self, function, metadata=()):
        self._function = function
        self._metadata = tuple(metadata)
        self._requests = dict.fromkeys(metadata)
        # name, module, documentation and signature
        functools.update_wrapper(self, function)

    def __call__(self, estimator, X, y=None, **metadata):
        """Return the score of a fitted estimator; higher is better."""
        unknown = sorted(set(metadata) - set(self._metadata))
        if unknown:
            raise TypeError(
                f"{self.__name__} takes the metadata {list(self._metadata)}, got"
                f" {unknown}."
            )
        given = {name: value for name, value in metadata.items() if value is not None}
        return self._function(estimator, X, y, **given)

    def set_score_request(self, **requests):
        """Return the scorer that asks searches for metadata.

        Needs ``sklearn.set_config(enable_metadata_routing=True)``.

        Parameters
        ----------
        **requests : dict of str to bool, str or None
            As everywhere in scikit-learn: True to have it passed on, False to be
            called without it, None to let it be an error if it is given, or the name
            under which it is given.

        Returns
        -------
        scorer : Scorer
            Another one; this one stays as it is.

        Raises
        ------
        RuntimeError
            If metadata routing is off, as of scikit-learn's own.
        TypeError
            If it takes no such metadata.
        ValueError
            If a request is none of these.
        """
        unknown = sorted(set(requests) - set(self._metadata))
        if unknown:
            raise TypeError(
                f"{self.__name__} can request {list(self._metadata)}, not {unknown}."
            )
        if not sklearn.get_config()["enable_metadata_routing"]:
            raise RuntimeError(
                "Requests mean something only with metadata routing; switch it on by"
                " sklearn.set_config(enable_metadata_routing=True)."
            )
        return self._asking(requests)

    def _asking(self, requests):
        scorer = Scorer(self._function, self._metadata)
        scorer._requests = self._requests | requests
        scorer.get_metadata_routing()  # which knows what is no request
        return scorer

    def get_metadata_routing(self):
        """Return the requests, for scikit-learn's routing.

        Returns
        -------
        routing : MetadataRequest
        """
        request = MetadataRequest(owner=self.__name__)
        for name, alias in self._requests.items():
            request.score.add_request(param=name, alias=alias)
        return request

    def __reduce__(self):
        return _restore, (self.__module__, self.__name__, self._requests)

    def __repr__(self):
        asked = [
            f"{name}={value!r}"
            for name, value in self._requests.items()
            if value is not None
        ]
        call = f".set_score_request({', '.join(asked)})" if asked else ""
        return f"{self.__name__}{call}"


def _restore(module, name, requests):
    """Return a scorer that was pickled as where it is to be found."""
    return getattr(importlib.import_module(module), name)._asking(requests)


def scorer(*metadata):
    """Make a scorer of a function: a decorator with the names of its metadata."""
    return functools.partial(Scorer, metadata=metadata)

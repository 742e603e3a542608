"""Fitted estimators in files that anyone may open: safetensors, no pickle."""

import json
from pathlib import Path

import numpy as np
from sklearn.utils.validation import check_is_fitted

from ..emulation import EmulatorRegressor
from ..molecular import (
    AbundanceEmulator,
    BlackBody,
    Dust,
    ModifiedBlackBody,
    RadexEmulator,
    TabulatedField,
)

_FORMAT = "skastro estimator 1"
_ARRAYS = (
    "domain_",
    "feature_shift_",
    "feature_scale_",
    "target_shift_",
    "target_scale_",
)
#: Settings of RadexEmulator that are objects, by the names of their classes.
_SOURCES = {
    kind.__name__: kind for kind in (BlackBody, Dust, ModifiedBlackBody, TabulatedField)
}


def save_estimator(estimator, path):
    """Write a fitted emulator to a safetensors file.

    Unlike a pickle, the file runs no code when it is read, and outlives versions of
    Python, scikit-learn and torch. It holds parameters, weights and scalings; the
    history of the training is left behind.

    Parameters
    ----------
    estimator : EmulatorRegressor, RadexEmulator or AbundanceEmulator
        Fitted. The emulators inside a :class:`~skastro.molecular.RadexEmulator` or a
        :class:`~skastro.molecular.AbundanceEmulator` must be
        :class:`~skastro.emulation.EmulatorRegressor`.
    path : path-like
        The file, conventionally ``*.safetensors``; an existing one is replaced.

    Raises
    ------
    TypeError
        If the estimator is of another kind, or has parameters that are code: a network
        class or callbacks of your own, or molecules.

    See Also
    --------
    load_estimator : Reads it back.

    Examples
    --------
    >>> import numpy as np, tempfile
    >>> from pathlib import Path
    >>> from skastro.emulation import EmulatorRegressor
    >>> from skastro.io import load_estimator, save_estimator
    >>> X = np.linspace(0, 1, 50)[:, None]
    >>> emulator = EmulatorRegressor((8,), max_epochs=5).fit(X, X[:, 0] ** 2)
    >>> path = Path(tempfile.mkdtemp()) / "square.safetensors"
    >>> save_estimator(emulator, path)
    >>> bool((load_estimator(path).predict(X) == emulator.predict(X)).all())
    True
    """
    from safetensors.numpy import save_file

    description, arrays = _pack(estimator)
    metadata = {"format": _FORMAT, "estimator": json.dumps(description)}
    path = Path(path)
    partial = path.with_name(path.name + ".partial")
    save_file(arrays, partial, metadata)
    partial.replace(path)


def load_estimator(path):
    """Read a fitted emulator from a file of :func:`save_estimator`.

    Parameters
    ----------
    path : path-like
        The file.

    Returns
    -------
    estimator : EmulatorRegressor, RadexEmulator or AbundanceEmulator
        It predicts what the saved one did, to the last bit. It can be fitted again;
        its networks carry no training history.

    Raises
    ------
    ValueError
        If the file was not written by :func:`save_estimator`.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(Path(path), framework="numpy") as file:
            metadata = file.metadata() or {}
            arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(
            f"{str(path)!r} is not a safetensors file: {error}."
        ) from error
    if metadata.get("format") != _FORMAT:
        raise ValueError(
            f"{str(path)!r} was not written by skastro.io.save_estimator, or by a newer"
            f" version; its format is {metadata.get('format')!r}, not {_FORMAT!r}."
        )
    return _unpack(json.loads(metadata["estimator"]), arrays)


def _parameters(estimator, *skip):
    """Return the parameters that JSON can hold, or say which it cannot."""
    parameters = estimator.get_params(deep=False)
    kept = {}
    for name, value in parameters.items():
        if name in skip:
            continue
        if isinstance(value, np.random.RandomState):
            value = None  # a generator's state is no part of a fitted emulator
        try:
            kept[name] = json.loads(json.dumps(value, default=_plain))
        except TypeError:
            raise TypeError(
                f"{type(estimator).__name__} has {name}={value!r}, which a file without"
                " code cannot hold; pickle it, or fit without."
            ) from None
    return kept


def _plain(value):
    """Return what JSON can hold of a number or array, or of radiation and dust."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if _SOURCES.get(type(value).__name__) is type(value):
        return {"class": type(value).__name__, **vars(value)}
    raise TypeError


def _source(value):
    """Return radiation or dust of its description; nothing else has one."""
    if isinstance(value, list):
        return [_source(item) for item in value]
    if not isinstance(value, dict):
        return value
    settings = dict(value)
    return _SOURCES[settings.pop("class")](**settings)


def _pack(estimator):
    """Return a JSON description and arrays by name."""
    check_is_fitted(estimator)
    if type(estimator) is EmulatorRegressor:
        return _pack_emulator(estimator)
    if type(estimator) is RadexEmulator:
        return _pack_radex(estimator)
    if type(estimator) is AbundanceEmulator:
        return _pack_abundances(estimator)
    raise TypeError(
        "Only EmulatorRegressor, RadexEmulator and AbundanceEmulator can be saved, got"
        f" {type(estimator).__name__}."
    )


def _pack_emulator(estimator):
    names = getattr(estimator, "feature_names_in_", None)
    description = {
        "class": "EmulatorRegressor",
        "parameters": _parameters(estimator),
        "n_features": estimator.n_features_in_,
        "feature_names": None if names is None else list(names),
        "y_ndim": estimator._y_ndim,
    }
    arrays = {name: np.asarray(getattr(estimator, name)) for name in _ARRAYS}
    for i, nets in enumerate(estimator.nets_):
        for j, net in enumerate(nets):
            for name, value in net.module_.state_dict().items():
                arrays[f"net.{i}.{j}.{name}"] = value.cpu().numpy()
    return description, arrays


def _pack_radex(estimator):
    description = {
        "class": "RadexEmulator",
        "parameters": _parameters(estimator, "estimator"),
        "template": _parameters(estimator.estimator),
        "lowest_intensity": estimator.lowest_intensity_,
        "estimators": {},
    }
    arrays = {}
    for species, emulator in estimator.estimators_.items():
        inner, inner_arrays = _pack(emulator)
        description["estimators"][species] = inner
        arrays |= {f"{species}:{name}": value for name, value in inner_arrays.items()}
        arrays[f"{species}:domain"] = estimator.domains_[species]
        arrays[f"{species}:gas_domain"] = estimator.gas_domains_[species]
    return description, arrays


def _pack_abundances(estimator):
    description = {
        "class": "AbundanceEmulator",
        "parameters": _parameters(estimator, "estimator"),
        "template": _parameters(estimator.estimator),
        "estimators": [],
    }
    arrays = {"domain": estimator.domain_}
    for i, emulator in enumerate(estimator.estimators_):
        inner, inner_arrays = _pack(emulator)
        description["estimators"].append(inner)
        arrays |= {f"{i}:{name}": value for name, value in inner_arrays.items()}
    return description, arrays


def _own(arrays, prefix):
    """Return the arrays whose names begin so, without that."""
    return {
        k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)
    }


def _unpack(description, arrays):
    if description["class"] == "AbundanceEmulator":
        return _unpack_abundances(description, arrays)
    if description["class"] == "RadexEmulator":
        return _unpack_radex(description, arrays)
    return _unpack_emulator(description, arrays)


def _tuples(parameters):
    """Give lists of JSON back as tuples, as parameters had them."""
    return {k: tuple(v) if isinstance(v, list) else v for k, v in parameters.items()}


def _unpack_emulator(description, arrays):
    estimator = EmulatorRegressor(**_tuples(description["parameters"]))
    estimator.n_features_in_ = description["n_features"]
    if description["feature_names"] is not None:
        estimator.feature_names_in_ = np.array(description["feature_names"], object)
    states = {}
    for name, value in arrays.items():
        if name.startswith("net."):
            _, i, j, parameter = name.split(".", 3)
            states.setdefault((int(i), int(j)), {})[parameter] = value
        elif name in _ARRAYS:
            setattr(estimator, name, value)
    return estimator._restore(states, description["y_ndim"])


def _unpack_radex(description, arrays):
    template = EmulatorRegressor(**_tuples(description["template"]))
    parameters = description["parameters"]
    if "partners" in parameters:  # not in files of before there were any
        parameters["partners"] = tuple(parameters["partners"])
    for name in ("radiation", "dust"):
        parameters[name] = _source(parameters.get(name))
    estimator = RadexEmulator(estimator=template, **parameters)
    estimator.estimators_, estimator.domains_, estimator.gas_domains_ = {}, {}, {}
    for species, inner in description["estimators"].items():
        own = _own(arrays, f"{species}:")
        estimator.domains_[species] = own.pop("domain")
        estimator.gas_domains_[species] = own.pop("gas_domain")
        estimator.estimators_[species] = _unpack_emulator(inner, own)
    estimator.lowest_intensity_ = description["lowest_intensity"]
    estimator.n_features_in_ = len(estimator.parameter_names)
    return estimator


def _unpack_abundances(description, arrays):
    template = EmulatorRegressor(**_tuples(description["template"]))
    estimator = AbundanceEmulator(estimator=template, **description["parameters"])
    estimator.domain_ = arrays["domain"]
    estimator.estimators_ = [
        _unpack_emulator(inner, _own(arrays, f"{i}:"))
        for i, inner in enumerate(description["estimators"])
    ]
    estimator.n_features_in_ = len(estimator.parameter_names)
    return estimator

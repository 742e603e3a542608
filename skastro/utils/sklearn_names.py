"""The one place that imports scikit-learn's semi-private names.

They are what scikit-learn's own template for third-party estimators uses, but a rename
upstream should cost one line here and nothing elsewhere.
"""

from sklearn.base import _fit_context
from sklearn.utils._indexing import _get_column_indices
from sklearn.utils._param_validation import (
    HasMethods,
    Interval,
    StrOptions,
)
from sklearn.utils.validation import (
    _check_feature_names_in,
    _check_method_params,
    _check_sample_weight,
    validate_data,
)

__all__ = [
    "HasMethods",
    "Interval",
    "StrOptions",
    "_check_feature_names_in",
    "_check_method_params",
    "_check_sample_weight",
    "_fit_context",
    "_get_column_indices",
    "validate_data",
]

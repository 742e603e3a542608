"""The base class of all skastro estimators.

Think twice before adding anything here: it reaches every estimator.
"""

from sklearn.base import BaseEstimator


class SkastroEstimator(BaseEstimator):
    """scikit-learn's ``BaseEstimator`` with skastro's documentation link."""

    _doc_link_module = "skastro"
    _doc_link_template = (
        "https://skastro.readthedocs.io/en/latest/generated/"
        "{estimator_module}.{estimator_name}.html"
    )

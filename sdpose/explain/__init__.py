"""Causes by experiment: a run is set up again from the state before a fault, and asked until it tells why.

`find_case` says what is to be explained, `explain_case` makes the experiments, an `Explanation` is what came out.
"""

from sdpose.explain.case import Case, find_case
from sdpose.explain.ending import explain_ending
from sdpose.explain.explanation import Experiment, Explanation, Place, Suspect
from sdpose.explain.incident import RESULT_FILE, explain_case, explain_incident

__all__ = [
    "RESULT_FILE",
    "Case",
    "Experiment",
    "Explanation",
    "Place",
    "Suspect",
    "explain_case",
    "explain_ending",
    "explain_incident",
    "find_case",
]

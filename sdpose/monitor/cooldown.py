"""Says a fault once, not at every check while it lasts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sdpose.monitor.alert import GRAVITY
from sdpose.monitor.finding import Finding


class Cooldown:
    """Passes a finding on unless one of its kind, on its metric and as grave, was passed on a short while ago.

    What was held back is counted, and the count rides in the evidence of the next one (`held_back`).
    """

    def __init__(self, iterations: int) -> None:
        self.iterations = iterations
        self._said: dict[str, list[int]] = {}

    def sift(self, findings: Sequence[Finding]) -> list[Finding]:
        """Those to be said, in their order."""
        passed = []
        for finding in findings:
            key = f"{finding.kind}/{finding.metric}"
            gravity = GRAVITY[finding.severity]
            said = self._said.get(key)
            if said is not None:
                iteration, before, held_back = said
                elapsed = finding.iteration - iteration
                if 0 <= elapsed < self.iterations and gravity <= before:
                    said[2] += 1
                    continue
                if held_back:
                    finding = replace(finding, evidence={**finding.evidence, "held_back": held_back})
            self._said[key] = [finding.iteration, gravity, 0]
            passed.append(finding)
        return passed

    def state_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {key: list(said) for key, said in self._said.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        self._said = {key: list(said) for key, said in state.items()}

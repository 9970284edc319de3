"""What went wrong and what was done about it: alarms, repairs, incidents with the experiments on them."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from sdpose.monitor import Alert
from sdpose.monitor.alert import GRAVITY, Severity
from sdpose.report.blocks import Block, Card, Paragraph, Points, Table
from sdpose.report.run_folder import RunFolder

Say: TypeAlias = Callable[..., str]
_MOST_PLACES = 12


def alarms(run: RunFolder, words: Say) -> list[Block]:
    """A card for each kind and metric, the gravest first; those found afterwards only where none was raised."""
    raised_kinds = {alert.kind for alert in run.alerts}
    groups: dict[tuple[str, str | None, bool], list[Alert]] = {}
    for alert in run.alerts:
        if alert.severity != "info":
            groups.setdefault((alert.kind, alert.metric, True), []).append(alert)
    for alert in run.found:
        if alert.kind not in raised_kinds and alert.severity != "info":
            groups.setdefault((alert.kind, alert.metric, False), []).append(alert)
    gravest_first = sorted(groups.items(), key=lambda group: -GRAVITY[_gravest(group[1])])
    cards = [_card(alerts, live, run, words) for (_, _, live), alerts in gravest_first]
    return [*cards] or [Paragraph(words("none_raised"))]


def _card(alerts: list[Alert], live: bool, run: RunFolder, words: Say) -> Card:
    alert = alerts[0]
    severity = _gravest(alerts)
    place = {"iteration": alert.iteration, "epoch": alert.epoch}
    title = words("alarm_title", severity=_named(severity, words), kind=alert.kind, **place)
    blocks: list[Block] = [Paragraph(alert.message)]
    if alert.causes:
        blocks.append(Points(alert.causes, words("causes"), ordered=True))
    if alert.actions:
        blocks.append(Points(alert.actions, words("actions"), ordered=True))
    if len(alerts) > 1:
        steps = [str(each.iteration) for each in alerts[1:]]
        more = " ..." if len(steps) > _MOST_PLACES else ""
        blocks.append(Paragraph(words("also_at", steps=", ".join(steps[:_MOST_PLACES]) + more), "note"))
    remade = live and (alert.kind, alert.iteration) in run.remade
    seen = words("seen_live" if live else "seen_after") + (f" {words('remade')}" if remade else "")
    blocks.append(Paragraph(seen, "note"))
    return Card(title, severity, blocks)


def _gravest(alerts: list[Alert]) -> Severity:
    return max((alert.severity for alert in alerts), key=GRAVITY.__getitem__)


def _named(severity: str, words: Say) -> str:
    """In words, for who does not see the colour."""
    return words(f"severity.{severity}") if severity in GRAVITY else severity


def repairs(run: RunFolder, words: Say) -> list[Block]:
    """What repairs.jsonl says, in order."""
    if not run.repairs:
        return [Paragraph(words("no_repairs"))]
    rows = [
        tuple(str(entry.get(name, "")) for name in ("iteration", "text", "outcome")) for entry in run.repairs
    ]
    return [
        Table(words("repairs"), (words("at_iteration"), words("repair"), words("outcome")), rows, prose=True)
    ]


def incidents(run: RunFolder, words: Say) -> list[Block]:
    """A card for each kept incident: the verdict of `sdpose explain`, or how to ask for it."""
    cards = [_incident(run, name, facts, found, words) for name, facts, found in run.incidents]
    return [*cards] or [Paragraph(words("no_incidents"))]


def _incident(
    run: RunFolder, name: str, facts: Mapping[str, Any], found: Mapping[str, Any], words: Say
) -> Card:
    kind, iteration = facts.get("kind", name), facts.get("iteration", "?")
    severity = str(facts.get("severity", "critical"))
    title = words("incident_title", severity=_named(severity, words), kind=kind, iteration=iteration)
    if not found:
        folder = shlex.quote(str(run.summary.path))
        return Card(title, severity, [Paragraph(words("not_explained", folder=folder))])
    blocks: list[Block] = [Paragraph(str(found.get("verdict", "")))]
    actions = [str(action) for action in found.get("actions") or ()]
    if actions:
        blocks.append(Points(actions, words("actions"), ordered=True))
    experiments = [
        f"{each.get('question', '')} {each.get('answer', '')}"
        for each in found.get("experiments") or ()
        if isinstance(each, Mapping)
    ]
    if experiments:
        blocks.append(Points(experiments, words("experiments")))
    ruled_out = [str(each) for each in found.get("ruled_out") or ()]
    if ruled_out:
        blocks.append(Points(ruled_out, words("ruled_out")))
    return Card(title, severity, blocks)

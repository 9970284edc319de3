"""Where alerts are sent besides the log: `monitor.notify`."""

from __future__ import annotations

import os
import re
from collections.abc import Callable

from sdpose.config.settings import Settings
from sdpose.errors import SdposeError
from sdpose.monitor.notify import Notifier

# An address holds a password or a token, and the resolved config goes into logs, checkpoints and the work dir.
HIDDEN = "$SDPOSE_NOTIFY"


def build_notifier(settings: Settings, *, name: str, log: Callable[[str], None]) -> Notifier | None:
    """The sender that `settings.monitor` asks for; None when it names no target. `name` is the run's.

    Raises SdposeError for a target that cannot be used.
    """
    monitor = settings.monitor
    if not monitor.notify:
        return None
    try:
        targets = [_address(target) for target in monitor.notify]
        return Notifier(targets, severity=monitor.notify_severity, name=name, log=log)
    except (ImportError, ValueError) as error:
        raise SdposeError(f"monitor.notify: {error}") from error


def without_addresses(text: str, settings: Settings) -> str:
    """A config's text with the addresses replaced by `$SDPOSE_NOTIFY`, from where they are read again."""
    for target in settings.monitor.notify:
        if _variable(target) is None:
            text = text.replace(repr(target), repr(HIDDEN))
    return text


def _address(target: str) -> str:
    name = _variable(target)
    if name is None:
        return target
    if not os.environ.get(name):
        raise SdposeError(
            f"monitor.notify names ${name}, which is not set; set it to an apprise URL (export {name}=...), or take it "
            "out of monitor.notify"
        )
    return os.environ[name]


def _variable(target: str) -> str | None:
    """The name in `$NAME`, or None for an address."""
    found = re.fullmatch(r"\$([A-Za-z_]\w*)", target)
    return found[1] if found else None

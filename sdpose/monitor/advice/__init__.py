"""Why a fault probably happened and what to do about it, in English and Korean."""

from sdpose.monitor.advice.compose import Advice, advise

__all__ = ["Advice", "advise"]

"""How often is the monitor right? Cases with a known truth, rules that judge them, and the arithmetic between.

`python -m benchmarks.monitor` is the door.
"""

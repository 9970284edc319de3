"""Real trainings with planted faults, as the monitor saw them: one small JSONL file a run, in `runs/`.

`python -m benchmarks.fault_corpus.record` makes them again; docs/monitor-scores.md tells what they are for.
"""

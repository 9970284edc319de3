"""English advice: the guide's sentences of `ko.py`, translated, under the same names."""

from __future__ import annotations

from collections.abc import Mapping

TEXTS: Mapping[str, str] = {
    "label_cause": "Probable cause",
    "label_action": "Action",
    "check_lr": "Check whether the learning rate is too high",
    "check_clipping": "Check gradient clipping (now: max_norm={max_norm})",
    "check_clipping_off": "Check gradient clipping (now: off)",
    "check_data": "Check the data for faults",
    "check_data_iterations": "iterations {first}-{last}",
    "faulty_data": "Faulty data",
    "overfitting": "Possibly overfitting",
    "check_schedule": "Check the learning rate schedule",
    "restore_best": "Consider going back to an earlier checkpoint",
    "no_heatmaps": "The model produces no proper heatmaps",
    "abnormal_output": "The model's output is abnormal (NaN, Inf, extreme values)",
    "extreme_output": "The model's output is abnormal (extreme values)",
    "run_quick_check": "Run the quick check",
    "grep_log": "Look for NaN/Inf in the log",
    "gradient_explosion": "Gradient explosion",
    "clip_tighter": "Gradient explosion -> clip gradients tighter ({old} -> {new})",
    "clip_on": "Gradient explosion -> turn gradient clipping on",
    "lr_too_high": "The learning rate is too high",
    "lower_lr": "The learning rate is too high -> lower it",
    "lower_lr_or_warm_up": "The learning rate is too high -> lower it or add a warm-up",
    "batch_size_changed": "The batch size was changed",
    "adjust_lr": "The batch size was changed -> change the learning rate along with it",
    "adjust_lr_batch": "batch now: samples_per_gpu {samples} x {processes} = {total}, lr {lr}",
    "mid_run_spike": "A spike in mid-run: check the learning rate schedule",
    "stop_early": "Early stopping may be considered",
    "restore_earlier": "Go back to an earlier checkpoint, from before the fault",
}

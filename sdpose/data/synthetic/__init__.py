"""Drawn people with true keypoints: the embedded data set (`sdpose data synth`)."""

from sdpose.data.synthetic.dataset import DatasetSummary, make_dataset
from sdpose.data.synthetic.scene import PersonTruth, Scene, draw_scene

__all__ = ["DatasetSummary", "PersonTruth", "Scene", "draw_scene", "make_dataset"]

"""Poses in photographs and films: a trained network, boxes of persons in, joints out."""

from sdpose.predict.poses import Poses
from sdpose.predict.predictor import Predictor

__all__ = ["Poses", "Predictor"]

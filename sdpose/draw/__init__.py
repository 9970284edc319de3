"""Pictures of poses: on one image, predictions beside the truth, and training samples with their targets.

Colours are BGR, keypoints (P, K, 3) are x and y in pixels of the image and a score (predictions) or, through
`truth_scores`, COCO's visibility flag (annotations).
"""

from sdpose.draw.poses import draw_poses, truth_scores
from sdpose.draw.samples import sample_sheet
from sdpose.draw.sheet import comparison_sheet

__all__ = ["comparison_sheet", "draw_poses", "sample_sheet", "truth_scores"]

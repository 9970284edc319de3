"""The predicted persons that an evaluation looked at, as a file: what pictures and tables need long after a training.

Legend: D predicted persons, K joints.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from sdpose.evaluation.scene import Scene
from sdpose.evaluation.stored_arrays import stored_arrays

_FORMAT = 1
# As `to_coco_results` names it.
_PERSON = 1


@dataclass(frozen=True)
class KeptPredictions:
    """image_ids (D,); joints (D, K, 3) float32, x, y in image pixels and the joint's score; scores (D,) of the persons.

    At most 20 persons an image, the best first: COCO's evaluation looks at no more.
    """

    image_ids: NDArray[np.int64]
    joints: NDArray[np.float32]
    scores: NDArray[np.float64]

    @classmethod
    def of(cls, scene: Scene) -> KeptPredictions:
        """Those that were matched in `scene`."""
        return cls(
            image_ids=scene.image_ids[scene.image],
            joints=scene.joints.astype(np.float32),
            scores=scene.scores,
        )

    def results(self) -> list[dict[str, Any]]:
        """In COCO's form, a dict a person; evaluated again they give the same AP."""
        flat = self.joints.reshape(len(self.joints), 3 * self.joints.shape[1]).tolist()
        columns = zip(self.image_ids.tolist(), flat, self.scores.tolist(), strict=True)
        return [
            {"image_id": image_id, "category_id": _PERSON, "keypoints": joints, "score": score}
            for image_id, joints, score in columns
        ]

    def save(self, file: IO[bytes]) -> None:
        """As an .npz without pickles, some 220 bytes a person.

        Not packed: that takes a second for the 80,000 of COCO's validation set and saves a tenth.
        """
        np.savez(
            file,
            format=np.int64(_FORMAT),
            image_ids=self.image_ids,
            joints=self.joints,
            scores=self.scores,
        )

    @classmethod
    def load(cls, path: Path) -> KeptPredictions:
        """Raises SdposeError for a file that is none."""
        with stored_arrays(path, version=_FORMAT) as stored:
            joints = stored["joints"]
            if joints.ndim != 3 or joints.shape[-1] != 3:
                raise ValueError(f"joints of the shape {joints.shape}")
            return cls(image_ids=stored["image_ids"], joints=joints, scores=stored["scores"])

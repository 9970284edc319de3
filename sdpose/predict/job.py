"""A prediction over many files: pictures, films, COCO results, a table; what is bad is named and passed over."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from sdpose.errors import SdposeError
from sdpose.predict.box_file import BoxFile, number_in
from sdpose.predict.journal import Journal
from sdpose.predict.media import Film, Image, Medium, read_image
from sdpose.predict.poses import Poses
from sdpose.predict.predictor import Predictor
from sdpose.predict.tracking import PoseTracker

_WRITABLE = (".jpg", ".jpeg", ".png", ".webp")


class Detector(Protocol):
    """An image (H, W, 3) uint8 BGR -> boxes (P, 5): left, top, width, height in its pixels, and score."""

    def __call__(self, image: Image) -> NDArray[np.float32]: ...


class Progress(Protocol):
    """Where a person sees how far it is."""

    def line(self, text: str) -> None: ...

    def advance(self, done: int, total: int | None, name: str) -> None: ...


@dataclass(frozen=True, kw_only=True)
class JobSettings:
    """What to do with what is found."""

    out: Path
    draw: bool = True
    track: bool = True
    smooth: bool = True
    score_threshold: float = 0.2
    max_frames: int | None = None


@dataclass
class Outcome:
    """How it went."""

    num_done: int = 0
    num_persons: int = 0
    num_before: int = 0
    """Done by an earlier, interrupted run."""
    problems: list[str] = field(default_factory=list)
    """One line a file that could not be used."""


class Job:
    """Goes through media with a predictor and a source of boxes (a file, a detector, or neither: whole images)."""

    def __init__(
        self,
        predictor: Predictor,
        journal: Journal,
        settings: JobSettings,
        progress: Progress,
        *,
        boxes: BoxFile | None = None,
        detector: Detector | None = None,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self.predictor = predictor
        self.journal = journal
        self.settings = settings
        self.progress = progress
        self.boxes = boxes
        self.detector = detector
        self.stop = stop
        self.outcome = Outcome()

    def run(self, media: Sequence[Medium]) -> Outcome:
        """All of it; images share batches."""
        if self.boxes is not None:
            media = self._known(media, self.boxes)
        images = [medium for medium in media if medium.kind == "image"]
        fresh = [medium for medium in images if medium.name not in self.journal.done]
        self.outcome.num_before = len(images) - len(fresh)
        self._images(fresh)
        for medium in media:
            if medium.kind != "image" and not self.stop():
                self._film(medium)
        return self.outcome

    def _images(self, media: Sequence[Medium]) -> None:
        pending: list[tuple[Medium, Image]] = []

        def readable() -> Iterator[tuple[Image, Any]]:
            for medium in media:
                if self.stop():
                    return
                try:
                    image = read_image(medium.path)
                    boxes = self._boxes(medium.path, image)
                except SdposeError as error:
                    self._problem(str(error))
                    continue
                pending.append((medium, image))
                yield image, boxes

        for number, poses in enumerate(self.predictor.stream(readable()), start=1):
            medium, image = pending.pop(0)
            image_id = self.boxes.image_id(medium.path) if self.boxes else number_in(medium.path)
            if self.settings.draw:
                self._write_drawing(self.settings.out / "drawn" / medium.name, poses, image)
            # Last, so that what is called done after a kill has its drawing.
            self.journal.add({"file": medium.name, "persons": poses.to_coco(image_id)})
            self._count(poses)
            self.progress.advance(number + len(self.outcome.problems), len(media), medium.name)

    def _known(self, media: Sequence[Medium], boxes: BoxFile) -> list[Medium]:
        """A box file may be of a part of the folder; of none of it is a mistake."""
        known = [
            medium
            for medium in media
            if (
                boxes.boxes_of(medium.path) is not None
                if medium.kind == "image"
                else boxes.knows_film(medium.name)
            )
        ]
        if not known:
            raise SdposeError(
                f"{boxes.path} knows none of the {len(media)} inputs, such as {media[0].name}; is it of another set? "
                "Frames of films are called film.mp4#000001"
            )
        if len(known) < len(media):
            left_out = len(media) - len(known)
            self.progress.line(f"{left_out} inputs are not in {boxes.path} and are left out")
        return known

    def _boxes(self, path: Path, image: Image) -> Any:
        if self.boxes is not None:
            return self.boxes.boxes_of(path)
        return self.detector(image) if self.detector is not None else None

    def _film(self, medium: Medium) -> None:
        end = f"{medium.name}#end"
        if end in self.journal.done:
            self.outcome.num_before += 1
            if problem := self.journal.done[end].get("problem"):
                self._problem(problem)
            return
        try:
            film = Film(medium)
        except SdposeError as error:
            self._problem(str(error))
            return
        canvas = _FilmWriter(self._film_path(medium), film.fps) if self.settings.draw else None
        try:
            num_frames = self._frames(medium, film, canvas)
            if self.stop():
                return
            limit = self.settings.max_frames
            problem = None if limit and num_frames >= limit else film.missing(num_frames)
            if num_frames == 0:
                problem = f"{medium.path}: has no frame that can be decoded; is it damaged?"
            if problem:
                self._problem(problem)
            if canvas is not None:
                canvas.finish()
            self.journal.add({"file": end, "persons": [], **({"problem": problem} if problem else {})})
        finally:
            film.close()
            if canvas is not None:
                canvas.discard()

    def _frames(self, medium: Medium, film: Film, canvas: _FilmWriter | None) -> int:
        """Goes through a film; the number of frames done."""
        tracker = PoseTracker(smooth=self.settings.smooth) if self.settings.track else None
        number = 0
        for number, frame in enumerate(film, start=1):
            name = f"{medium.name}#{number:06d}"
            poses = self.predictor(frame, self._boxes_of_frame(name, frame))
            if tracker is not None:
                poses = tracker.update(poses, 1.0 / film.fps)
            self.journal.add({"file": name, "persons": poses.to_coco(name)})
            self._count(poses)
            if canvas is not None:
                drawn = poses.draw(frame, score_threshold=self.settings.score_threshold)
                canvas.write(_numbered(poses, drawn))
            self.progress.advance(number, film.num_frames, medium.name)
            if self.stop() or number == self.settings.max_frames:
                break
        return number

    def _boxes_of_frame(self, name: str, frame: Image) -> Any:
        if self.boxes is not None:
            return self.boxes.boxes_of_frame(name)
        return self.detector(frame) if self.detector is not None else None

    def _film_path(self, medium: Medium) -> Path:
        name = medium.name.replace(" ", "_")
        return self.settings.out / "drawn" / (name if name.lower().endswith(".mp4") else f"{name}.mp4")

    def _write_drawing(self, path: Path, poses: Poses, image: Image) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        drawn = poses.draw(image, score_threshold=self.settings.score_threshold)
        target = path if path.suffix.lower() in _WRITABLE else path.with_name(f"{path.name}.jpg")
        encoded, content = cv2.imencode(target.suffix, drawn)
        try:
            if not encoded:
                raise OSError("the picture cannot be encoded")
            unfinished = target.with_name(f"unfinished_{target.name}")
            unfinished.write_bytes(content.tobytes())
            unfinished.replace(target)
        except OSError as error:
            raise SdposeError(
                f"cannot write {target}: {error}; free some space or choose another --out"
            ) from error

    def _count(self, poses: Poses) -> None:
        self.outcome.num_done += 1
        self.outcome.num_persons += len(poses)

    def _problem(self, text: str) -> None:
        self.outcome.problems.append(text)
        self.progress.line(f"passed over: {text}")


class _FilmWriter:
    """An MP4 that gets its name when it is whole."""

    def __init__(self, path: Path, fps: float) -> None:
        self.path = path
        self.fps = fps
        self._unfinished = path.with_name(f"unfinished_{path.name}")
        self._writer: cv2.VideoWriter | None = None

    def write(self, frame: Image) -> None:
        """The next frame; the first one says how large all are."""
        if self._writer is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            height, width = frame.shape[:2]
            code = cv2.VideoWriter.fourcc(*"mp4v")
            self._writer = cv2.VideoWriter(str(self._unfinished), code, self.fps, (width, height))
            if not self._writer.isOpened():
                raise SdposeError(f"cannot write {self.path}; try --no-draw, or another --out")
        self._writer.write(frame)

    def finish(self) -> None:
        """All frames are in it."""
        if self._writer is not None:
            self._writer.release()
            self._unfinished.replace(self.path)

    def discard(self) -> None:
        """Take away what was not finished."""
        if self._writer is not None:
            self._writer.release()
            self._unfinished.unlink(missing_ok=True)


def _numbered(poses: Poses, canvas: Image) -> Image:
    """The track ids written over the heads."""
    if poses.track_ids is None:
        return canvas
    for number, box in zip(poses.track_ids.tolist(), poses.boxes_xywh, strict=True):
        place = (int(box[0]), max(int(box[1]) - 4, 12))
        for color, width in (((30, 30, 30), 3), ((255, 255, 255), 1)):
            cv2.putText(canvas, str(number), place, cv2.FONT_HERSHEY_SIMPLEX, 0.5, color, width, cv2.LINE_AA)
    return canvas

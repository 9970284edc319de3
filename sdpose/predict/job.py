"""A prediction over many files: pictures, films, COCO results, a table; what is bad is named and passed over."""

from __future__ import annotations

import contextlib
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from sdpose.errors import SdposeError
from sdpose.predict.box_file import BoxFile, number_in
from sdpose.predict.journal import DRAWN, Journal
from sdpose.predict.media import Film, Image, Medium, read_image
from sdpose.predict.poses import Poses
from sdpose.predict.predictor import Predictor
from sdpose.predict.tracking import PoseTracker
from sdpose.training.atomic_file import storage_error

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
        self._names: dict[str, str] = {}
        self._num_outside = 0

    def run(self, media: Sequence[Medium]) -> Outcome:
        """All of it; images share batches, and so do the frames of a film."""
        if self.boxes is not None:
            media = self._known(media, self.boxes)
        images = [medium for medium in media if medium.kind == "image"]
        fresh = [medium for medium in images if not self.journal.has(medium.name, medium.state)]
        self.outcome.num_before = len(images) - len(fresh)
        self._images(fresh, self._image_ids(images))
        for medium in media:
            if medium.kind != "image" and not self.stop():
                self._film(medium)
        self._say_what_was_left_out()
        return self.outcome

    def _images(self, media: Sequence[Medium], image_ids: Mapping[str, int | str]) -> None:
        pending: deque[tuple[Medium, list[int] | None, Image]] = deque()

        def readable() -> Iterator[tuple[Image, Any]]:
            for medium in media:
                if self.stop():
                    return
                try:
                    state = medium.state
                    image = read_image(medium.path)
                except SdposeError as error:
                    self._problem(str(error))
                    continue
                boxes = self._boxes(medium, image)
                pending.append((medium, state, image))
                yield image, boxes

        for number, poses in enumerate(self.predictor.stream(readable()), start=1):
            medium, state, image = pending.popleft()
            if self.settings.draw:
                self._write_drawing(self.settings.out / DRAWN / medium.name, poses, image)
            # Last, so that what is called done after a kill has its drawing.
            persons = poses.to_coco(image_ids[medium.name])
            self.journal.add({"file": medium.name, "state": state, "persons": persons})
            self._count(poses)
            self.progress.advance(number + len(self.outcome.problems), len(media), medium.name)

    def _known(self, media: Sequence[Medium], boxes: BoxFile) -> list[Medium]:
        """A box file may be of a part of the folder; of none of it is a mistake."""
        self._names = boxes.assign(media)
        known = [medium for medium in media if medium.name in self._names]
        if not known:
            raise SdposeError(
                f"{boxes.path} knows none of the {len(media)} inputs, such as {media[0].name}; is it of another set? "
                "Frames of films are called film.mp4#000001"
            )
        if len(known) < len(media):
            left_out = len(media) - len(known)
            self.progress.line(f"{left_out} inputs are not in {boxes.path} and are left out")
        return known

    def _image_ids(self, images: Sequence[Medium]) -> dict[str, int | str]:
        """What the results call each image: a number where only one has it, else its name with its folders."""
        boxes = self.boxes
        found = {
            each.name: boxes.image_id(self._names[each.name]) if boxes is not None else number_in(each.name)
            for each in images
        }
        uses = Counter(found.values())
        return {name: number if uses[number] == 1 else name for name, number in found.items()}

    def _boxes(self, medium: Medium, image: Image, frame: int | None = None) -> Any:
        """Of an image, or of a film's frame."""
        if self.boxes is None:
            return self.detector(image) if self.detector is not None else None
        name = self._names[medium.name]
        boxes = self.boxes.boxes_of(name) if frame is None else self.boxes.boxes_of_frame(name, frame)
        low = np.maximum(boxes[:, :2], 0.0)
        high = np.minimum(boxes[:, :2] + boxes[:, 2:4], image.shape[1::-1])
        inside = (high > low).all(axis=1)
        self._num_outside += int((~inside).sum())
        return boxes[inside]

    def _say_what_was_left_out(self) -> None:
        if self.boxes is None:
            return
        reasons = {
            "without an area or not numbers": self.boxes.num_without_area,
            "outside of their image": self._num_outside,
            "with a score below --box-thr": self.boxes.num_below_threshold,
        }
        if said := ", ".join(f"{number} {reason}" for reason, number in reasons.items() if number):
            self.progress.line(f"boxes of {self.boxes.path} left out: {said}")

    def _film(self, medium: Medium) -> None:
        end = f"{medium.name}#end"
        # A camera shows something new each time.
        if medium.kind != "camera" and self.journal.has(end, medium.state):
            self.outcome.num_before += 1
            if problem := self.journal.done[end].get("problem"):
                self._problem(problem)
            return
        state = medium.state
        try:
            film = Film(medium)
        except SdposeError as error:
            self._problem(str(error))
            return
        self.journal.begin(medium.name)
        canvas = _FilmWriter(self._film_path(medium), film.fps) if self.settings.draw else None
        try:
            num_frames = self._frames(medium, film, canvas)
            # To stop is how a camera ends: what was seen is kept.
            if self.stop() and medium.kind != "camera":
                return
            limit = self.settings.max_frames
            problem = None if limit and num_frames >= limit else film.missing(num_frames)
            if num_frames == 0 and not self.stop():
                problem = f"{medium.path}: has no frame that can be decoded; is it damaged?"
            if problem:
                self._problem(problem)
            if canvas is not None:
                canvas.finish()
            entry = {"file": end, "state": state, "persons": []}
            self.journal.add(entry | ({"problem": problem} if problem else {}))
        finally:
            film.close()
            if canvas is not None:
                canvas.discard()

    def _frames(self, medium: Medium, film: Film, canvas: _FilmWriter | None) -> int:
        """Goes through a film; the number of frames done."""
        tracker = PoseTracker(smooth=self.settings.smooth) if self.settings.track else None
        pending: deque[Image] = deque()
        number = 0

        def frames() -> Iterator[tuple[Image, Any]]:
            for count, frame in enumerate(film, start=1):
                boxes = self._boxes(medium, frame, count)
                pending.append(frame)
                yield frame, boxes
                if self.stop() or count == self.settings.max_frames:
                    return

        # Whoever looks at a camera wants to see it now.
        found = (
            (self.predictor(*each) for each in frames())
            if medium.kind == "camera"
            else self.predictor.stream(frames())
        )
        for number, poses in enumerate(found, start=1):
            frame, name = pending.popleft(), f"{medium.name}#{number:06d}"
            if tracker is not None:
                poses = tracker.update(poses, 1.0 / film.fps)
            self.journal.add({"file": name, "persons": poses.to_coco(name)})
            self._count(poses)
            if canvas is not None:
                drawn = poses.draw(frame, score_threshold=self.settings.score_threshold)
                canvas.write(_numbered(poses, drawn))
            self.progress.advance(number, film.num_frames, medium.name)
        return number

    def _film_path(self, medium: Medium) -> Path:
        name = medium.name.replace(" ", "_") if medium.kind == "camera" else medium.name
        return self.settings.out / DRAWN / (name if name.lower().endswith(".mp4") else f"{name}.mp4")

    def _write_drawing(self, path: Path, poses: Poses, image: Image) -> None:
        drawn = poses.draw(image, score_threshold=self.settings.score_threshold)
        target = path if path.suffix.lower() in _WRITABLE else path.with_name(f"{path.name}.jpg")
        encoded, content = cv2.imencode(target.suffix, drawn)
        if not encoded:
            raise SdposeError(f"{target} cannot be encoded; try --no-draw")
        # Named by its kind alone: a file's name may be as long as the disk allows.
        unfinished = target.with_name(f"unfinished{target.suffix}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            unfinished.write_bytes(content.tobytes())
            unfinished.replace(target)
        except OSError as error:
            with contextlib.suppress(OSError):
                unfinished.unlink(missing_ok=True)
            raise storage_error(target, error) from error

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
        self._num_frames = 0

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
        self._num_frames += 1

    def finish(self) -> None:
        """All frames are in it. Raises SdposeError when they are not: OpenCV says nothing about a full disk."""
        if self._writer is None:
            return
        self._writer.release()
        written = cv2.VideoCapture(str(self._unfinished))
        whole = int(written.get(cv2.CAP_PROP_FRAME_COUNT)) >= self._num_frames
        written.release()
        if not whole:
            raise SdposeError(
                f"cannot write {self.path}: not all of its frames reached the disk; free some space, or try --no-draw "
                "or another --out"
            )
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

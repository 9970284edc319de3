"""The film that several tests look at, drawn once."""

from __future__ import annotations

import pytest
from walking_film import DrawnFilm, draw_film


@pytest.fixture(scope="session")
def drawn_film(tmp_path_factory: pytest.TempPathFactory) -> DrawnFilm:
    return draw_film(tmp_path_factory.mktemp("film"))

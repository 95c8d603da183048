"""The picture is a readable image with the anomalies in it."""

from pathlib import Path

import matplotlib.image as images
import numpy as np
from matplotlib.colors import to_rgb

from gristmill.demo import picture

from .conftest import Answers


def test_the_picture_is_an_image_with_both_colors(answers: Answers, tmp_path: Path) -> None:
    file = picture.draw(answers.chart, tmp_path / "strikes.png", title="Speeds", source="a source")
    assert file.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    pixels = images.imread(file)
    height, width, _ = pixels.shape
    assert (width, height) == (1200, 672)
    for color, least_share in ((picture.USUAL, 0.1), (picture.FLAGGED, 0.02)):
        share = np.isclose(pixels[:, :, :3], to_rgb(color), atol=0.01).all(axis=2).mean()
        assert share > least_share, color

"""The demo's data set is the one its README names."""

import gzip
import hashlib
import re
from importlib.resources import files

from gristmill.demo.tour import birdstrikes

FOLDER = files("gristmill.demo") / "data"


def test_the_bytes_are_those_the_readme_names() -> None:
    packed = (FOLDER / "birdstrikes.csv.gz").read_bytes()
    named = re.findall(r"`([0-9a-f]{64})`", (FOLDER / "README.md").read_text("utf-8"))
    assert named == [hashlib.sha256(birdstrikes()).hexdigest(), hashlib.sha256(packed).hexdigest()]


def test_packing_it_again_gives_the_same_file() -> None:
    packed = (FOLDER / "birdstrikes.csv.gz").read_bytes()
    assert packed[4:8] == b"\0\0\0\0", "no time of packing"
    assert gzip.decompress(packed) == birdstrikes()

"""What people see in a terminal, of the command line and of the demo: bars, and numbers as people write them."""

from gristmill.shown.board import Board
from gristmill.shown.figures import ago, number, seconds, size

__all__ = ["Board", "ago", "number", "seconds", "size"]

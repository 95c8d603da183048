"""The command line. One file for each group of commands; what they need is imported when they run."""

from gristmill.cli.app import app

__all__ = ["app"]

"""The main job on real data, from upload to picture: `gristmill demo`."""

from gristmill.demo.run import run_demo

__all__ = ["run_demo"]

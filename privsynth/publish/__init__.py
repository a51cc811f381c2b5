"""What goes out with a synthetic table: how near it is to its model's releases, and a folder that can be verified.

Nothing here reads a private row: everything is computed from a fitted model and rows sampled from it.
"""

from privsynth.publish.check import CheckedFolder, check
from privsynth.publish.compare import compare
from privsynth.publish.folder import pack
from privsynth.publish.reading import read_sample

__all__ = ["CheckedFolder", "check", "compare", "pack", "read_sample"]

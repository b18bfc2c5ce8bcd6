"""The files of this folder may import each other."""

import os
import sys

sys.path.insert(0, os.path.dirname(__file__))

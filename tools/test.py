#!/usr/bin/env python
"""The name the guide knows; the same as `sdpose test`."""

import sys

from door import open_door

if __name__ == "__main__":
    sys.exit(open_door("test"))

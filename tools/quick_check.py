#!/usr/bin/env python
"""The name the guide knows; the same as `sdpose check`."""

from door import open_door

if __name__ == "__main__":
    open_door("check")

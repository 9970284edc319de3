"""What a fault looks like in a curve: pure functions over arrays, one fault a file.

The live detectors ask them about a run so far, `judge` about a whole log. All are free of scale.
"""

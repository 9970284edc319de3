"""Runs seen from the outside: what a work dir tells, side by side."""

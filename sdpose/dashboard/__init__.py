"""The live page: every run below some folders, read from its files alone and shown in a browser on this machine.

It writes nothing, asks nothing of the training, and knows only `sdpose.monitor`.
"""

# The demo model from its random start: the same data, model and losses, and the time that this takes.
# What it looks like on the way (a flat loss for the first 250 iterations, then a bend) is told in docs/plateau.md.
_base_ = ['sdpose_demo.py']

work_dir = './work_dirs/sdpose_demo_from_scratch'

total_epochs = 32
optimizer = dict(lr=6e-4)
evaluation = dict(interval=4)

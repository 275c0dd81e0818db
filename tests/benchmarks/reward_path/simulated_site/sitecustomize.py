"""Python imports the first `sitecustomize` on its path at start-up: with this one, `engine.type: fake` is simulated.

The package's own fake engine counts words, which costs as much as the path that is measured, and its critiques are
short.
"""

from reward_path.simulated_engine import install

install()

"""The reward service: a judge behind HTTP, in one process or on Ray.

`service.py` is the service itself, `http/` its routes, `ray/` its actors on a Ray cluster.
"""

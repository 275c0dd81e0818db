"""`grm-plugin eval`: benchmarks, the collecting and rating of votes, and the figures computed from them."""

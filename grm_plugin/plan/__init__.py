"""`grm-plugin plan`: how many replicas a training job needs, and how many votes its deadline allows."""

"""Intervals, differences and correlations that know which items hang together. They know no benchmark."""

"""Helpers that know nothing of judging: concurrency, files, processes."""

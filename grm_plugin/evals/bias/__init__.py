"""The bias panel: how a judge behaves apart from being right or wrong, computed from stored votes."""

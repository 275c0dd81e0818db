"""The service on a Ray cluster: its actors, how it is launched, kept alive, routed and stopped."""

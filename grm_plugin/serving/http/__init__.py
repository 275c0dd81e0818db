"""The service's HTTP routes, and the service in one process without Ray."""

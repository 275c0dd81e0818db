"""The service's HTTP routes and the ASGI middleware before them; and the servers that run without Ray."""

"""What travels between a service and its clients: requests and replies, readiness, the token."""

"""What travels between a service and its clients: messages, the reply of /ready, the token."""

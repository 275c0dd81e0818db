"""What frameworks hand over, as text or as chat messages, read as the conversation that the GRM is shown."""

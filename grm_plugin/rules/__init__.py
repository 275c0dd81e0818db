"""Rules: the user's own Python functions as criteria, run in processes of their own with a deadline for each call."""

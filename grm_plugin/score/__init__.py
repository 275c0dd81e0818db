"""`grm-plugin score`: reads a file of prompts and responses and writes a file of judgements."""

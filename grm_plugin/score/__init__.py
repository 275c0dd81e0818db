"""`grm-plugin score`: a file of prompts and responses in, a file of judgements out."""

"""`grm-plugin eval --import`: judgements that were made elsewhere become a vote store."""

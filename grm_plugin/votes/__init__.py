"""`grm-plugin votes`: how many votes a GRM needs, from votes that are stored already."""

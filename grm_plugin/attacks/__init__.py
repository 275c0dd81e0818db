"""`grm-plugin attack`: a corpus of hostile responses, and what they change in a GRM's scores."""

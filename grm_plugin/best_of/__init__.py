"""`grm-plugin sample` and `grm-plugin best-of`: many samples per problem, and what selecting one of them is worth."""

"""What makes the reference out of the code: one module per part, each a function that returns Markdown pages."""

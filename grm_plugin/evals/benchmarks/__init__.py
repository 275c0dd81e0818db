"""The benchmarks: reading their published files into items, and what is known of each."""

"""The benchmarks' own rules: how each makes its published figure of ties, unreadable answers, sections and orders."""

"""Several processes that are one service (`service.replicas`): who gathers a sample, and what they know together."""

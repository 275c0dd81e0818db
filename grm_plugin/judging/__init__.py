"""The judge: from a group of responses to their rewards. Knows neither framework, nor HTTP, nor Ray, nor vLLM."""

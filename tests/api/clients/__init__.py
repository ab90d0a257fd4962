"""Real clients against a real API server: they must take it for Kubernetes."""

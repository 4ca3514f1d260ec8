"""Health, metrics, the read-only API and its pages."""

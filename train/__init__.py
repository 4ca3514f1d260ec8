"""Paired data in, model packages and reports out."""

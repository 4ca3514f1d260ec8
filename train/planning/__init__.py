"""A pair store's fingerprint, and a training configuration planned from it."""

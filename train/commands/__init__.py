"""The commands of ``s2ldm-train``, one module each; `train.cli` puts them together."""

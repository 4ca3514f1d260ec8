"""Reader studies: blinded pictures of a store's scans, a local page on which readers judge them, and the statistics of what they said."""

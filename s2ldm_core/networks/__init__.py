"""Networks of the systems: fully convolutional, per-voxel normalised, hence tileable with an exact halo."""

"""How much contrast medium is answered for, as a part of what is usual in a model's training: a value that every model heeds.

Attenuation grows in proportion to the iodine in a voxel, and the iodine at a time in proportion to what was injected (Bae, Radiology
256:32, 2010): a dose multiplies the enhancement.
"""

NAME = "contrast_dose"
"""The value of a condition that it is told by."""
LEAST, MOST = 0.3, 2.0
"""Beyond these nobody is given contrast medium for a CT; what asks for them is another unit, or a slip."""
DIGITS = 2
"""Doses are told apart to a hundredth."""

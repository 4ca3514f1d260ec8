"""The step after translation: synthetic HU and the source's headers become a derived series, ready to be sent."""

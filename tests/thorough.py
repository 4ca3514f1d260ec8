"""What a run leaves out for its time, because another test asks nearly the same, unless ``S2LDM_ALL_WAYS=1`` asks for everything."""

import os

import pytest

thorough = pytest.mark.skipif(not os.environ.get("S2LDM_ALL_WAYS"), reason="S2LDM_ALL_WAYS=1 asks for it")

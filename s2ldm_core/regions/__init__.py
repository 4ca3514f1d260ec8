"""Which part of the body a series shows, by the image and by the tags."""

from s2ldm_core.regions.features import REGIONS
from s2ldm_core.regions.series import TORSO, RegionJudgement, judge_regions
from s2ldm_core.regions.tags import TaggedRegion, contradiction, region_by_tags

__all__ = ["REGIONS", "TORSO", "RegionJudgement", "TaggedRegion", "contradiction", "judge_regions", "region_by_tags"]

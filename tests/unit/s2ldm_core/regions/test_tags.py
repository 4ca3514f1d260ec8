from types import SimpleNamespace as Header
from typing import Any

import pytest

from s2ldm_core.regions import RegionJudgement, TaggedRegion, contradiction, region_by_tags


def code(value: str, meaning: str = "") -> Header:
    return Header(CodeValue=value, CodingSchemeDesignator="SCT", CodeMeaning=meaning)


def image(*torso: float, problem: Any = None) -> RegionJudgement:
    return RegionJudgement(regions=("thorax",) * len(torso), torso=torso, shares={"thorax": 1.0}, problem=problem)


@pytest.mark.parametrize(
    "term", ["CHEST", "ABDOMEN", "abdomenpelvis", "CHESTABDPELVIS", "LSPINE", "TH CT CHEST WO C", "Thorax"]
)
def test_body_part_examined_says_torso(term: str) -> None:
    assert region_by_tags(Header(BodyPartExamined=term)).torso is True


@pytest.mark.parametrize("term", ["HEAD", "KNEE", "EXTREMITY", "SHOULDER", "NECK", "Schädel", "PHANTOM", "FOOT"])
def test_body_part_examined_says_another_part(term: str) -> None:
    assert region_by_tags(Header(BodyPartExamined=term)).torso is False


@pytest.mark.parametrize(
    ("value", "torso"), [("818981001", True), ("T-D3000", True), ("72696002", False), ("T-D1100", False)]
)
def test_the_anatomic_region_sequence_says_it_by_code(value: str, torso: bool) -> None:
    tagged = region_by_tags(Header(AnatomicRegionSequence=[code("1"), code(value, "meaning")]))

    assert tagged == TaggedRegion(torso=torso, source="AnatomicRegionSequence", text="meaning")


@pytest.mark.parametrize(
    ("description", "torso"),
    [
        ("Thorax nativ 2.0 B30f", True),
        ("ABD/PELV W/O", True),
        ("TDM thoraco-abdomino-pelvien", True),
        ("Addome senza mdc", True),
        ("Tórax sin contraste", True),
        ("Bauch nativ", True),
        ("Buik zonder contrast", True),
        ("HIGH RES LUNG", True),
        ("Schädel nativ", False),
        ("Crâne sans injection", False),
        ("Rodilla derecha", False),
        ("Kniegelenk", None),
        ("Knie rechts", False),
        ("Épaule gauche", False),
        ("BRAIN W/O", False),
        ("Hals/Thorax", None),
        ("Routine", None),
        ("", None),
        ("CAPTURED", None),
    ],
)
def test_words_of_descriptions_in_several_languages(description: str, torso: bool | None) -> None:
    assert region_by_tags(Header(SeriesDescription=description)).torso is torso


def test_the_body_part_comes_before_codes_and_these_before_descriptions() -> None:
    header = Header(BodyPartExamined="CHEST", AnatomicRegionSequence=[code("69536005")], SeriesDescription="Head")
    assert region_by_tags(header).source == "BodyPartExamined"
    header.BodyPartExamined = "XYZ"
    assert region_by_tags(header).torso is False
    assert region_by_tags(header).source == "AnatomicRegionSequence"
    header.AnatomicRegionSequence = []
    assert region_by_tags(header) == TaggedRegion(torso=False, source="SeriesDescription", text="Head")


def test_the_series_description_comes_before_the_study_description() -> None:
    header = Header(SeriesDescription="Head", StudyDescription="Chest")

    assert region_by_tags(header).torso is False


def test_a_sure_image_against_the_tags_is_reported() -> None:
    problem = contradiction(TaggedRegion(torso=False, source="BodyPartExamined", text="HEAD"), image(0.95, 0.9))

    assert problem is not None
    assert problem.code == "region_contradicts"
    assert (
        problem.sentence == "BodyPartExamined (HEAD) says another part of the body, but the images show: thorax 100%."
    )


@pytest.mark.parametrize(
    ("tagged", "judged"),
    [
        (TaggedRegion(torso=True), image(0.9, 0.9)),
        (TaggedRegion(torso=None), image(0.1, 0.1)),
        (TaggedRegion(torso=False), image(0.74, 0.7)),
    ],
)
def test_agreement_silence_and_doubt_are_no_contradiction(tagged: TaggedRegion, judged: RegionJudgement) -> None:
    assert contradiction(tagged, judged) is None

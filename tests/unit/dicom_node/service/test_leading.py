"""Work that one node alone does."""

from dicom_node.service.leading import Leading


class Lead:
    """A lead that comes and goes as told."""

    here = True

    def leads(self) -> bool:
        return self.here

    def close(self) -> None:
        """Nothing is held."""


class Step:
    """Counts its runs."""

    def __init__(self) -> None:
        self.runs = 0

    def run_once(self) -> bool:
        self.runs += 1
        return True


def test_step_rests_while_another_node_leads_and_is_made_anew_afterwards() -> None:
    lead, made = Lead(), list[Step]()

    def make() -> Step:
        made.append(Step())
        return made[-1]

    leading = Leading(make, lead)
    assert [step.runs for step in made] == [0]  # at once: what it watches begins now
    assert leading.run_once()
    lead.here = False
    assert not leading.run_once()
    lead.here = True
    assert leading.run_once()

    assert [step.runs for step in made] == [1, 1]


def test_nothing_is_made_where_another_node_leads() -> None:
    lead = Lead()
    lead.here = False

    assert not Leading(Step, lead).run_once()

"""Several model packages asked alike: trainings with other seeds, or other systems."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from s2ldm_core.change import Progress
from s2ldm_core.errors import TranslationError
from s2ldm_core.sampling import Sampling, mean_and_spread
from s2ldm_core.translation import Translation
from s2ldm_core.translator import Spread, TranslationResult, Translator
from s2ldm_core.volume import Volume

_ITS_OWN = Sampling(kind="ensemble")


class Ensemble:
    """Answers with the mean of its members' answers on the source's grid, and with their spread.

    Raises
    ------
    TranslationError
        ``ensemble_of_one``; ``ensemble_differs`` when the members have no phase in common.
    """

    def __init__(self, members: Sequence[Translator]) -> None:
        self.members = tuple(members)
        names = " + ".join(member.metadata.name for member in self.members)
        if len(self.members) < 2:
            raise TranslationError(
                "ensemble_of_one", f"The model {names} alone is no ensemble.", "Join it with others: PACKAGE+PACKAGE."
            )
        first, *others = (member.metadata.phases for member in self.members)
        self.phases = tuple(phase for phase in first if all(phase in other for other in others))
        if not self.phases:
            raise TranslationError(
                "ensemble_differs",
                f"The packages {names} have no phase in common.",
                "Join packages of the same phases.",
            )

    def translate(
        self,
        volume: Volume,
        *,
        phase: str,
        values: Mapping[str, float] | None = None,
        seed: int = 0,
        sampling: Sampling = _ITS_OWN,
        progress: Progress | None = None,
    ) -> TranslationResult:
        """As `Translator.translate`; each member has one draw of ``sampling.steps``.

        Raises
        ------
        TranslationError
            Those of a member; ``ensemble_draws`` for another kind than ``ensemble``.
        """
        if sampling.kind != "ensemble":
            raise TranslationError(
                "ensemble_draws",
                f"An ensemble has one answer of each package, not {sampling.samples} of {sampling.kind or 'one'}.",
                "Ask each package by itself for samples.",
            )
        made: list[Translation] = []

        def answers() -> Iterable[TranslationResult]:
            for member in self.members:
                one = Sampling(steps=sampling.steps)
                result = member.translate(
                    volume, phase=phase, values=values, seed=seed, sampling=one, progress=progress
                )
                made.append(result.translation)
                yield result

        mean, spread = mean_and_spread(answer.volume.hu for answer in answers())
        return TranslationResult(
            volume=volume.with_hu(mean),
            translation=_joined(made),
            spread=Spread(hu=spread, kind="ensemble"),
        )


def _joined(made: Sequence[Translation]) -> Translation:
    """One record of all; its checksum is the SHA-256 of the members' checksums in their order. Shares that differ are not the mean's."""
    return replace(
        made[0],
        shares=made[0].shares if all(one.shares == made[0].shares for one in made) else {},
        model_name=" + ".join(one.model_name for one in made),
        model_version=" + ".join(one.model_version for one in made),
        weights_sha256=hashlib.sha256("".join(one.weights_sha256 for one in made).encode()).hexdigest(),
        training_statement="; ".join(dict.fromkeys(one.training_statement for one in made)),
        steps=max(one.steps for one in made),
        seconds={
            name: sum(one.seconds.get(name, 0.0) for one in made)
            for name in dict.fromkeys(name for one in made for name in one.seconds)
        },
    )

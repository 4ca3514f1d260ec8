"""What every system with a codebook watches."""

from collections.abc import Mapping

from s2ldm_core.networks.quantiser import VectorQuantiser, codes_in_use
from s2ldm_core.systems.base import Alarm


def codebook_alarms(
    quantiser: VectorQuantiser | None, limits: Mapping[str, float]
) -> tuple[dict[str, float], list[Alarm]]:
    """Share of the codes in use since the last call (of as many as there were latents, if fewer), and whether that is too few."""
    used = None if quantiser is None else quantiser.take_used()
    if used is None:
        return {}, []
    share, perplexity = codes_in_use(used)
    values = {"codes_share": share, "codes_perplexity": perplexity}
    if share >= limits["codes_min"]:
        return values, []
    sentence = (
        f"Only {share:.1%} of the codes are in use (perplexity {perplexity:.1f}): "
        "the reconstruction will lose detail. A smaller codebook or autoencoder.cosine helps."
    )
    return values, [Alarm("codebook_dying", sentence)]

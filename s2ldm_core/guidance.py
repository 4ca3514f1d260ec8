"""Classifier-free guidance of x_0 predictions, as CCDM samples: the orthogonal part alone, rescaled."""

from torch import Tensor

_SMALL = 1e-12


def guided(conditional: Tensor, unconditional: Tensor, *, scale: float, rescale: float = 0.0) -> Tensor:
    """``conditional`` moved away from ``unconditional``, both ``(B, …)`` predictions of x_0.

    d = conditional − unconditional without its component along ``conditional``, which would only brighten what is there
    (adaptive projected guidance, Sadat et al. 2024); y = conditional + (scale − 1) d. Of y the share ``rescale`` is brought back to the
    standard deviation of ``conditional`` (Lin et al. 2024, section 3.4). Statistics are those of each whole item.
    """
    c, u = conditional.flatten(1), unconditional.flatten(1)
    d = c - u
    along = (d * c).sum(1, keepdim=True) / (c * c).sum(1, keepdim=True).clamp_min(_SMALL)
    y = c + (scale - 1) * (d - along * c)
    if rescale:
        factor = c.std(1, keepdim=True) / y.std(1, keepdim=True).clamp_min(_SMALL)
        y = (rescale * factor + 1 - rescale) * y
    return y.view_as(conditional)

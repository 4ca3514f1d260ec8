"""A history of generated images for a discriminator (Shrivastava et al. 2017), kept in buffers so that a run resumes where it was."""

from typing import Any

import torch
from torch import Tensor, nn


class ImagePool(nn.Module):
    """At most ``size`` images with their phases, float16; 0: what comes in goes out.

    Each process of a run has its own; the checkpoint keeps the main one's.
    """

    images: Tensor
    phases: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self._size = size
        self.register_buffer("images", torch.zeros(0, dtype=torch.float16))
        self.register_buffer("phases", torch.zeros(0, dtype=torch.long))

    @torch.no_grad()
    def exchange(self, images: Tensor, phases: Tensor, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        """Put in ``images`` ``(B, 1, D, H, W)`` of ``phases`` ``(B,)``, one after the other, and take out as many.

        While there is room an image is stored and given back. Then, with a chance of one half each, it is given back, or takes the place
        of a stored one, which is given back instead.
        """
        if not self._size:
            return images, phases
        with torch.autocast(images.device.type, enabled=False):  # which knows no float16 on a CPU
            return self._exchanged(images, phases, generator)

    def _exchanged(self, images: Tensor, phases: Tensor, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        if self.images.shape[1:] != images.shape[1:]:  # at the start, or crops of another size
            self.images, self.phases = (
                images.new_zeros((0, *images.shape[1:]), dtype=torch.float16),
                phases.new_zeros(0),
            )
        taken, shown = images.clone(), phases.clone()
        for number, (image, phase) in enumerate(zip(images.half(), phases, strict=True)):
            if len(self.images) < self._size:
                self.images = torch.cat([self.images, image[None]])
                self.phases = torch.cat([self.phases, phase[None]])
            elif float(torch.rand((), generator=generator)) < 0.5:
                place = int(torch.randint(self._size, (), generator=generator))
                taken[number], shown[number] = self.images[place].to(images.dtype), self.phases[place]
                self.images[place], self.phases[place] = image, phase
        return taken, shown

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        """However many images a checkpoint holds."""
        for name in ("images", "phases"):
            if (found := state_dict.get(prefix + name)) is not None:
                own = getattr(self, name)
                setattr(self, name, torch.empty(found.shape, dtype=own.dtype, device=own.device))
        super()._load_from_state_dict(state_dict, prefix, *args)

"""Perceptual distance of slices in the features of VGG-16 (Johnson et al. 2016), from weights that lie on this machine."""

from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from s2ldm_core.errors import PackageError

_LAYERS = (64, 64, None, 128, 128, None, 256, 256, 256)
"""VGG-16 up to relu3_3; ``None``: pooling. Names are those of torchvision's ``features``."""
_SEEN = frozenset({3, 8, 15})
"""relu1_2, relu2_2 and relu3_3."""
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet, as VGG was trained."""


class PerceptualDistance(nn.Module):
    """Mean squared distance of unit-length features, mean over slices and layers. Never learns; starts without weights of use."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        width = 3
        for channels in _LAYERS:
            if channels is None:
                layers.append(nn.MaxPool2d(2))
                continue
            layers += [nn.Conv2d(width, channels, 3, padding=1), nn.ReLU()]
            width = channels
        self.features = nn.Sequential(*layers).requires_grad_(False)

    def load(self, path: Path) -> None:
        """Take the weights of a safetensors file with torchvision's names (``features.0.weight`` …); others in it are passed over.

        Raises
        ------
        PackageError
            ``perceptual_weights``: there is no such file, or it holds something else.
        """
        try:
            values = load_file(path)
            own = {key: values[key] for key in self.state_dict()}
            self.load_state_dict(own)
        except (OSError, KeyError, SafetensorError, RuntimeError) as error:
            raise PackageError(
                "perceptual_weights",
                f"{path} holds no weights of VGG-16: {error}",
                "Convert torchvision's to safetensors and name that file, or leave the perceptual loss out.",
            ) from error

    def forward(self, image: Tensor, target: Tensor) -> Tensor:
        """Images ``(B, 1, D, H, W)`` in window units; scalar."""
        a, b = (self._slices(x) for x in (image, target))
        distances = []
        for number, layer in enumerate(self.features):
            a, b = layer(a), layer(b)
            if number in _SEEN:
                distances.append((F.normalize(a, dim=1) - F.normalize(b, dim=1)).square().sum(1).mean())
        return torch.stack(distances).mean()

    def _slices(self, x: Tensor) -> Tensor:
        grey = (x.clamp(-1, 1) + 1) / 2
        flat = grey.transpose(1, 2).flatten(0, 1).expand(-1, 3, -1, -1)
        mean, std = (torch.tensor(v, device=x.device).view(1, 3, 1, 1) for v in (_MEAN, _STD))
        return (flat - mean) / std

"""A small classifier of the held-out kind: it reads what a generator makes, and its features are where samples are
compared. No generator ever sees it, and nothing is downloaded: it is trained anew, the same every time.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from sparring.adversarial.data import Images, Labelled
from sparring.adversarial.players import is_small
from sparring.agents.protocol import Watch, unwatched

FEATURES = 64
BATCH = 128
STEPS = {True: 1_000, False: 1_500}  # of small images, of others: some seconds, and a minute, on a CPU
AT_A_TIME = 2_000  # images: bounds the memory of reading many
KNOWN: dict[int, tuple[Images, Classifier]] = {}  # by identity: data, which stay, and who reads them


class Classifier(nn.Module):
    """Images [B, C, H, W] → logits [B, K], from features [B, 64]."""

    def __init__(self, shape: tuple[int, ...], classes: int) -> None:
        super().__init__()
        channels, height, width = shape
        widths = [channels, 32, 64]
        layers: list[nn.Module] = []
        for a, b in pairwise(widths):
            layers += [nn.Conv2d(a, b, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        flat = widths[-1] * (height // 4) * (width // 4)
        self.body = nn.Sequential(*layers, nn.Flatten(), nn.Dropout(0.25), nn.Linear(flat, FEATURES), nn.ReLU())
        self.head = nn.Linear(FEATURES, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits."""
        logits: Tensor = self.head(self.body(images))
        return logits

    @torch.inference_mode()
    def read(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Features [N, 64] and probabilities [N, K], both float64, of many images."""
        features = torch.cat([self.body(part) for part in torch.split(images, AT_A_TIME)])
        return features.double(), self.head(features).softmax(1).double()


def trained(data: Images, watch: Watch = unwatched) -> Classifier:
    """The classifier of these images; trained once a process."""
    if id(data) not in KNOWN:
        KNOWN[id(data)] = data, _train(data.train, data.shape, data.classes, watch)
    return KNOWN[id(data)][1]


def _train(images: Labelled, shape: tuple[int, ...], classes: int, watch: Watch) -> Classifier:
    steps = STEPS[is_small(shape)]
    dice = torch.Generator().manual_seed(0)
    with torch.random.fork_rng(devices=[]):  # for initial weights and dropout
        torch.manual_seed(0)
        classifier = Classifier(shape, classes)
        optimiser = torch.optim.Adam(classifier.parameters(), lr=1e-3)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
        for step in range(steps):
            chosen = torch.randint(len(images.x), (BATCH,), generator=dice)
            loss = cross_entropy(classifier(images.x[chosen]), images.y[chosen])
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
            watch(step + 1, steps)
    return classifier.eval()


def accuracy(classifier: Classifier, images: Labelled) -> float:
    """The share of images that it reads as they are labelled."""
    _, probabilities = classifier.read(images.x)
    return float((probabilities.argmax(1) == images.y).double().mean())

"""MNIST → USPS: DANN over ten seeds, with its spread."""

import adaptation

PRESET = ["--preset", "usps"]
METHODS = {
    "source_only": [*PRESET, "--method", "source-only"],
    "dann": PRESET,
    "cdan": [*PRESET, "--method", "cdan"],
    "train_on_target": [*PRESET, "--method", "train-on-target"],
}
PYKALE = "PyKale digits_dann, 10 seeds, ± standard deviation"
PUBLISHED = {
    "source_only": {"value": "0.495 ± 0.046", "source": PYKALE},
    "dann": {"value": "0.804 ± 0.053", "source": PYKALE},
    "cdan": {"value": "0.794 ± 0.035", "source": PYKALE},
}

if __name__ == "__main__":
    adaptation.measure("mnist_to_usps", __doc__, METHODS, PUBLISHED, seeds=10, notes="_std is over seeds.")

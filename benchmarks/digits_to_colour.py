"""From scikit-learn's digits to the same digits over photos: DANN and its relatives, and the plain baselines.

The baselines see 200 labels of the target: fine-tuning (all layers copied from the source), and transfer with the first
k layers copied and frozen, for every k; `transfer_0` learns from the 200 alone.
"""

import adaptation

PRESET = ["--preset", "digits"]
FEW = [*PRESET, "--method", "transfer", "--labelled", "200"]
METHODS = {
    "source_only": [*PRESET, "--method", "source-only"],
    "dann": PRESET,
    "cdan": [*PRESET, "--method", "cdan"],
    "adda": [*PRESET, "--method", "adda", "--dynamics", "alternating"],
    "mmd": [*PRESET, "--method", "mmd"],
    "coral": [*PRESET, "--method", "coral"],
    "fine_tuned": [*FEW, "--copied", "5"],
    **{f"transfer_{k}": [*FEW, "--copied", str(k), "--frozen"] for k in range(6)},
    "train_on_target": [*PRESET, "--method", "train-on-target"],
}

if __name__ == "__main__":
    adaptation.measure("digits_to_colour", __doc__, METHODS, {})

"""Modes, quality and evenness of GANs on the grid of 25 Gaussians; see `mixtures`."""

import mixtures

if __name__ == "__main__":
    mixtures.measure("grid25", "grid25", f"{__doc__}\n{mixtures.__doc__}", mixtures.PUBLISHED["grid25"])

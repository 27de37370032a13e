"""Modes, quality and evenness of GANs on the ring of 8 Gaussians; see `mixtures`."""

import mixtures

if __name__ == "__main__":
    mixtures.measure("ring8", "ring8", f"{__doc__}\n{mixtures.__doc__}", mixtures.PUBLISHED["ring8"])

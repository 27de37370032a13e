"""The ladder on Space Invaders: eleven rungs, three seeds, 400,000 steps each; see ladder.py for what is measured."""

import ladder

if __name__ == "__main__":
    asked = ladder.options(__doc__, preset="space-invaders", seeds=3, steps=400_000, batches=32)
    ladder.climb("ladder_space_invaders", asked)

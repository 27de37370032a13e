"""The ladder on CartPole: eleven rungs, ten seeds, 300,000 steps each; see ladder.py for what is equal and measured."""

import ladder

if __name__ == "__main__":
    asked = ladder.options(__doc__, preset="cartpole", seeds=10, steps=300_000, batches=64)
    ladder.climb("ladder_cartpole", asked)

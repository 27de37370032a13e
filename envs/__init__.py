"""The worlds: where experience comes from.

This floor imports no other floor and speaks numpy and gymnasium. `worlds` is the door through which every world is
opened; `atari`, `control` and `probes` are the worlds; `rollouts` turns worlds into batches of experience; `episodes`
saves games so that they can be replayed and proved. `go` is the board of Go, which has modules of its own,
`tokens` is writing. Importing this package registers our own worlds with Gymnasium, so
`gym.make("sparring.envs:sparring/ProbeChoice-v0")` works from anywhere.
"""

from sparring.envs.go import register_go
from sparring.envs.probes import register_probes
from sparring.envs.tokens import register_tokens

register_probes()
register_go()
register_tokens()

"""What learns to act.

`protocol` says what an algorithm is; every other algorithm is one module with its mathematics from top to bottom:
`reinforce`, `a2c`, `ppo`, `impala`. They are assembled in `learner` and share `returns` (the estimators), `networks`
and `distributions` (what a policy is), `policy` (the door through which observations become actions), `descent`
(gradient steps, and the name of what diverges), `normalise` (running moments) and `evaluate` (full games, scores with
intervals, which `statistics` computes). `sb3_ppo`, `sb3_a2c` and `sb3_dqn` are Stable-Baselines3's own, through `sb3`.
This floor may import `sparring.envs`; it speaks torch. Nothing is imported here, so that one algorithm does not cost
ten.
"""

"""What learns to act.

`protocol` says what an algorithm is; every other algorithm is one module with its mathematics from top to bottom:
`reinforce`, `ppo`. They share `returns` (the estimators), `networks`, `policy` (the door through which observations
become actions) and `evaluate` (full games, scores with intervals). `sb3_ppo`, `sb3_a2c` and `sb3_dqn` are
Stable-Baselines3's own, through `sb3`. This floor may import `sparring.envs`; it speaks torch.
Nothing is imported here, so that one algorithm does not cost ten.
"""

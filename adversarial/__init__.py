"""Differentiable games between networks, and how their players move.

It may import `sparring.agents` and `sparring.envs`, and speaks torch. `game` says what a game is, `dynamics` how it is
played, `diagnostics` how near an equilibrium it stands, `toys` holds games whose answers are known.
"""

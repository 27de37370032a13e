"""Differentiable games between networks: the floor on which generators and discriminators will meet.

It may import `sparring.agents` and `sparring.envs`, and speaks torch.
"""

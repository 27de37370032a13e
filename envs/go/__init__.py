"""Go: the board, its rules and its worlds, and the languages in which other programs speak of it.

`rules` says what is played and `board` plays it, in the `kernels` and on a `table`. `world`, `vector` and `aec` are the
worlds, `opponents` whom one meets there, `picture` draws. `coordinates` names moves, `record` is a game, `sgf` keeps it
as text (in the grammar of `sgf_tree`), and `gtp` plays against other programs (each a `child`).
"""

import gymnasium

WORLDS = {
    "sparring/Go-v0": "Go on 9×9; `size`, `rules`, `komi` and `opponent` are yours to choose",
    **{f"sparring/Go{size}-v0": f"Go on {size}×{size}" for size in (5, 7, 9, 19)},
}


def register_go() -> None:
    """Tell Gymnasium about the worlds, one game or many at once; doing so twice changes nothing."""
    for env in WORLDS:
        size = env.removeprefix("sparring/Go").removesuffix("-v0")
        if env not in gymnasium.registry:
            gymnasium.register(
                env,
                "sparring.envs.go.world:GoEnv",
                vector_entry_point="sparring.envs.go.vector:GoVectorEnv",
                kwargs={"size": int(size)} if size else {},
            )

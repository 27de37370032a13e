"""Go: the board, its rules and its worlds, and the languages in which other programs speak of it.

`coordinates` names moves, `record` is a game, `sgf` keeps it as text (in the grammar of `sgf_tree`), and `gtp` plays
against other programs (each a `child`).
"""

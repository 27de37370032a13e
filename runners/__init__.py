"""Drives, saves, tracks, replays: the one floor that speaks W&B, files and the command line.

`train` is the loop; `folder` and `checkpoint` keep what a run leaves behind; `tracker` mirrors it to W&B, `dashboard`
shows it, `report` sums it up; `sweep` runs several seeds side by side; `replay` shows and proves saved games; `catalog`
finds algorithms by their files; `cli` is the command `sparring`.
"""

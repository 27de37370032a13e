"""The board of Go in numba: many games in three arrays, an exact mask of legal moves after every move.

A board of H × W lies in a strip with a border: point (row, column) is p = (row + 1) S + column + 1, with the stride
S = W + 1, so that the four neighbours of p are p ± 1, p ± S and no edge needs a test. Every game has a row in each of

    u    uint16   counters, then COLOUR, HEAD, NEXT, OPEN, EMPTIES, WHERE, HEADS, PLACE, MARK, SIZE, one for each point
    i    uint64   n, Σp, Σp² of each chain's pseudo-liberties, packed into a word at its head
    k    uint64   each chain's key, at its head; then hash, dice, a filter and the history

Stones of a chain form a ring (NEXT) and know their head (HEAD). A pseudo-liberty is a pair (stone, empty neighbour);
with their number n and their sums, a chain has one liberty exactly when n Σp² = (Σp)², and then it is Σp / n: nothing
is searched, and a word holds all three. Every chain keeps the XOR of its stones' Zobrist keys, so that the position
after a move with captures is known in a few XORs, and superko is exact (but for keys of 64 bits). A position with a
stone on p can only have been before if p was occupied and emptied since; only such points, and suicides, are looked up,
in a Bloom filter with two bits a position and, where that says maybe, in the history itself.

`geometry` translates: at p the action, which is row · W + column, and at N + action the point p; a pass is H · W.

Indices are unsigned, which spares numba's test for negative ones; a mixture of signed and unsigned would be a float.
"""

from __future__ import annotations

import numpy as np

from sparring.envs.compiled import bare, inlined, jitted, short

EMPTY, BLACK, WHITE, BORDER = np.uint16(0), np.uint16(1), np.uint16(2), np.uint16(3)
SIMPLE, POSITIONAL, SITUATIONAL = 0, 1, 2
PLANES = 10
TRIES = 8  # at an empty point that is legal, before all legal points are listed

U0, U1, U2 = (np.uint64(number) for number in range(3))

# Of u: counters, then fields, each as long as the strip.
FREE, CHAINS, MOVER, PASSES, BAN, PLIES, LAST, BEFORE, OVER, SEEN = (np.uint64(one) for one in range(10))
COUNTERS = np.uint64(16)
COLOUR, HEAD, NEXT, OPEN, EMPTIES, WHERE, HEADS, PLACE, MARK, SIZE = (np.uint64(field) for field in range(10))
FIELDS = 10
# Of k, after the chains' keys; after the filter comes the history.
HASH, DICE, FILTER = U0, U1, U2
BITS_A_POSITION = 16  # of the filter, at least
# Of the shape, an array of uint64 that all games share. BITS: the filter's bits less one; PAST: where the history is.
STRIP, STRIDE, AREA, KO, SUICIDE, CAP, SIDE, BITS, PAST = (np.uint64(one) for one in range(9))

U6, U16, U63 = np.uint64(6), np.uint64(16), np.uint64(63)
# Of a word of sums: n in 11 bits, Σp in 20, Σp² in the rest; enough for 19 × 19, and nothing is ever negative.
SUM, SQUARES = np.uint64(11), np.uint64(31)
COUNT_MASK, SUM_MASK = np.uint64(2**11 - 1), np.uint64(2**20 - 1)
LAST_LIBERTY, EMPTIED = np.uint16(1), np.uint16(2)  # of MARK: of an enemy chain, while `mask` looks; by a capture, ever

# ---------------------------------------------------------------------------------------------- chains


@inlined
def at(field, n, p):
    """Where a field of point p lies in u."""
    return COUNTERS + field * n + p


@inlined
def unit(p):
    """The word of one pseudo-liberty at p."""
    return U1 | (p << SUM) | ((p * p) << SQUARES)


@inlined
def in_atari(i, head):
    """Whether a chain, which has a liberty, has just one."""
    word = i[head]
    total = (word >> SUM) & SUM_MASK
    return (word & COUNT_MASK) * (word >> SQUARES) == total * total


@inlined
def last_liberty(i, head):
    """The liberty of a chain in atari."""
    return ((i[head] >> SUM) & SUM_MASK) // (i[head] & COUNT_MASK)


@inlined
def lay(u, i, k, z, n, s, p, colour):
    """Put a stone on an empty point as a chain of its own; it takes a liberty from its neighbours."""
    k[n + HASH] ^= z[np.uint64(colour) * n + p]
    u[at(COLOUR, n, p)] = colour
    hole = np.uint64(u[at(WHERE, n, p)])
    last = np.uint64(u[FREE]) - U1
    moved = u[at(EMPTIES, n, last)]
    u[at(EMPTIES, n, hole)] = moved
    u[at(WHERE, n, np.uint64(moved))] = np.uint16(hole)
    u[FREE] = np.uint16(last)
    u[at(HEAD, n, p)] = np.uint16(p)
    u[at(NEXT, n, p)] = np.uint16(p)
    u[at(SIZE, n, p)] = np.uint16(1)
    k[p] = z[np.uint64(colour) * n + p]
    chains = np.uint64(u[CHAINS])
    u[at(HEADS, n, chains)] = np.uint16(p)
    u[at(PLACE, n, p)] = np.uint16(chains)
    u[CHAINS] = np.uint16(chains + U1)
    word, mine = U0, unit(p)
    for q in (p - s, p - U1, p + U1, p + s):
        u[at(OPEN, n, q)] -= np.uint16(1)
        seen = u[at(COLOUR, n, q)]
        if seen == EMPTY:
            word += unit(q)
        elif seen != BORDER:
            i[np.uint64(u[at(HEAD, n, q)])] -= mine
    i[p] = word


@inlined
def unlist(u, n, head):
    """Strike a chain off the list of heads."""
    hole = np.uint64(u[at(PLACE, n, head)])
    last = np.uint64(u[CHAINS]) - U1
    moved = u[at(HEADS, n, last)]
    u[at(HEADS, n, hole)] = moved
    u[at(PLACE, n, np.uint64(moved))] = np.uint16(hole)
    u[CHAINS] = np.uint16(last)


@inlined
def join(u, i, k, n, one, other):
    """Make one chain of two, given by their heads; the smaller learns the name of the larger. The new head."""
    if u[at(SIZE, n, one)] < u[at(SIZE, n, other)]:
        one, other = other, one
    stone = other
    while True:
        u[at(HEAD, n, stone)] = np.uint16(one)
        stone = np.uint64(u[at(NEXT, n, stone)])
        if stone == other:
            break
    after = u[at(NEXT, n, one)]
    u[at(NEXT, n, one)] = u[at(NEXT, n, other)]
    u[at(NEXT, n, other)] = after
    u[at(SIZE, n, one)] += u[at(SIZE, n, other)]
    i[one] += i[other]
    k[one] ^= k[other]
    unlist(u, n, other)
    return one


@inlined
def take(u, i, k, n, s, head):
    """Take a chain off the board; its neighbours get liberties."""
    k[n + HASH] ^= k[head]
    free = np.uint64(u[FREE])
    stone = head
    while True:  # off first, so that what becomes free is known below
        u[at(COLOUR, n, stone)] = EMPTY
        u[at(MARK, n, stone)] = EMPTIED
        u[at(EMPTIES, n, free)] = np.uint16(stone)
        u[at(WHERE, n, stone)] = np.uint16(free)
        free += U1
        stone = np.uint64(u[at(NEXT, n, stone)])
        if stone == head:
            break
    u[FREE] = np.uint16(free)
    while True:
        mine = unit(stone)
        for q in (stone - s, stone - U1, stone + U1, stone + s):
            u[at(OPEN, n, q)] += np.uint16(1)
            seen = u[at(COLOUR, n, q)]
            if seen == BLACK or seen == WHITE:
                i[np.uint64(u[at(HEAD, n, q)])] += mine
        stone = np.uint64(u[at(NEXT, n, stone)])
        if stone == head:
            break
    unlist(u, n, head)


@inlined
def place(u, i, k, z, n, s, p):
    """The mover's stone on p: captures, joins, suicide; sets the point that simple ko bans. The turn stays."""
    mine = u[MOVER]
    theirs = np.uint16(3) - mine
    lay(u, i, k, z, n, s, p, mine)
    captured, where = U0, U0
    for q in (p - s, p - U1, p + U1, p + s):
        if u[at(COLOUR, n, q)] == theirs:
            head = np.uint64(u[at(HEAD, n, q)])
            if i[head] == 0:
                captured += np.uint64(u[at(SIZE, n, head)])
                where = head
                take(u, i, k, n, s, head)
    head = p
    for q in (p - s, p - U1, p + U1, p + s):
        if u[at(COLOUR, n, q)] == mine:
            other = np.uint64(u[at(HEAD, n, q)])
            if other != head:
                head = join(u, i, k, n, head, other)
    if i[head] == 0:
        take(u, i, k, n, s, head)
    alone = captured == U1 and u[at(SIZE, n, head)] == 1 and i[head] & COUNT_MASK == U1
    u[BAN] = np.uint16(where) if alone else np.uint16(0)


# ---------------------------------------------------------------------------------------------- repetition


@inlined
def remember(u, k, shape, situation):
    """Let a situation into the history."""
    n, bits = shape[STRIP], shape[BITS]
    seen = np.uint64(u[SEEN])
    k[n + shape[PAST] + seen] = situation
    u[SEEN] = np.uint16(seen + U1)
    for bit in (situation & bits, (situation >> U16) & bits):
        k[n + FILTER + (bit >> U6)] |= U1 << (bit & U63)


@inlined
def known(u, k, shape, situation):
    """Whether a situation has been; the latest are looked at first."""
    n, bits = shape[STRIP], shape[BITS]
    for bit in (situation & bits, (situation >> U16) & bits):
        if not (k[n + FILTER + (bit >> U6)] >> (bit & U63)) & U1:
            return False
    one = n + shape[PAST] + np.uint64(u[SEEN])
    first = n + shape[PAST]
    while one > first:
        one -= U1
        if k[one] == situation:
            return True
    return False


# ---------------------------------------------------------------------------------------------- games


@bare
def begin(u, i, k, geometry, shape):
    """An empty board, black to move; the dice stay."""
    n, s, area = shape[STRIP], shape[STRIDE], shape[AREA]
    u[:] = 0
    i[:] = 0
    k[n + FILTER : n + shape[PAST]] = 0
    k[n + HASH] = 0
    for p in range(n):
        u[at(COLOUR, n, p)] = BORDER
    for action in range(area):
        p = np.uint64(geometry[n + action])
        u[at(COLOUR, n, p)] = EMPTY
        u[at(EMPTIES, n, action)] = np.uint16(p)
        u[at(WHERE, n, p)] = np.uint16(action)
    u[FREE] = np.uint16(area)
    for action in range(area):
        p = np.uint64(geometry[n + action])
        count = np.uint16(0)
        for q in (p - s, p - U1, p + U1, p + s):
            if u[at(COLOUR, n, q)] == EMPTY:
                count += np.uint16(1)
        u[at(OPEN, n, p)] = count
    u[MOVER] = BLACK
    remember(u, k, shape, situation_of(k, n, shape, BLACK))


@bare
def set_up(u, i, k, z, geometry, shape, black, white, mover):
    """Stones on an empty board before the first move; the game, and what may not recur, begin here."""
    n, s = shape[STRIP], shape[STRIDE]
    for stones, colour in ((black, BLACK), (white, WHITE)):
        for one in range(np.uint64(len(stones))):
            u[MOVER] = colour
            place(u, i, k, z, n, s, np.uint64(geometry[n + np.uint64(stones[one])]))
    u[MOVER] = mover
    u[BAN] = np.uint16(0)
    u[SEEN] = np.uint16(0)
    remember(u, k, shape, situation_of(k, n, shape, mover))


@inlined
def situation_of(k, n, shape, mover):
    """What may not recur: the position, and under situational superko who is to move."""
    if shape[KO] == U2 and mover == WHITE:
        return k[n + HASH] ^ shape[SIDE]
    return k[n + HASH]


@bare
def move(u, i, k, z, geometry, shape, action):
    """The mover's action, which must be legal; the turn changes."""
    n, s = shape[STRIP], shape[STRIDE]
    other = np.uint16(3) - u[MOVER]
    if action == shape[AREA]:
        u[BAN] = np.uint16(0)
        u[PASSES] += np.uint16(1)
        if shape[KO] == U2:
            remember(u, k, shape, situation_of(k, n, shape, other))
    else:
        place(u, i, k, z, n, s, np.uint64(geometry[n + action]))
        u[PASSES] = np.uint16(0)
        if shape[KO] != U0:
            remember(u, k, shape, situation_of(k, n, shape, other))
    u[BEFORE] = u[LAST]
    u[LAST] = np.uint16(action + U1)
    u[PLIES] += np.uint16(1)
    u[MOVER] = other
    u[OVER] = np.uint16(1) if u[PASSES] >= 2 else np.uint16(2) if u[PLIES] >= shape[CAP] else np.uint16(0)


@bare
def mask(u, i, k, z, geometry, shape, legal):
    """Which actions are legal, into `legal` [H · W + 1] uint8. In a game that is over, none is."""
    n, s = shape[STRIP], shape[STRIDE]
    legal[:] = 0
    if u[OVER] != 0:
        return
    legal[shape[AREA]] = 1
    mine = u[MOVER]
    theirs = np.uint16(3) - mine
    superko = shape[KO] != U0
    suicide = shape[SUICIDE] != U0
    turn = shape[SIDE] if shape[KO] == U2 and theirs == WHITE else U0
    now = k[n + HASH] ^ turn
    banned = U0 if superko else np.uint64(u[BAN])
    for one in range(np.uint64(u[CHAINS])):
        head = np.uint64(u[at(HEADS, n, one)])
        if u[at(COLOUR, n, head)] == theirs and in_atari(i, head):
            u[at(MARK, n, last_liberty(i, head))] |= LAST_LIBERTY
    for one in range(np.uint64(u[FREE])):
        p = np.uint64(u[at(EMPTIES, n, one)])
        marks = u[at(MARK, n, p)]
        captures = marks & LAST_LIBERTY != 0
        after, repeats = now, superko and marks & EMPTIED != 0
        if captures:
            u[at(MARK, n, p)] = marks ^ LAST_LIBERTY
            if repeats:
                after ^= z[np.uint64(mine) * n + p] ^ keys_around(u, i, k, n, s, p, theirs, True)
        elif u[at(OPEN, n, p)] == 0 and not lives(u, i, n, s, p, mine):
            if not suicide:
                continue
            after ^= keys_around(u, i, k, n, s, p, mine, False)
            repeats = superko
        elif repeats:
            after ^= z[np.uint64(mine) * n + p]
        if p == banned:
            continue
        if repeats and known(u, k, shape, after):
            continue
        legal[np.uint64(geometry[p])] = 1


@inlined
def keys_around(u, i, k, n, s, p, colour, dying):
    """The keys of the chains of a colour around p, in one XOR; with `dying`, of those whose last liberty is p."""
    found = U0
    first, second, third = U0, U0, U0
    for q in (p - s, p - U1, p + U1, p + s):
        if u[at(COLOUR, n, q)] == colour:
            head = np.uint64(u[at(HEAD, n, q)])
            if head != first and head != second and head != third and (not dying or in_atari(i, head)):
                found ^= k[head]
                third = second
                second = first
                first = head
    return found


@inlined
def lives(u, i, n, s, p, mine):
    """Whether a stone on p, which has no empty neighbour, joins an own chain that has another liberty."""
    for q in (p - s, p - U1, p + U1, p + s):
        if u[at(COLOUR, n, q)] == mine and not in_atari(i, np.uint64(u[at(HEAD, n, q)])):
            return True
    return False


@bare
def areas(u, shape, scratch):
    """Points of black and of white: stones, and empty regions that reach one colour only. `scratch` [2, N] uint16."""
    n, s = shape[STRIP], shape[STRIDE]
    black, white = 0, 0
    reached, stack = scratch[0], scratch[1]
    reached[:] = 0
    for p in range(s, n):
        colour = u[at(COLOUR, n, np.uint64(p))]
        if colour == BLACK:
            black += 1
        elif colour == WHITE:
            white += 1
        elif colour == EMPTY and reached[p] == 0:
            height, size, seen = 1, 0, 0
            stack[0] = np.uint16(p)
            reached[p] = 1
            while height:
                height -= 1
                stone = np.uint64(stack[height])
                size += 1
                for q in (stone - s, stone - U1, stone + U1, stone + s):
                    near = u[at(COLOUR, n, q)]
                    if near == EMPTY:
                        if reached[q] == 0:
                            reached[q] = 1
                            stack[height] = np.uint16(q)
                            height += 1
                    elif near != BORDER:
                        seen |= np.int64(near)
            if seen == 1:
                black += size
            elif seen == 2:
                white += size
    return black, white


@jitted
def pass_alive(u, shape, colour, alive):
    """Mark in `alive` [N] uint8 what `colour` keeps though it pass for ever: 1 its stones, 2 the regions around them.

    A region is a maximal set of points without a stone of that colour; it is vital to a chain that each of its empty
    points touches, or each of its points, where suicide could make them empty. Chains with fewer than two vital regions
    fall, and with them the regions that they border, until none falls any more (Benson 1976).
    """
    n, s = shape[STRIP], shape[STRIDE]
    suicide = shape[SUICIDE] != U0
    region = np.zeros(n, np.int64)  # 1, 2, …; 0 where there is none
    stack = np.empty(n, np.uint16)
    regions = 0
    for start in range(s, n):
        if u[at(COLOUR, n, start)] in (colour, BORDER) or region[start]:
            continue
        regions += 1
        region[start] = regions
        stack[0] = np.uint16(start)
        height = 1
        while height:
            height -= 1
            p = np.uint64(stack[height])
            for q in (p - s, p - U1, p + U1, p + s):
                if region[q] == 0 and u[at(COLOUR, n, q)] not in (colour, BORDER):
                    region[q] = regions
                    stack[height] = np.uint16(q)
                    height += 1
    chains = np.int64(u[CHAINS])
    needed = np.zeros(regions + 1, np.int64)  # points that must touch a chain
    touched = np.zeros((regions + 1, chains), np.int64)  # of these, those that do
    borders = np.zeros((regions + 1, chains), np.uint8)
    for p in range(s, n):
        here = region[p]
        if here == 0:
            continue
        counts = suicide or u[at(COLOUR, n, p)] == EMPTY
        needed[here] += counts
        seen = (chains, chains, chains, chains)
        for q in (p - s, p - U1, p + U1, p + s):
            if u[at(COLOUR, n, q)] == colour:
                chain = np.int64(u[at(PLACE, n, np.uint64(u[at(HEAD, n, q)]))])
                borders[here, chain] = 1
                if counts and chain not in seen:
                    touched[here, chain] += 1
                    seen = (chain, seen[0], seen[1], seen[2])
    lives = np.ones(chains, np.uint8)
    sound = np.ones(regions + 1, np.uint8)
    fallen = True
    while fallen:
        fallen = False
        for chain in range(chains):
            if not lives[chain] or u[at(COLOUR, n, np.uint64(u[at(HEADS, n, np.uint64(chain))]))] != colour:
                continue
            vital = 0
            for one in range(1, regions + 1):
                vital += sound[one] and borders[one, chain] and touched[one, chain] == needed[one]
            if vital < 2:
                lives[chain] = 0
                fallen = True
                for one in range(1, regions + 1):
                    if borders[one, chain]:
                        sound[one] = 0
    alive[:] = 0
    for p in range(s, n):
        if u[at(COLOUR, n, p)] == colour:
            alive[p] = lives[np.int64(u[at(PLACE, n, np.uint64(u[at(HEAD, n, p)]))])]
        elif sound[region[p]]:
            one = region[p]
            for chain in range(chains):
                if lives[chain] and borders[one, chain] and touched[one, chain] == needed[one]:
                    alive[p] = 2


# ---------------------------------------------------------------------------------------------- many games


@bare
def begin_all(u, i, k, geometry, shape, seeds):
    """All games anew, with dice from `seeds` [B] uint64, none of them 0."""
    n = shape[STRIP]
    for game in range(np.uint64(len(u))):
        begin(u[game], i[game], k[game], geometry, shape)
        k[game, n + DICE] = seeds[game]


@bare
def renew(u, i, k, geometry, shape):
    """All games anew; the dice stay."""
    for game in range(np.uint64(len(u))):
        begin(u[game], i[game], k[game], geometry, shape)


@bare
def mask_all(u, i, k, z, geometry, shape, legal):
    """The legal actions of all games, into `legal` [B, H · W + 1]."""
    for game in range(np.uint64(len(u))):
        mask(u[game], i[game], k[game], z, geometry, shape, legal[game])


@inlined
def first_illegal(shape, legal, actions):
    """The first game whose action is not legal; −1 if there is none."""
    for game in range(np.uint64(len(actions))):
        action = actions[game]
        if action < 0 or action > np.int64(shape[AREA]) or legal[game, np.uint64(action)] == 0:
            return np.int64(game)
    return np.int64(-1)


@jitted
def step_all(
    u, i, k, z, geometry, shape, actions, komi, legal, margins, rewards, terminated, truncated, movers, seen, last
):
    """An action in every game; games that end begin anew.

    Returns how many ended, and the first game whose action is not legal: then nothing is played; −1 if there is none.

    Args:
        u, i, k, z, geometry, shape: the table.
        actions: [B] int64.
        komi: of white.
        legal: [B, H · W + 1] uint8: what is legal afterwards.
        margins: [B] float32: black's area less white's and komi where a game has ended, else 0.
        rewards: [B] float64: in the eyes of who moved: 1 won, −1 lost, 0 drawn or not over.
        terminated: [B] bool: two passes have ended it.
        truncated: [B] bool: the cap on its length has.
        movers: [B] uint8: who is to move afterwards.
        seen: [B, PLANES · H · W] uint8: what they see; of length 0 where nobody wants to.
        last: the same of games that have ended, at their end.
    """
    n, s = shape[STRIP], shape[STRIDE]
    scratch = np.empty((2, n), np.uint16)
    observe = len(seen) > 0
    ended, wrong = 0, first_illegal(shape, legal, actions)
    if wrong >= 0:
        return ended, wrong
    for game in range(np.uint64(len(u))):
        ours, sums, keys, allowed = u[game], i[game], k[game], legal[game]
        mover = ours[MOVER]
        move(ours, sums, keys, z, geometry, shape, np.uint64(actions[game]))
        terminated[game], truncated[game] = ours[OVER] == 1, ours[OVER] == 2
        margins[game], rewards[game] = 0, 0
        if ours[OVER] != 0:
            ended += 1
            black, white = areas(ours, shape, scratch)
            margin = black - white - komi
            margins[game] = np.float32(margin)
            rewards[game] = np.sign(margin) if mover == BLACK else -np.sign(margin)
            if observe:
                allowed[:] = 0
                planes(ours, sums, n, s, geometry, shape, allowed, komi, last[game])
            begin(ours, sums, keys, geometry, shape)
        mask(ours, sums, keys, z, geometry, shape, allowed)
        movers[game] = np.uint8(ours[MOVER])
        if observe:
            planes(ours, sums, n, s, geometry, shape, allowed, komi, seen[game])
    return ended, wrong


@bare
def count_liberties(u, i, n, s, head, most):
    """A chain's liberties, counted up to `most`, which is at most 4."""
    pseudo = np.int64(i[head] & COUNT_MASK)
    if u[at(SIZE, n, head)] <= 2:  # two stones share no liberty
        return min(pseudo, most)
    if pseudo > 12:  # a liberty has at most four stones around it
        return most
    if in_atari(i, head):
        return 1
    first, second, third = U0, U0, U0
    found = 0
    stone = head
    while True:
        if u[at(OPEN, n, stone)] != 0:
            for q in (stone - s, stone - U1, stone + U1, stone + s):
                if u[at(COLOUR, n, q)] == EMPTY and q != first and q != second and q != third:
                    found += 1
                    if found >= most:
                        return found
                    first, second, third = q, first, second
        stone = np.uint64(u[at(NEXT, n, stone)])
        if stone == head:
            return found


@bare
def planes(u, i, n, s, geometry, shape, legal, komi, seen):
    """What the mover sees, into `seen` [PLANES · H · W] uint8; `legal` [H · W + 1] is its mask.

    Own stones, the other's, the last move, the one before, points that only repetition forbids; own and other chains
    with 1, 2, 3 liberties; whether the mover is black; komi for the mover, in halves from 128, at most 63.5 either way.
    """
    area = shape[AREA]
    seen[:] = 0
    mine = u[MOVER]
    for one in range(np.uint64(u[CHAINS])):
        head = np.uint64(u[at(HEADS, n, one)])
        stones = U0 if u[at(COLOUR, n, head)] == mine else area
        liberties = count_liberties(u, i, n, s, head, 4)
        few = (np.uint64(4) + np.uint64(liberties)) * area if liberties < 4 else stones
        stone = head
        while True:
            action = np.uint64(geometry[stone])
            seen[stones + action] = 1
            seen[few + action] = 1
            stone = np.uint64(u[at(NEXT, n, stone)])
            if stone == head:
                break
    for one, plane in ((LAST, U2), (BEFORE, U2 + U1)):
        played = np.uint64(u[one])
        if played != 0 and played <= area:
            seen[plane * area + played - U1] = 1
    for one in range(np.uint64(u[FREE])):
        p = np.uint64(u[at(EMPTIES, n, one)])
        action = np.uint64(geometry[p])
        if legal[action] == 0 and u[OVER] == 0 and (shape[SUICIDE] != U0 or may(u, i, n, s, p, mine)):
            seen[np.uint64(4) * area + action] = 1
    whole = area * np.uint64(8)
    seen[whole : whole + area] = 1 if mine == BLACK else 0
    mover = -komi if mine == BLACK else komi
    seen[whole + area :] = np.uint8(min(max(128 + 2 * mover, 0), 255))


@bare
def planes_all(u, i, geometry, shape, legal, komi, seen):
    """What the movers of all games see, into `seen` [B, PLANES · H · W]."""
    n, s = shape[STRIP], shape[STRIDE]
    for game in range(np.uint64(len(u))):
        planes(u[game], i[game], n, s, geometry, shape, legal[game], komi, seen[game])


@inlined
def copy(source, target, count):
    """The first `count` elements; assigned by a slice, numba would copy them twice."""
    for one in range(count):
        target[one] = source[one]


@bare
def look_all(
    u, i, k, z, geometry, shape, su, si, sk, games, actions, length, komi, legal, seen, results, over, scratch
):
    """Replay ways from where games stand, in rows of another table, and look at where they lead.

    Row r goes on from game `games` [R] with `length` [R] of `actions` [R, D], not at all where that is −1. `results`
    [R] float32 is 1 where the game is over and the player to move has won, −1 where it has lost. `seen` holds planes,
    or has no rows; `scratch` is as of `areas`.
    """
    n, s = shape[STRIP], shape[STRIDE]
    for row in range(np.uint64(len(games))):
        if length[row] < 0:
            continue
        game = games[row]
        known_up_to = n + shape[PAST] + np.uint64(u[game, SEEN])
        dice = sk[row, n + DICE]  # stay with the row
        copy(u[game], su[row], np.uint64(len(u[game])))
        copy(i[game], si[row], n)
        copy(k[game], sk[row], known_up_to)
        sk[row, n + DICE] = dice
        for depth in range(length[row]):
            move(su[row], si[row], sk[row], z, geometry, shape, np.uint64(actions[row, depth]))
        over[row] = su[row, OVER] != 0
        results[row] = np.float32(0)
        if over[row]:
            black, white = areas(su[row], shape, scratch)
            sign = np.float32(1) if su[row, MOVER] == BLACK else np.float32(-1)
            results[row] = np.float32(np.sign(black - white - komi)) * sign
        else:
            mask(su[row], si[row], sk[row], z, geometry, shape, legal[row])
            if len(seen):
                planes(su[row], si[row], n, s, geometry, shape, legal[row], komi, seen[row])


@jitted
def owners(u, geometry, shape, owner):
    """Whose area every point is, into `owner` [H · W] int8: 1 black's, −1 white's, 0 nobody's."""
    n, s, area = shape[STRIP], shape[STRIDE], shape[AREA]
    queue = np.empty(n, np.uint16)
    reached = np.zeros(n, np.uint8)
    for action in range(area):
        start = np.uint64(geometry[n + action])
        colour = u[at(COLOUR, n, start)]
        if colour != EMPTY:
            owner[action] = 1 if colour == BLACK else -1
        elif reached[start] == 0:
            read, size, near_to = U0, U1, 0
            queue[0] = np.uint16(start)
            reached[start] = 1
            while read < size:
                p = np.uint64(queue[read])
                read += U1
                for q in (p - s, p - U1, p + U1, p + s):
                    near = u[at(COLOUR, n, q)]
                    if near == EMPTY:
                        if reached[q] == 0:
                            reached[q] = 1
                            queue[size] = np.uint16(q)
                            size += U1
                    elif near != BORDER:
                        near_to |= np.int64(near)
            whose = 1 if near_to == 1 else -1 if near_to == 2 else 0
            for one in range(size):
                owner[np.uint64(geometry[np.uint64(queue[one])])] = whose


@inlined
def roll(k, n):
    """A game's next random word (xorshift64*, Vigna 2016)."""
    x = k[n + DICE]
    x ^= x >> np.uint64(12)
    x ^= x << np.uint64(25)
    x ^= x >> np.uint64(27)
    k[n + DICE] = x
    return x * np.uint64(2685821657736338717)


@inlined
def below(word, bound):
    """A random number below `bound`, which is small, from a random word (Lemire 2019, without the correction)."""
    return ((word >> np.uint64(32)) * bound) >> np.uint64(32)


@short
def choose_all(u, k, geometry, shape, legal, actions):
    """A random legal action for every game [B], all as likely; a pass only where there is no other."""
    n, area = shape[STRIP], shape[AREA]
    listed = np.empty(area + U1, np.int64)
    for game in range(np.uint64(len(actions))):
        free = np.uint64(u[game, FREE])
        chosen, tries = np.int64(-1), 0
        while chosen < 0 and tries < TRIES and free:
            p = np.uint64(u[game, at(EMPTIES, n, below(roll(k[game], n), free))])
            if legal[game, np.uint64(geometry[p])]:
                chosen = np.int64(geometry[p])
            tries += 1
        if chosen < 0:
            count = U0
            for action in range(area):
                listed[count] = np.int64(action)
                count += np.uint64(legal[game, action])
            chosen = listed[below(roll(k[game], n), count)] if count else np.int64(area)
        actions[game] = chosen


@inlined
def is_eye(u, n, s, p, mine):
    """Whether an empty point is surrounded by stones of one's own, the corners as well as they need be."""
    edges = 0
    for q in (p - s, p - U1, p + U1, p + s):
        colour = u[at(COLOUR, n, q)]
        if colour == BORDER:
            edges = 1
        elif colour != mine:
            return False
    theirs = np.uint16(3) - mine
    for q in (p - s - U1, p - s + U1, p + s - U1, p + s + U1):
        if q < n and u[at(COLOUR, n, q)] == theirs:
            edges += 1
    return edges < 2


@bare
def playout(u, i, k, z, n, s, most):
    """Random moves from here that fill no simple eye, under simple ko and without suicide, until both pass."""
    played, passes = 0, 0
    while passes < 2 and played < most:
        mine = u[MOVER]
        left = np.uint64(u[FREE])
        done = False
        while left and not done:
            spot = below(roll(k, n), left)
            p = np.uint64(u[at(EMPTIES, n, spot)])
            open_to = u[at(OPEN, n, p)] != 0  # then it is no eye, and may be played
            if p != np.uint64(u[BAN]) and (open_to or (may(u, i, n, s, p, mine) and not is_eye(u, n, s, p, mine))):
                place(u, i, k, z, n, s, p)
                done = True
            else:  # to the end of the list, where it is not drawn again this time
                left -= U1
                other = u[at(EMPTIES, n, left)]
                u[at(EMPTIES, n, left)] = np.uint16(p)
                u[at(EMPTIES, n, spot)] = other
                u[at(WHERE, n, p)] = np.uint16(left)
                u[at(WHERE, n, np.uint64(other))] = np.uint16(spot)
        if not done:
            u[BAN] = np.uint16(0)
        passes = 0 if done else passes + 1
        u[MOVER] = np.uint16(3) - mine
        played += 1
    return played


@inlined
def may(u, i, n, s, p, mine):
    """Whether a stone on p would have a liberty, if need be by capture."""
    if u[at(OPEN, n, p)] != 0 or lives(u, i, n, s, p, mine):
        return True
    theirs = np.uint16(3) - mine
    for q in (p - s, p - U1, p + U1, p + s):
        if u[at(COLOUR, n, q)] == theirs and in_atari(i, np.uint64(u[at(HEAD, n, q)])):
            return True
    return False


@jitted
def play_out_all(u, i, k, z, shape, komi, rows, count, values):
    """Play `rows` [n] of a table out at random, `count` times each: mean result to who moves there [n] float32.

    The rows are spoilt.
    """
    n, s = shape[STRIP], shape[STRIDE]
    scratch = np.empty((2, n), np.uint16)
    most = 3 * np.int64(shape[AREA]) + 16
    keep_u, keep_i = np.empty_like(u[0]), np.empty_like(i[0])
    keep_k = np.empty(n + U1, np.uint64)
    for one in range(np.uint64(len(rows))):
        row = rows[one]
        sign = np.float32(1) if u[row, MOVER] == BLACK else np.float32(-1)
        keep_u[:] = u[row]
        keep_i[:] = i[row]
        keep_k[:] = k[row, : n + U1]
        whole = np.float32(0)
        for _ in range(count):
            u[row] = keep_u
            i[row] = keep_i
            k[row, : n + U1] = keep_k
            playout(u[row], i[row], k[row], z, n, s, most)
            black, white = areas(u[row], shape, scratch)
            whole += np.float32(np.sign(black - white - komi)) * sign
        values[one] = whole / np.float32(count)


@jitted
def playouts(u, i, k, z, geometry, shape, count, margins):
    """`count` playouts from the empty board in one game's rows; their margins, and how many moves all had."""
    n, s = shape[STRIP], shape[STRIDE]
    scratch = np.empty((2, n), np.uint16)
    most = 3 * np.int64(shape[AREA]) + 16
    moves = 0
    for one in range(count):
        begin(u, i, k, geometry, shape)
        moves += playout(u, i, k, z, n, s, most)
        black, white = areas(u, shape, scratch)
        margins[one] = black - white
    return moves

"""Search trees in slabs: B trees side by side, each with room for M nodes, all in a few arrays that numba walks.

A node is a position, an edge an action there. Node 0 is the root. A simulation

    selects    from the root along edges until one has no node yet, or the game is over,
    looks      at the position there, which somebody else replays from the root and evaluates,
    expands    a node with that evaluation, and
    backs up   its value along the way, whose sign changes at every ply.

How an edge is selected (Q(a) = W(a) / N(a), the mean of what its visits brought; N = Σ N(a); P the prior):

    uct        argmax Q(a) + c √(ln N / N(a)), each edge once first, in an order that is the node's own, for a node
               with few visits would else know but one side of the board     Kocsis & Szepesvári, 2006
    puct       argmax Q(a) + c P(a) √(1 + N) / (1 + N(a))                  Silver et al., Science 362 (2018)
               where an edge without visits has Q = V̄ − f √Σ P(visited), V̄ the mean of the node (first-play urgency, as
               in KataGo, Wu, arXiv 1902.10565); at a root with noise f is 0, and an edge with at least one visit has
               priority while N(a) < √(k P(a) N) (forced playouts, same paper)
    gumbel     argmax π'(a) − N(a) / (1 + N), with π' = softmax(ln P + σ(Q̂))  Danihelka et al., ICLR 2022
               where Q̂ completes Q by the mixed value of the node; at the root
               argmax g(a) + ln P(a) + σ(Q̂(a)) over the actions with as many visits as sequential halving is at, and
               σ(q) = (c_visit + max N(a)) c_scale (q + 1) / 2.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sparring.envs.compiled import bare, inlined, jitted, vectorised
from sparring.envs.worlds import Array

UCT, PUCT, GUMBEL = 0, 1, 2
ILLEGAL = np.float32(-1)  # as a prior
ROOM = 5  # edges for each node: e of them take less than 4 e places, and all but one are others' nodes
NEGATIVE, LEAST = np.int32(-1), np.int32(-(2**31) + 2**23 - 1)  # below 0, and −∞, as `ordered`
SMALLEST = np.float32(1e-30)  # a prior whose logarithm is still a number


class Slab(NamedTuple):
    """B trees of at most M nodes with A actions each, and their edges: of every node those that were visited, in the
    order of their first visits, and behind them the next one that would be (`offer`). No other edge is ever looked at,
    for among those without a visit all rules prefer one and the same until it has its visit.
    """

    prior: Array  # [B, M, A] float32; −1 where the action is not legal
    parent: Array  # [B, M] int32
    value: Array  # [B, M] float32: the evaluation, in the eyes of who moves there; where the game is over, its result
    over: Array  # [B, M] uint8
    first: Array  # [B, M] int32: where the node's edges begin
    degree: Array  # [B, M] int32: how many it has
    action: Array  # [B, E] int32: of an edge
    chance: Array  # [B, E] float32: its prior
    visits: Array  # [B, E] int32, those under way included
    total: Array  # [B, E] float32: what the visits brought, in the eyes of who moves at the edge's beginning
    child: Array  # [B, E] int32: the node that the edge leads to; 0 where there is none yet
    used: Array  # [B] int32: edges, those included that nodes have moved away from
    size: Array  # [B] int32: nodes
    left: Array  # [B] int32: simulations still to begin
    done: Array  # [B] int32: simulations begun
    noisy: Array  # [B] uint8: whether the root has noise
    noise: Array  # [B, A] float32: what the root's prior is mixed with, or its Gumbel variables g
    drawn: Array  # [B, A] float32: gumbel: g + ln P of the root
    halving: Array  # [B, S] int32: the visits that a root's action must have to be selected, by simulation


class Edges(NamedTuple):
    """Those of one node, n of them."""

    action: Array  # [n] int32
    prior: Array  # [n] float32
    visits: Array  # [n] int32
    total: Array  # [n] float32


class Ways(NamedTuple):
    """From the root to a leaf, for R rows."""

    tree: Array  # [R] int32: whose
    actions: Array  # [R, D] int32
    nodes: Array  # [R, D] int32: where each was chosen
    places: Array  # [R, D] int32: the edge's, among those of its node
    length: Array  # [R] int32; −1 where there is nothing to look at


class Rule(NamedTuple):
    """How edges are selected; see the module's docstring."""

    kind: int
    c: float
    urgency: float  # f
    forced: float  # k
    noise: float  # the share of noise in the root's prior
    visit: float  # c_visit
    scale: float  # c_scale
    virtual: float  # what a visit under way counts as lost


def slab(trees: int, nodes: int, actions: int, simulations: int) -> Slab:
    """Empty trees."""
    each, edges = (trees, nodes), (trees, ROOM * nodes)
    return Slab(
        np.zeros((trees, nodes, actions), np.float32),
        np.zeros(each, np.int32),
        np.zeros(each, np.float32),
        np.zeros(each, np.uint8),
        np.zeros(each, np.int32),
        np.zeros(each, np.int32),
        np.zeros(edges, np.int32),
        np.zeros(edges, np.float32),
        np.zeros(edges, np.int32),
        np.zeros(edges, np.float32),
        np.zeros(edges, np.int32),
        np.zeros(trees, np.int32),
        np.zeros(trees, np.int32),
        np.zeros(trees, np.int32),
        np.zeros(trees, np.int32),
        np.zeros(trees, np.uint8),
        np.zeros((trees, actions), np.float32),
        np.zeros((trees, actions), np.float32),
        np.zeros((trees, simulations), np.int32),
    )


def ways(rows: int, depth: int) -> Ways:
    """Room for R ways; row r belongs to tree r until somebody says otherwise."""
    tree, (actions, nodes, places) = np.arange(rows, dtype=np.int32), np.zeros((3, rows, depth), np.int32)
    return Ways(tree, actions, nodes, places, np.full(rows, -1, np.int32))


# ---------------------------------------------------------------------------------------------- selecting


@jitted
def scrambled(node, action):
    """32 bits in which neighbours have nothing in common: the finaliser of MurmurHash3 (Appleby, 2011)."""
    bits = np.uint32(node * np.uint32(0x9E3779B1) + action)
    bits = np.uint32((bits ^ (bits >> np.uint32(16))) * np.uint32(0x85EBCA6B))
    bits = np.uint32((bits ^ (bits >> np.uint32(13))) * np.uint32(0xC2B2AE35))
    return np.uint32(bits ^ (bits >> np.uint32(16)))


@bare
def by_uct(edges, c):
    """The edge without a visit, or else that with the highest upper confidence bound."""
    whole, best, most = 0, -1, -np.inf
    for e in range(len(edges.visits)):
        whole += edges.visits[e]
    log = np.log(np.float64(max(whole, 1)))
    for e in range(len(edges.visits)):
        n = edges.visits[e]
        score = (edges.total[e] + c * np.sqrt(log * n)) / n if n > 0 else np.inf
        if score > most or (score == most and edges.action[e] < edges.action[best]):
            best, most = e, score
    return best


@vectorised
def exponential(x):
    """e^x for x ≤ 0 in float32: (e^(x/32))^32 by Taylor's series, of which compilers make vector instructions."""
    y = max(x, np.float32(-80)) * np.float32(1 / 32)
    power = np.float32(1 / 720)
    for factor in (1 / 120, 1 / 24, 1 / 6, 1 / 2, 1.0, 1.0):
        power = power * y + np.float32(factor)
    for _ in range(5):
        power *= power
    return power


@inlined
def ordered(bits):
    """An int32 as great among such as the float32 of these bits is: compilers make vector instructions of integers'
    maxima, and of floats' none. Twice applied, the bits again.
    """
    return np.int32(bits ^ np.int32((bits >> np.int32(31)) & np.int32(0x7FFFFFFF)))


@vectorised
def first_highest(scores, action):
    """Where the score is highest, and of those the action first."""
    bits = scores[: len(action)].view(np.int32)
    most, best = LEAST, -1
    for e in range(len(action)):
        most = max(most, ordered(bits[e]))
    for e in range(len(action)):
        if ordered(bits[e]) == most and (best < 0 or action[e] < action[best]):
            best = e
    return best


@vectorised
def by_puct(edges, value, rule, noisy, scores):
    """The edge that promises most, for its value or because the prior likes it and few have looked."""
    whole, seen, brought = np.int32(0), np.float32(0), np.float32(value)
    for e in range(len(edges.visits)):
        whole += edges.visits[e]
        seen += edges.prior[e] if edges.visits[e] > 0 else np.float32(0)
        brought += edges.total[e]
    forced = np.float32(rule.forced * whole) if noisy else np.float32(0)
    explore = np.float32(rule.c * np.sqrt(1.0 + whole))
    urgency = np.float32(0) if noisy else np.float32(rule.urgency)
    unseen = brought / np.float32(1 + whole) - urgency * np.sqrt(seen)
    for e in range(len(edges.visits)):
        n = np.float32(edges.visits[e])
        q = edges.total[e] / max(n, np.float32(1)) if n > 0 else unseen
        score = q + explore * edges.prior[e] / (np.float32(1) + n)
        scores[e] = np.float32(np.inf) if n > 0 and n * n < forced * edges.prior[e] else score
    return first_highest(scores, edges.action)


@vectorised
def completed(edges, value, rule):
    """N, the mixed value of actions without visits, and the scale of σ."""
    whole, seen, brought, most = np.int32(0), np.float32(0), np.float32(0), np.int32(0)
    for e in range(len(edges.visits)):
        n = edges.visits[e]
        p = edges.prior[e] if n > 0 else np.float32(0)
        whole += n
        seen += p
        brought += p * edges.total[e] / np.float32(max(n, np.int32(1)))
        most = max(most, n)
    mixed = np.float32(value)
    if whole > 0:
        mixed = (mixed + whole * brought / max(seen, SMALLEST)) / np.float32(1 + whole)
    return whole, seen, mixed, np.float32((rule.visit + most) * rule.scale / 2)


@vectorised
def complete(edges, mixed, values):
    """Into `values` [n]: Q̂, and the highest of them."""
    highest = mixed
    for e in range(len(edges.visits)):
        n = np.float32(edges.visits[e])
        q = edges.total[e] / max(n, np.float32(1)) if n > 0 else mixed
        values[e] = q
        highest = max(highest, q)
    return highest


@bare
def improve(slab, tree, rule, values, logits):
    """Into `logits` [A]: ln P + σ(Q̂) of the root, −∞ where not legal; `values` [A] is scratch."""
    edges = edges_of(slab, tree, 0)
    _, _, mixed, scale = completed(edges, slab.value[tree, 0], rule)
    complete(edges, mixed, values)
    logits[:] = mixed
    for e in range(len(edges.action)):
        logits[edges.action[e]] = values[e]
    for a in range(len(logits)):
        prior = slab.prior[tree, 0, a]
        logits[a] = np.log(max(prior, SMALLEST)) + scale * (logits[a] + 1) if prior >= 0 else -np.inf


@vectorised
def by_gumbel(edges, value, rule, scores):
    """The edge that has fewest visits for its share of the improved policy, π' ∝ P e^σ(Q̂)."""
    whole, seen, mixed, scale = completed(edges, value, rule)
    highest = complete(edges, mixed, scores)
    weight = np.float32(0)
    for e in range(len(edges.visits)):
        share = exponential(scale * (scores[e] - highest))
        p = edges.prior[e]
        weight += share * (p if edges.visits[e] > 0 else max(np.float32(1) - seen, p))  # one stands for all
        scores[e] = p * share
    per_weight, per_visit = np.float32(1) / max(weight, SMALLEST), np.float32(1) / np.float32(1 + whole)
    for e in range(len(edges.visits)):
        scores[e] = scores[e] * per_weight - np.float32(edges.visits[e]) * per_visit
    return first_highest(scores, edges.action)


@vectorised
def by_halving(edges, value, rule, drawn, wanted, scores):
    """The root's action of highest g + ln P + σ(Q̂) among those with `wanted` visits, or of all if none has."""
    _, _, mixed, scale = completed(edges, value, rule)
    complete(edges, mixed, scores)
    found = False
    for e in range(len(edges.visits)):
        found |= edges.visits[e] == wanted
    for e in range(len(edges.visits)):
        score = drawn[edges.action[e]] + scale * (scores[e] + np.float32(1))
        scores[e] = score if not found or edges.visits[e] == wanted else np.float32(-np.inf)
    return first_highest(scores, edges.action)


@inlined
def edges_of(slab, tree, node):
    """Those of a node, as they lie there."""
    first = slab.first[tree, node]
    last = first + slab.degree[tree, node]
    return Edges(
        slab.action[tree, first:last],
        slab.chance[tree, first:last],
        slab.visits[tree, first:last],
        slab.total[tree, first:last],
    )


@inlined
def descend(slab, ways, row, rule, scores):
    """Walk from the root of a row's tree to an edge without a node, or to the end of a game; visits begin here.

    Returns the node at the end, 0 where there is none yet.
    """
    tree = ways.tree[row]
    node, depth = 0, 0
    while True:
        edges, value = edges_of(slab, tree, node), slab.value[tree, node]
        if rule.kind == PUCT:
            place = by_puct(edges, value, rule, node == 0 and slab.noisy[tree] != 0, scores)
        elif rule.kind == UCT:
            place = by_uct(edges, rule.c)
        elif node == 0:
            at = min(slab.done[tree], slab.halving.shape[1] - 1)
            place = by_halving(edges, value, rule, slab.drawn[tree], slab.halving[tree, at], scores)
        else:
            place = by_gumbel(edges, value, rule, scores)
        ways.actions[row, depth] = edges.action[place]
        ways.nodes[row, depth] = node
        ways.places[row, depth] = place
        edge = slab.first[tree, node] + place
        child = slab.child[tree, edge]
        slab.visits[tree, edge] += 1
        slab.total[tree, edge] -= np.float32(rule.virtual)
        if slab.visits[tree, edge] == 1:
            offer(slab, tree, node, rule)
        depth += 1
        node = child
        if node == 0 or slab.over[tree, node]:
            ways.length[row] = depth
            return node


@inlined
def next_highest(keys, last, floor):
    """The action of highest key [A] float32 after `last`, which is −1 at first; −1 if none is above `floor`, which is
    ordered. Equals go in order.
    """
    bits, count, last = keys.view(np.int32), np.int32(len(keys)), np.int32(last)
    bound, most = ordered(bits[last]) if last >= 0 else np.int32(2**31 - 1), np.int32(floor)
    for a in range(count):
        key = ordered(bits[a])
        later = (key < bound) | ((key == bound) & (a > last))
        most = max(most, key if later else np.int32(floor))
    if most == floor:
        return np.int32(-1)
    start, best = last if most == bound else np.int32(-1), count
    for a in range(count):
        best = min(best, np.int32(a) if (ordered(bits[a]) == most) & (a > start) else count)
    return best


@bare
def next_scrambled(prior, node, tried):
    """The legal action that was not tried and is first in the node's own order; −1 if there is none."""
    best, first = -1, np.uint32(0)
    for a in range(len(prior)):
        turn = scrambled(np.uint32(node), np.uint32(a))
        if prior[a] >= 0 and (best < 0 or turn < first) and a not in tried:
            best, first = a, turn
    return best


@inlined
def offer(slab, tree, node, rule):
    """Give a node its next edge without a visit, if there is one: the most likely, or under uct the next in order."""
    prior, tried = slab.prior[tree, node], edges_of(slab, tree, node).action
    last = tried[-1] if len(tried) else -1
    if rule.kind == UCT:
        action = next_scrambled(prior, node, tried)
    elif rule.kind == GUMBEL and node == 0:
        action = next_highest(slab.drawn[tree], last, LEAST)
    else:
        action = next_highest(prior, last, NEGATIVE)
    if action >= 0:
        append(slab, tree, node, action)


@inlined
def append(slab, tree, node, action):
    """Give a node an edge; one that has 1, 2, 4, 8, … moves with all of them to where there is room for twice as many.

    Returns where the edge lies.
    """
    first, count = slab.first[tree, node], slab.degree[tree, node]
    if count & (count - 1) == 0:
        to = slab.used[tree]
        slab.used[tree] = to + max(2 * count, 1)
        slab.first[tree, node] = to
        for edge in range(count):
            slab.action[tree, to + edge] = slab.action[tree, first + edge]
            slab.chance[tree, to + edge] = slab.chance[tree, first + edge]
            slab.visits[tree, to + edge] = slab.visits[tree, first + edge]
            slab.total[tree, to + edge] = slab.total[tree, first + edge]
            slab.child[tree, to + edge] = slab.child[tree, first + edge]
    edge = slab.first[tree, node] + count
    slab.degree[tree, node] = count + 1
    slab.action[tree, edge] = action
    slab.chance[tree, edge] = slab.prior[tree, node, action]
    slab.visits[tree, edge] = slab.total[tree, edge] = slab.child[tree, edge] = 0
    return edge


@bare
def select(slab, ways, rule, scores):
    """For every row a leaf to look at, if its tree has simulations left; ends of games are backed up on the way.
    `scores` [A] float32 is scratch.
    """
    for row in range(len(ways.tree)):
        tree = ways.tree[row]
        ways.length[row] = -1
        if slab.size[tree] == 0:
            ways.length[row] = 0 if slab.left[tree] > 0 else -1
            continue
        while slab.left[tree] > 0:
            slab.left[tree] -= 1
            node = descend(slab, ways, row, rule, scores)
            slab.done[tree] += 1
            if node == 0:
                break
            back_up(slab, ways, row, slab.value[tree, node], rule)
            ways.length[row] = -1


# ---------------------------------------------------------------------------------------------- expanding


@inlined
def back_up(slab, ways, row, value, rule):
    """Bring a value, in the eyes of who moves at the leaf, along the way of a row to the root."""
    tree = ways.tree[row]
    for depth in range(ways.length[row] - 1, -1, -1):
        value = -value  # here, and nowhere else, black's gain becomes white's loss
        edge = slab.first[tree, ways.nodes[row, depth]] + ways.places[row, depth]
        slab.total[tree, edge] += value + np.float32(rule.virtual)


@bare
def expand(slab, ways, rule, logits, values, legal, over):
    """Make a node of every leaf that was looked at, and back its value up.

    Args:
        slab: the trees.
        ways: whose leaves they are.
        rule: for noise and virtual loss.
        logits: of the policy [R, A] float32.
        values: in the eyes of who moves there [R] float32; where the game is over, its result.
        legal: [R, A] uint8.
        over: [R] uint8.
    """
    for row in range(len(ways.tree)):
        length = ways.length[row]
        if length < 0:
            continue
        tree = ways.tree[row]
        node = slab.size[tree]
        if length > 0:
            last = length - 1
            parent = ways.nodes[row, last]
            edge = slab.first[tree, parent] + ways.places[row, last]
            if slab.child[tree, edge] == 0:
                slab.child[tree, edge] = node
                slab.parent[tree, node] = parent
            else:  # another row was here first
                back_up(slab, ways, row, values[row], rule)
                continue
        elif node > 0:
            continue
        else:
            slab.used[tree] = 0
        slab.size[tree] = node + 1
        slab.value[tree, node] = values[row]
        slab.over[tree, node] = over[row]
        slab.degree[tree, node] = 0
        if not over[row]:
            spread(logits[row], legal[row], slab.prior[tree, node])
            if node == 0:
                stir(slab, tree, rule)
            offer(slab, tree, node, rule)
        back_up(slab, ways, row, values[row], rule)


@vectorised
def spread(logits, legal, prior):
    """The softmax of the legal logits, into `prior`."""
    bits, most, whole = logits.view(np.int32), LEAST, np.float32(0)
    for a in range(len(prior)):
        most = max(most, ordered(bits[a]) if legal[a] else LEAST)
    prior.view(np.int32)[0] = ordered(most)
    top = prior[0]
    for a in range(len(prior)):
        share = exponential(logits[a] - top) if legal[a] else np.float32(0)
        prior[a] = share
        whole += share
    factor = np.float32(1) / whole
    for a in range(len(prior)):
        prior[a] = prior[a] * factor if legal[a] else ILLEGAL


@inlined
def stir(slab, tree, rule):
    """Mix noise into the prior of a root that is to have it, or add the Gumbel variables to its logarithm."""
    share = np.float32(rule.noise) if rule.kind == PUCT and slab.noisy[tree] else np.float32(0)
    for a in range(slab.prior.shape[2]):
        prior = slab.prior[tree, 0, a]
        slab.drawn[tree, a] = slab.noise[tree, a] + np.log(max(prior, SMALLEST)) if prior >= 0 else -np.inf
        if prior >= 0:
            slab.prior[tree, 0, a] += share * (slab.noise[tree, a] - prior)


@jitted
def keep(slab, tree, action, rule):
    """Make what lies behind an action of the root the whole tree; nothing, where nobody has been."""
    root = 0
    for edge in range(slab.first[tree, 0], slab.first[tree, 0] + slab.degree[tree, 0]):
        if slab.size[tree] > 0 and slab.action[tree, edge] == action:
            root = slab.child[tree, edge]
    if root == 0 or slab.over[tree, root]:
        slab.size[tree] = 0
        return
    new = np.full(slab.size[tree], -1, np.int32)
    used = slab.used[tree]
    actions, visits = slab.action[tree, :used].copy(), slab.visits[tree, :used].copy()
    total, child = slab.total[tree, :used].copy(), slab.child[tree, :used].copy()
    size, slab.used[tree] = 0, 0
    for node in range(root, slab.size[tree]):  # parents come before their children
        if node == root or new[slab.parent[tree, node]] >= 0:
            new[node] = size
            first, count = slab.first[tree, node], slab.degree[tree, node]
            slab.prior[tree, size] = slab.prior[tree, node]
            slab.value[tree, size] = slab.value[tree, node]
            slab.over[tree, size] = slab.over[tree, node]
            slab.parent[tree, size] = 0 if node == root else new[slab.parent[tree, node]]
            slab.degree[tree, size] = 0
            for old in range(first, first + count):
                if visits[old] > 0:
                    edge = append(slab, tree, size, actions[old])
                    slab.visits[tree, edge] = visits[old]
                    slab.total[tree, edge] = total[old]
                    slab.child[tree, edge] = child[old]
            if not slab.over[tree, size]:
                offer(slab, tree, size, rule)
            size += 1
    for node in range(size):
        for edge in range(slab.first[tree, node], slab.first[tree, node] + slab.degree[tree, node]):
            slab.child[tree, edge] = max(new[slab.child[tree, edge]], 0)  # 0 was the old root, which is −1 now
    slab.size[tree] = size

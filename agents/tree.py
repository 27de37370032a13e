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

from sparring.envs.compiled import jitted, vectorised
from sparring.envs.worlds import Array

UCT, PUCT, GUMBEL = 0, 1, 2
ILLEGAL = np.float32(-1)  # as a prior
SMALLEST = np.float32(1e-30)  # a prior whose logarithm is still a number


class Slab(NamedTuple):
    """B trees of at most M nodes with A actions each."""

    prior: Array  # [B, M, A] float32; −1 where the action is not legal
    visits: Array  # [B, M, A] int32, those under way included
    total: Array  # [B, M, A] float32: what the visits brought, in the eyes of who moves at the node
    child: Array  # [B, M, A] int32: the node that the edge leads to; 0 where there is none yet
    parent: Array  # [B, M] int32
    value: Array  # [B, M] float32: the evaluation, in the same eyes; where the game is over, its result
    over: Array  # [B, M] uint8
    size: Array  # [B] int32: nodes
    left: Array  # [B] int32: simulations still to begin
    done: Array  # [B] int32: simulations begun
    noisy: Array  # [B] uint8: whether the root has noise
    noise: Array  # [B, A] float32: what the root's prior is mixed with, or its Gumbel variables g
    drawn: Array  # [B, A] float32: gumbel: g + ln P of the root
    halving: Array  # [B, S] int32: the visits that a root's action must have to be selected, by simulation


class Ways(NamedTuple):
    """From the root to a leaf, for R rows."""

    tree: Array  # [R] int32: whose
    actions: Array  # [R, D] int32
    nodes: Array  # [R, D] int32: where each was chosen
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
    shape = (trees, nodes, actions)
    return Slab(
        np.zeros(shape, np.float32),
        np.zeros(shape, np.int32),
        np.zeros(shape, np.float32),
        np.zeros(shape, np.int32),
        np.zeros(shape[:2], np.int32),
        np.zeros(shape[:2], np.float32),
        np.zeros(shape[:2], np.uint8),
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
    tree = np.arange(rows, dtype=np.int32)
    return Ways(tree, np.zeros((rows, depth), np.int32), np.zeros((rows, depth), np.int32), np.full(rows, -1, np.int32))


# ---------------------------------------------------------------------------------------------- selecting


@jitted
def scrambled(node, action):
    """32 bits in which neighbours have nothing in common: the finaliser of MurmurHash3 (Appleby, 2011)."""
    bits = np.uint32(node * np.uint32(0x9E3779B1) + action)
    bits = np.uint32((bits ^ (bits >> np.uint32(16))) * np.uint32(0x85EBCA6B))
    bits = np.uint32((bits ^ (bits >> np.uint32(13))) * np.uint32(0xC2B2AE35))
    return np.uint32(bits ^ (bits >> np.uint32(16)))


@jitted
def by_uct(prior, visits, total, c, node):
    """The edge with the highest upper confidence bound; of those without a visit the next in the node's order."""
    whole, fresh, first = 0, -1, np.uint32(0)
    for a in range(len(prior)):
        whole += visits[a]
        if visits[a] == 0 and prior[a] >= 0:
            turn = scrambled(np.uint32(node), np.uint32(a))
            if fresh < 0 or turn < first:
                fresh, first = a, turn
    if fresh >= 0:
        return fresh
    log = np.log(np.float64(max(whole, 1)))
    best, most = -1, -np.inf
    for a in range(len(prior)):
        if prior[a] >= 0:
            score = (total[a] + c * np.sqrt(log * visits[a])) / visits[a]
            if score > most:
                best, most = a, score
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


@vectorised
def first_highest(scores):
    """Where the highest score is first."""
    most = np.float32(-np.inf)
    for a in range(len(scores)):
        most = max(most, scores[a])
    for a in range(len(scores)):
        if scores[a] == most:
            return a
    return -1


@vectorised
def by_puct(prior, visits, total, value, rule, noisy, scores):
    """The edge that promises most, for its value or because the prior likes it and few have looked."""
    whole, seen, brought = np.int32(0), np.float32(0), np.float32(value)
    for a in range(len(prior)):
        whole += visits[a]
        seen += prior[a] if visits[a] > 0 else np.float32(0)
        brought += total[a]
    forced = np.float32(rule.forced * whole) if noisy else np.float32(0)
    if forced > 0:
        for a in range(len(prior)):
            if visits[a] > 0 and np.float32(visits[a]) * visits[a] < forced * prior[a]:
                return a
    explore = np.float32(rule.c * np.sqrt(1.0 + whole))
    urgency = np.float32(0) if noisy else np.float32(rule.urgency)
    unseen = brought / np.float32(1 + whole) - urgency * np.sqrt(seen)
    for a in range(len(prior)):
        n = np.float32(visits[a])
        q = total[a] / max(n, np.float32(1)) if n > 0 else unseen
        score = q + explore * prior[a] / (np.float32(1) + n)
        scores[a] = score if prior[a] >= 0 else np.float32(-np.inf)
    return first_highest(scores)


@vectorised
def completed(prior, visits, total, value, rule):
    """N, the mixed value of actions without visits, and the scale of σ."""
    whole, seen, brought, most = np.int32(0), np.float32(0), np.float32(0), np.int32(0)
    for a in range(len(prior)):
        n = visits[a]
        p = prior[a] if n > 0 else np.float32(0)
        whole += n
        seen += p
        brought += p * total[a] / np.float32(max(n, np.int32(1)))
        most = max(most, n)
    mixed = np.float32(value)
    if whole > 0:
        mixed = (mixed + whole * brought / max(seen, SMALLEST)) / np.float32(1 + whole)
    return whole, mixed, np.float32((rule.visit + most) * rule.scale / 2)


@vectorised
def complete(visits, total, mixed, values):
    """Into `values` [A]: Q̂, and the highest of them."""
    highest = mixed
    for a in range(len(visits)):
        n = np.float32(visits[a])
        q = total[a] / max(n, np.float32(1)) if n > 0 else mixed
        values[a] = q
        highest = max(highest, q)
    return highest


@jitted
def improve(prior, visits, total, value, rule, logits):
    """Into `logits` [A]: ln P + σ(Q̂), −∞ where not legal."""
    _, mixed, scale = completed(prior, visits, total, value, rule)
    complete(visits, total, mixed, logits)
    for a in range(len(prior)):
        logits[a] = np.log(max(prior[a], SMALLEST)) + scale * (logits[a] + 1) if prior[a] >= 0 else -np.inf


@vectorised
def by_gumbel(prior, visits, total, value, rule, scores):
    """The edge that has fewest visits for its share of the improved policy, π' ∝ P e^σ(Q̂)."""
    whole, mixed, scale = completed(prior, visits, total, value, rule)
    highest = complete(visits, total, mixed, scores)
    weight = np.float32(0)
    for a in range(len(prior)):
        share = prior[a] * exponential(scale * (scores[a] - highest)) if prior[a] >= 0 else np.float32(0)
        scores[a] = share
        weight += share
    per_weight, per_visit = np.float32(1) / max(weight, SMALLEST), np.float32(1) / np.float32(1 + whole)
    for a in range(len(prior)):
        score = scores[a] * per_weight - np.float32(visits[a]) * per_visit
        scores[a] = score if prior[a] >= 0 else np.float32(-np.inf)
    return first_highest(scores)


@vectorised
def by_halving(prior, visits, total, value, rule, drawn, wanted, scores):
    """The root's action of highest g + ln P + σ(Q̂) among those with `wanted` visits, or of all if none has."""
    _, mixed, scale = completed(prior, visits, total, value, rule)
    complete(visits, total, mixed, scores)
    found = False
    for a in range(len(prior)):
        found |= prior[a] >= 0 and visits[a] == wanted
    for a in range(len(prior)):
        score = drawn[a] + scale * (scores[a] + np.float32(1))
        asked = prior[a] >= 0 and (not found or visits[a] == wanted)
        scores[a] = score if asked else np.float32(-np.inf)
    return first_highest(scores)


@jitted
def descend(slab, ways, row, rule, scores):
    """Walk from the root of a row's tree to an edge without a node, or to the end of a game; visits begin here.

    Returns the node at the end, 0 where there is none yet.
    """
    tree = ways.tree[row]
    node, depth = 0, 0
    while True:
        prior, visits, total = slab.prior[tree, node], slab.visits[tree, node], slab.total[tree, node]
        value = slab.value[tree, node]
        if rule.kind == PUCT:
            action = by_puct(prior, visits, total, value, rule, node == 0 and slab.noisy[tree] != 0, scores)
        elif rule.kind == UCT:
            action = by_uct(prior, visits, total, rule.c, node)
        elif node == 0:
            at = min(slab.done[tree], slab.halving.shape[1] - 1)
            wanted = slab.halving[tree, at]
            action = by_halving(prior, visits, total, value, rule, slab.drawn[tree], wanted, scores)
        else:
            action = by_gumbel(prior, visits, total, value, rule, scores)
        ways.actions[row, depth] = action
        ways.nodes[row, depth] = node
        visits[action] += 1
        total[action] -= np.float32(rule.virtual)
        depth += 1
        node = slab.child[tree, node, action]
        if node == 0 or slab.over[tree, node]:
            ways.length[row] = depth
            return node


@jitted
def select(slab, ways, rule):
    """For every row a leaf to look at, if its tree has simulations left; ends of games are backed up on the way."""
    scores = np.empty(slab.prior.shape[2], np.float32)
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


@jitted
def back_up(slab, ways, row, value, rule):
    """Bring a value, in the eyes of who moves at the leaf, along the way of a row to the root."""
    tree = ways.tree[row]
    for depth in range(ways.length[row] - 1, -1, -1):
        value = -value  # here, and nowhere else, black's gain becomes white's loss
        slab.total[tree, ways.nodes[row, depth], ways.actions[row, depth]] += value + np.float32(rule.virtual)


@jitted
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
            parent, action = ways.nodes[row, last], ways.actions[row, last]
            if slab.child[tree, parent, action] == 0:
                slab.child[tree, parent, action] = node
                slab.parent[tree, node] = parent
            else:  # another row was here first
                back_up(slab, ways, row, values[row], rule)
                continue
        elif node > 0:
            continue
        slab.size[tree] = node + 1
        slab.value[tree, node] = values[row]
        slab.over[tree, node] = over[row]
        slab.visits[tree, node] = 0
        slab.total[tree, node] = 0
        slab.child[tree, node] = 0
        if not over[row]:
            spread(logits[row], legal[row], slab.prior[tree, node])
            if node == 0:
                stir(slab, tree, rule)
        back_up(slab, ways, row, values[row], rule)


@vectorised
def spread(logits, legal, prior):
    """The softmax of the legal logits, into `prior`."""
    top, whole = np.float32(-np.inf), np.float32(0)
    for a in range(len(prior)):
        top = max(top, logits[a] if legal[a] else np.float32(-np.inf))
    for a in range(len(prior)):
        share = exponential(logits[a] - top) if legal[a] else np.float32(0)
        prior[a] = share
        whole += share
    factor = np.float32(1) / whole
    for a in range(len(prior)):
        prior[a] = prior[a] * factor if legal[a] else ILLEGAL


@jitted
def stir(slab, tree, rule):
    """Mix noise into the prior of a root that is to have it, or add the Gumbel variables to its logarithm."""
    share = np.float32(rule.noise) if rule.kind == PUCT and slab.noisy[tree] else np.float32(0)
    for a in range(slab.prior.shape[2]):
        prior = slab.prior[tree, 0, a]
        if prior >= 0:
            slab.prior[tree, 0, a] += share * (slab.noise[tree, a] - prior)
            slab.drawn[tree, a] = slab.noise[tree, a] + np.log(max(prior, SMALLEST))


@jitted
def keep(slab, tree, action):
    """Make what lies behind an action of the root the whole tree; nothing, where nobody has been."""
    root = slab.child[tree, 0, action] if slab.size[tree] > 0 else 0
    if root == 0 or slab.over[tree, root]:
        slab.size[tree] = 0
        return
    new = np.full(slab.size[tree], -1, np.int32)
    count = 0
    for node in range(root, slab.size[tree]):  # parents come before their children
        if node == root or new[slab.parent[tree, node]] >= 0:
            new[node] = count
            slab.prior[tree, count] = slab.prior[tree, node]
            slab.visits[tree, count] = slab.visits[tree, node]
            slab.total[tree, count] = slab.total[tree, node]
            slab.child[tree, count] = slab.child[tree, node]
            slab.value[tree, count] = slab.value[tree, node]
            slab.over[tree, count] = slab.over[tree, node]
            slab.parent[tree, count] = 0 if node == root else new[slab.parent[tree, node]]
            count += 1
    for node in range(count):
        for a in range(slab.prior.shape[2]):
            old = slab.child[tree, node, a]
            slab.child[tree, node, a] = new[old] if old > 0 else 0
    slab.size[tree] = count

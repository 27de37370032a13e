"""A search in plain Python, slow and without arrays of trees: the equations of `agents.tree`, an edge at a time."""

from __future__ import annotations

import math

import numpy as np

from sparring.agents import tree as kernels
from sparring.agents.mcts import halving


class Node:
    """A position; of each of its edges the prior, the visits, what they brought, and the node behind it."""

    def __init__(self, value, over, prior):
        self.value, self.over, self.prior = value, over, prior
        self.visits = dict.fromkeys(prior, 0)
        self.total = dict.fromkeys(prior, 0.0)
        self.behind = {}

    @property
    def whole(self):
        return sum(self.visits.values())

    def q(self, a, unseen):
        return self.total[a] / self.visits[a] if self.visits[a] else unseen

    def below(self):
        """This node and all behind it."""
        return [self] + [node for child in self.behind.values() for node in child.below()]


class Plain:
    """One tree in one game of a world, searched as `Trees` are; `rows` leaves a round, by virtual loss."""

    def __init__(self, world, game, searching, evaluate, *, rows=1):
        self.world, self.game, self.searching, self.evaluate = world, game, searching, evaluate
        self.rows, self.nodes = rows, []

    def search(self, dice, *, noisy):
        """All simulations; on from what there is."""
        one, legal = self.searching, self.world.legal(self.game)
        self.noisy, self.left, self.done = noisy, one.simulations, 0
        self.noise = np.zeros(len(legal))
        if one.select == "gumbel":
            self.noise = dice.gumbel(size=len(legal)) if noisy else self.noise
            self.plan = halving(min(one.considered, legal.sum()), one.simulations)
        elif noisy:
            self.noise[legal] = dice.dirichlet(np.full(legal.sum(), one.concentration / legal.sum()))
        if not self.nodes:
            root = self.look([])
            if one.select == "puct" and noisy:
                root.prior = {a: (1 - one.noise) * p + one.noise * self.noise[a] for a, p in root.prior.items()}
            self.nodes = [root]
        while self.left:
            self.round()

    def follow(self, action):
        """Keep what is behind a move; nodes are numbered as they were made."""
        found = self.nodes[0].behind[action].below()
        self.nodes = [node for node in self.nodes if node in found]

    def look(self, way):
        actions, length = np.array([way or [0]], np.int32), np.array([len(way)], np.int32)
        leaves = self.world.look(np.array([self.game], np.int32), actions, length)
        if leaves.over[0]:
            return Node(float(leaves.results[0]), True, {})
        logits, values = self.evaluate(leaves, np.zeros(1, int))
        legal = [int(a) for a in np.flatnonzero(leaves.legal[0])]
        weights = {a: math.exp(float(logits[0, a]) - float(logits[0, legal].max())) for a in legal}
        return Node(float(values[0]), False, {a: w / sum(weights.values()) for a, w in weights.items()})

    def round(self):
        ways = [way for way in (self.descend() for _ in range(self.rows)) if way]
        leaves = [self.look([action for _, action in way]) for way in ways]
        for way, leaf in zip(ways, leaves, strict=True):
            parent, action = way[-1]
            if action not in parent.behind:
                parent.behind[action] = leaf
                self.nodes.append(leaf)
            self.back_up(way, leaf.value)

    def descend(self):
        """The edges to a leaf; ends of games that were looked at before are backed up on the way."""
        while self.left:
            self.left -= 1
            way, node = [], self.nodes[0]
            while node is not None and not node.over:
                action = self.select(node)
                node.visits[action] += 1
                node.total[action] -= self.rows > 1
                way.append((node, action))
                node = node.behind.get(action)
            self.done += 1
            if node is None:
                return way
            self.back_up(way, node.value)
        return None

    def back_up(self, way, value):
        for node, action in reversed(way):
            value = -value
            node.total[action] += value + (self.rows > 1)

    def select(self, node):
        rule = {"uct": self.uct, "puct": self.puct, "gumbel": self.gumbel}[self.searching.select]
        return rule(node, node is self.nodes[0])

    def uct(self, node, _):
        index = self.nodes.index(node)
        fresh = [a for a in node.prior if not node.visits[a]]
        if fresh:
            return min(fresh, key=lambda a: kernels.scrambled(np.uint32(index), np.uint32(a)))
        c, log = self.searching.c_puct, math.log(node.whole)
        return max(node.prior, key=lambda a: node.q(a, 0) + c * math.sqrt(log / node.visits[a]))

    def puct(self, node, root):
        one, n, noisy = self.searching, node.visits, root and self.noisy
        if noisy:
            for a, p in node.prior.items():
                if 0 < n[a] < math.sqrt(one.forced * p * node.whole):
                    return a
        mean = (node.value + sum(node.total.values())) / (1 + node.whole)
        seen = sum(p for a, p in node.prior.items() if n[a])
        unseen = mean - (0 if noisy else one.urgency) * math.sqrt(seen)
        explore = one.c_puct * math.sqrt(1 + node.whole)
        return max(node.prior, key=lambda a: node.q(a, unseen) + explore * node.prior[a] / (1 + n[a]))

    def improved(self, node):
        """ln P + σ(Q̂) of each edge."""
        one, seen = self.searching, [a for a in node.prior if node.visits[a]]
        mixed = node.value
        if seen:
            mean = sum(node.prior[a] * node.q(a, 0) for a in seen) / sum(node.prior[a] for a in seen)
            mixed = (node.value + node.whole * mean) / (1 + node.whole)
        scale = (one.c_visit + max(node.visits.values())) * one.c_scale
        return {a: math.log(p) + scale * (node.q(a, mixed) + 1) / 2 for a, p in node.prior.items()}

    def gumbel(self, node, root):
        improved = self.improved(node)
        if root:
            wanted = self.plan[self.done]
            asked = [a for a in node.prior if node.visits[a] == wanted] or list(node.prior)
            return max(asked, key=lambda a: self.noise[a] + improved[a])
        policy = softmax(improved)
        return max(node.prior, key=lambda a: policy[a] - node.visits[a] / (1 + node.whole))

    # ---------------------------------------------------------------------------------------------- what it says

    def visits(self):
        return [self.nodes[0].visits.get(a, 0) for a in range(self.world.actions)]

    def value(self):
        root = self.nodes[0]
        return (root.value + sum(root.total.values())) / (1 + root.whole)

    def policy(self):
        root = self.nodes[0]
        weights = softmax(self.improved(root)) if self.searching.select == "gumbel" else self.unforced(root)
        return [weights.get(a, 0) / sum(weights.values()) for a in range(self.world.actions)]

    def unforced(self, root):
        """Visits, less those that were forced as far as PUCT would not have paid them; what one is left of goes too."""
        one, n, whole = self.searching, root.visits, root.whole
        if not (one.forced and self.noisy):
            return n
        best = max(n, key=n.get)
        explore = {a: one.c_puct * math.sqrt(1 + whole) * p for a, p in root.prior.items()}
        left = {best: n[best]}
        for a in set(n) - {best}:
            gap = root.q(best, 0) + explore[best] / (1 + n[best]) - root.q(a, 0)
            earned = math.ceil(explore[a] / gap - 1) if gap > 0 else math.inf
            kept = min(n[a], max(n[a] - math.sqrt(one.forced * root.prior[a] * whole), earned))
            left[a] = kept if kept > 1 else 0
        return left


def softmax(logits):
    weights = {a: math.exp(logit - max(logits.values())) for a, logit in logits.items()}
    return {a: weight / sum(weights.values()) for a, weight in weights.items()}

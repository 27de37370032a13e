"""SeqGAN: a generator of discrete tokens against a discriminator (Yu et al. 2017, arXiv 1609.05473).

π writes y_1 … y_T, each token from what stands before it; D says how real a sentence is, as the probability σ(D(y)). A
token is chosen, not computed, so D's gradient ends there. There are three ways out, and all of them are here:

The score function (`signal score-function`): writing is acting (`sparring.envs.tokens`), D the world's judge, and

    ∇ E σ(D(y)) = E Σ_t Q(y_1…y_{t−1}, y_t) ∇ log π(y_t | y_1…y_{t−1})                         eq. 6, 7

with, for Q, what `credit` says                                          baseline b and agent say what is made of it
    terminal     σ(D(y)) of the whole sentence, for all its tokens       unbiased, and one number for T choices
    rollouts     the mean of σ(D) over K ways in which an older π′       eq. 4; unbiased as long as π′ = π
                 ends the sentence;  π′ ← κ π′ + (1 − κ) π
    per-step     σ(D(y_1…y_t)), by a D that judges prefixes              REGS, Li et al. 2017: another question to D

`agent reinforce` and `agent ppo` are the modules of these names, unchanged: PPO-SeqGAN is REINFORCE-SeqGAN with one
word changed.

Relaxed tokens (`signal gumbel`, `straight-through`): y_t = softmax((logits + g) / τ) with Gumbel noise g, as it is or
rounded in the forward pass; D's gradient passes, biased. G minimises −E log σ(D(y)).     Jang et al. 2017; Kusner 2016

Probabilities (`signal soft-wgan`): the critic is shown π(·|prefix) in place of tokens, under Wasserstein's loss with a
gradient penalty.                                                                            Gulrajani et al. 2017

A run has three phases, a round being an update: maximum likelihood (`mle_rounds`), D alone (`warm_rounds`), and then
both: one batch of sentences for G, `teacher` batches of maximum likelihood between them, `d_turns` turns for D.

What differs from the authors' code (LantaoYu/SeqGAN), in the preset `paper` too: their loss of G is a sum over tokens
and ours a mean, which Adam does not see but for the clipping. Real sentences are drawn with replacement; theirs pass
once an epoch. torch's LSTM has two biases a gate, theirs one. D's weights begin as torch has them. D's batches are one
half real, theirs are mixed by chance. One logit of D stands for their two, which step apart, and the sum of both kinds'
mean losses for their mean over all; together they leave the weight of `d_l2` what it was. In their code π′ is π, since
what updates it changes nothing that the graph reads; ours follows the paper.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from time import perf_counter
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot, softplus

from sparring.adversarial import corpus as texts
from sparring.adversarial import language, sentences
from sparring.adversarial.corpus import Corpus
from sparring.adversarial.gan import distance, slope, told_apart
from sparring.adversarial.language import LanguageModel, Pen, Relax
from sparring.adversarial.players import seeded
from sparring.adversarial.sheets import Sheet
from sparring.adversarial.textcnn import Discriminator, Size
from sparring.agents import ppo, protocol, reinforce
from sparring.agents.descent import Descent, Terms
from sparring.agents.learner import Learner
from sparring.agents.policy import Dice, Remembered
from sparring.agents.protocol import Experiment, Preset, Published, Stateful
from sparring.envs.episodes import EpisodeError
from sparring.envs.errors import BadInputError, check_ranges
from sparring.envs.rollouts import Acts, Metrics, Report, Rollout, Rollouts
from sparring.envs.tokens import BLANK, TASKS, Writing
from sparring.envs.worlds import Array, World, Worlds

GRADIENT_PENALTY = 10.0  # λ of Gulrajani et al.

Credit = Literal["terminal", "rollouts", "per-step"]
Signal = Literal["score-function", "gumbel", "straight-through", "soft-wgan"]
Baseline = Literal["none", "running", "value"]
Agent = Literal["reinforce", "ppo"]
Phase = Literal["likelihood", "discriminator", "play"]


@dataclass(frozen=True)
class Schedule:
    """How long, and how often what, counted in rounds."""

    steps: int
    """rounds in the whole run, of all three phases"""
    save_every: int = 10
    """rounds between checkpoints"""
    evaluate_every: int = 0
    """rounds between evaluations, the first before any learning; 0: only at the end"""
    samples: int = 2_000
    """sentences that an evaluation writes, and of those held out as many as there are up to this"""

    def __post_init__(self) -> None:
        check_ranges(self, steps=(1, inf), save_every=(1, inf), evaluate_every=(0, inf), samples=(2, inf))

    def judging(self, samples: int) -> Schedule:
        """The same with evaluations of so many sentences."""
        return replace(self, samples=samples)


@dataclass(frozen=True)
class Config:
    """Symbols as in the module's docstring."""

    schedule: Schedule
    data: texts.Name
    """what is to be written like"""
    data_dir: str = ""
    """folder of the authors' oracle, or of a text; default: those below what SPARRING_DATA names"""
    text: str = ""
    """FILE of --data text: a sentence a line"""
    level: texts.Level = "words"
    """what a token of a text is"""
    vocabulary: int = 50
    """V of an oracle, or of a task"""
    length: int = 20
    """T: tokens that are written; of a text 0 is the longest line"""
    sentences: int = 90_000
    """of an oracle, or of a task, to learn from"""
    held_out: int = 10_000
    """on top of them, to judge by"""
    data_seed: int = 0
    """what the oracle and its sentences follow from, whatever the run's own seed is"""
    embedding: int = 32
    """numbers a token in G"""
    hidden: int = 64
    """of G's LSTM"""
    batch: int = 64
    """sentences in a batch of G"""
    mle_rounds: int = 100
    """rounds of maximum likelihood before anything else"""
    mle_batches: int = 100
    """batches in such a round"""
    mle_rate: float = 2e-2
    """learning rate of maximum likelihood, of Adam"""
    anneal_mle: bool = True
    """let it fall linearly to zero over these rounds"""
    warm_rounds: int = 20
    """rounds in which D learns alone, a turn each"""
    signal: Signal = "score-function"
    """how G learns from D"""
    credit: Credit = "rollouts"
    """Q of a token, for the score function"""
    rollouts: int = 8
    """K: ways in which a sentence is ended"""
    keep: float = 0.8
    """κ: how much of the older π′ stays when π has learned"""
    agent: Agent = "reinforce"
    """who learns to write, with the score function"""
    baseline: Baseline = "value"
    """b: nothing, the running mean of Q, or V(prefix); under `standardise` the first two come to the same"""
    standardise: bool = True
    """divide each batch's advantages by their deviation, after taking away their mean, and so any constant b"""
    rate: float = 3e-4
    """learning rate of G while playing, of Adam"""
    entropy_weight: float = 0.0
    """weight of the entropy bonus"""
    max_gradient_norm: float = 5.0
    """global norm to which G's gradients are clipped"""
    teacher: int = 0
    """batches of maximum likelihood between G's, at the same `rate`"""
    temperature: float = 1.0
    """τ of relaxed tokens"""
    d_size: Size = "small"
    """D's filters"""
    d_turns: int = 1
    """turns of D in a round, each on fresh sentences"""
    d_sentences: int = 2_048
    """sentences of each kind in a turn"""
    d_batch: int = 64
    """of them, in a step of D"""
    d_epochs: int = 1
    """passes over them"""
    d_rate: float = 1e-3
    """D's learning rate, of Adam"""
    d_dropout: float = 0.0
    """share of D's features that is dropped"""
    d_l2: float = 0.0
    """weight of the squares of D's last layer"""

    def __post_init__(self) -> None:
        check_ranges(self, vocabulary=(2, inf), length=(0, inf), sentences=(1, inf), held_out=(2, inf))
        check_ranges(self, batch=(1, inf), mle_rounds=(0, inf), mle_batches=(1, inf), warm_rounds=(0, inf))
        check_ranges(self, mle_rate=(0, inf), rate=(0, inf), d_rate=(0, inf), max_gradient_norm=(0, inf))
        check_ranges(self, keep=(0, 1), d_dropout=(0, 0.99), d_l2=(0, inf), temperature=(1e-3, inf), teacher=(0, inf))
        check_ranges(self, d_turns=(0, inf), d_sentences=(1, inf), d_epochs=(1, inf), d_batch=(1, inf))
        check_ranges(self, embedding=(1, inf), hidden=(1, inf), data_seed=(0, inf))
        if self.rollouts < 1:
            raise BadInputError(
                f"rollouts is {self.rollouts}; a sentence is ended at least once: use --rollouts 1, or more, or "
                "--credit terminal, which ends none"
            )
        if self.text and self.data != "text":
            raise BadInputError(f"text is {self.text}, and data is {self.data}; use --data text with it")
        if self.agent == "ppo" and self.baseline != "value":
            raise BadInputError(f"baseline is {self.baseline}, and ppo has one of its own, V: use --baseline value")
        if not self.length and self.data != "text":
            raise BadInputError(f"length is 0, and {self.data} has no longest line; use --length 20")

    @property
    def phased(self) -> bool:
        """Whether rounds cost differently from one phase to the next."""
        return bool(self.mle_rounds or self.warm_rounds)

    @property
    def unused(self) -> dict[str, str]:
        """Options without any effect here, and why."""
        if self.signal == "score-function":
            return {"temperature": "no token is relaxed: signal is score-function"}
        why = f"signal is {self.signal}, and G learns from D's own gradient"
        return dict.fromkeys(("credit", "rollouts", "keep", "agent", "baseline", "standardise", "entropy_weight"), why)


def corpus_of(config: Config) -> Corpus:
    """The sentences that a configuration asks for.

    Raises:
        BadInputError: they are not there, or cannot be learned from.
    """
    c = config
    drawn = (c.length, c.sentences, c.held_out, c.data_seed)
    if c.data == "oracle":
        return texts.of_oracle(c.vocabulary, *drawn, None)
    if c.data == "authors-oracle":
        return texts.of_oracle(0, *drawn, texts.folder_of(c.data_dir, "seqgan_oracle"))
    if c.data == "text":
        if not c.text:
            raise BadInputError("data is text, and nobody says which; name a file with --text FILE, a sentence a line")
        here = Path(c.text)
        path = here if here.exists() or here.is_absolute() else texts.folder_of(c.data_dir, "text") / here
        return texts.of_file(path, c.level, c.length)
    return texts.of_task(c.data, c.vocabulary, c.length, c.sentences, c.held_out, c.data_seed)


def model_of(config: Config, corpus: Corpus, seed: int) -> LanguageModel:
    """G before anything is learned: all weights N(0, 0.1²)."""

    def build() -> nn.ModuleDict:
        return nn.ModuleDict({"model": LanguageModel(corpus.vocabulary, config.embedding, config.hidden)})

    model = seeded(build, seed)["model"]
    assert isinstance(model, LanguageModel)
    language.in_normal(model, 0.1, torch.Generator().manual_seed(seed))
    return model


class Lesson(NamedTuple):
    """What a round is learned from."""

    real: Tensor  # [N, S + T]
    written: Rollout[Remembered] | None  # in the world, while playing by the score function


class Clock:
    """Which phase it is."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.rounds = 0  # begun before the present one

    @property
    def phase(self) -> Phase:
        """Of the round that comes."""
        if self.rounds < self.config.mle_rounds:
            return "likelihood"
        return "discriminator" if self.rounds < self.config.mle_rounds + self.config.warm_rounds else "play"

    def state_dict(self) -> dict[str, Any]:
        """The rounds that are over."""
        return {"rounds": self.rounds}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state."""
        self.rounds = state["rounds"]


class SeqGAN:
    """G, D, and who teaches G."""

    def __init__(self, config: Config, corpus: Corpus, *, seed: int, device: str) -> None:
        g_seed, learner_seed, dice_seed, d_seed = (int(n) for n in np.random.SeedSequence(seed).generate_state(4))
        c, self.config, self.corpus, self.clock = config, config, corpus, Clock(config)
        self.dice = Dice(dice_seed, device)
        self.model = model_of(c, corpus, g_seed).to(device)
        self.older = copy.deepcopy(self.model).requires_grad_(False)  # π′
        self.pen, self.scout = Pen(self.model, self.dice.generator), Pen(self.older, self.dice.generator)
        self.d = discriminator_of(c, corpus, d_seed).to(device)
        self.likelihood = descent(self.model, c.mle_rate, c.max_gradient_norm, c.mle_rounds if c.anneal_mle else None)
        self.teaching = descent(self.model, c.rate, c.max_gradient_norm)
        self.d_descent = descent(self.d, c.d_rate, inf)
        self.learner: Learner[Any] = Learner(
            AGENTS[c.agent],
            agent_config(c, corpus.length),
            self.model,
            descent(self.model, c.rate, c.max_gradient_norm),
            clip_reward=False,
            seed=learner_seed,
            device=device,
            kept={"baseline": reinforce.Baseline().to(device)},
        )

    def parts(self) -> Mapping[str, Stateful]:
        """What must survive a crash; first what tells whether the rest can."""
        return {
            "corpus": self.corpus,
            "clock": self.clock,
            **self.learner.parts(),
            "likelihood": self.likelihood,
            "teaching": self.teaching,
            "older": self.older,
            "discriminator": self.d,
            "discriminator_descent": self.d_descent,
            "places": self.dice,
        }

    # ------------------------------------------------------------------------------------------ writing

    def act(self, obs: Array, *, greedy: bool = False) -> Acts[Remembered]:
        """The next token of each sentence."""
        return self.pen.act(obs, greedy=greedy)

    @torch.no_grad()
    def judge(self, shown: Array, written: int) -> Array:
        """What the token written last earns [N], in sentences [N, S + T] with `written` tokens."""
        whole = torch.as_tensor(shown, device=self.dice.device)
        if written == self.corpus.length or self.config.credit == "per-step":
            return self.believed(whole).cpu().numpy()
        if self.config.credit == "terminal":
            return np.zeros(len(shown), np.float32)
        return self.rolled_out(whole[:, : self.corpus.given + written]).cpu().numpy()

    def believed(self, whole: Tensor) -> Tensor:
        """σ(D) of each sentence."""
        return torch.cat([self.d(some).sigmoid() for some in language.parts(whole)])

    def rolled_out(self, prefixes: Tensor) -> Tensor:
        """The mean of σ(D) over K ways in which π′ ends prefixes [N, t]; [N]."""
        ways, left = self.config.rollouts, self.corpus.given + self.corpus.length - prefixes.shape[1]
        h, c = (part.repeat_interleave(ways, 1) for part in self.scout.follow(prefixes))
        ends = self.older.finish((h, c), self.uniform(len(prefixes) * ways, left))
        whole = torch.cat([prefixes.repeat_interleave(ways, 0), ends], 1)
        return self.believed(whole).view(-1, ways).mean(1)

    def uniform(self, *shape: int) -> Tensor:
        """Numbers in [0, 1)."""
        return torch.rand(*shape, generator=self.dice.generator, device=self.dice.device)

    def sources(self, count: int) -> Tensor:
        """What is given of any sentences that are learned from [N, S]."""
        device = self.dice.device
        rows = torch.randint(len(self.corpus.train), (count,), generator=self.dice.generator, device=device)
        return self.corpus.train[rows.cpu(), : self.corpus.given].to(device)

    def dream(self, count: int, relax: Relax) -> Tensor:
        """Relaxed sentences [N, S + T, V]."""
        noise = language.gumbel(self.uniform(count, self.corpus.length, self.corpus.vocabulary))
        return self.model.dream(self.sources(count), noise, relax)

    # ------------------------------------------------------------------------------------------ learning

    @property
    def appetite(self) -> int:
        """Real sentences that the coming round takes."""
        c = self.config
        if self.clock.phase == "likelihood":
            return c.mle_batches * c.batch
        return c.teacher * c.batch + self.turns * c.d_sentences

    @property
    def turns(self) -> int:
        """Of D in the coming round."""
        return 1 if self.clock.phase == "discriminator" else self.config.d_turns

    def update(self, lesson: Lesson) -> Metrics:
        """A round of the phase that it is."""
        real, phase = lesson.real.to(self.dice.device), self.clock.phase
        turns = torch.split(real[self.config.teacher * self.config.batch :], self.config.d_sentences)[: self.turns]
        if phase == "likelihood":
            self.likelihood.begin_update()
            told: dict[str, float | list[float]] = dict(self.imitate(real, self.likelihood))
        elif phase == "discriminator":
            told = dict(self.tell_apart(turns))
        else:
            told = dict(self.persuade(lesson.written))
            if self.config.teacher:
                told |= self.imitate(real[: self.config.teacher * self.config.batch], self.teaching)
            told |= self.tell_apart(turns)
        self.grow_older(0.0 if phase == "likelihood" else self.config.keep)
        self.clock.rounds += 1
        return told

    def imitate(self, real: Tensor, descent: Descent) -> dict[str, float]:
        """Maximum likelihood: L = −mean log π(y_t | y_1…y_{t−1})."""
        terms = Terms("loss/likelihood")
        for batch in torch.split(real, self.config.batch):
            loss = -self.model.log_probs(batch, self.corpus.given).mean()
            descent.step(loss)
            terms.add(loss)
        return terms.means()

    def persuade(self, written: Rollout[Remembered] | None) -> Metrics:
        """One batch of G's."""
        if written is not None:
            return {"reward/mean": float(written.rewards.sum(0).mean()), **self.learner.update(written)}
        logits = self.d(self.dream(self.config.batch, self.relax))
        loss = -logits.mean() if self.config.signal == "soft-wgan" else softplus(-logits).mean()
        terms = Terms("loss/generator", "gradient/norm")
        terms.add(loss, self.learner.descent.step(loss))
        return terms.means()

    @property
    def relax(self) -> Relax:
        """What becomes of a token."""
        if self.config.signal == "soft-wgan":
            return language.probabilities
        kinds: dict[str, Callable[[float], Relax]] = {
            "gumbel": language.softened,
            "straight-through": language.straight_through,
        }
        return kinds[self.config.signal](self.config.temperature)

    def tell_apart(self, turns: tuple[Tensor, ...]) -> dict[str, float]:
        """Turns of D, each on real sentences [N, S + T] and as many that G writes for it."""
        terms = Terms("loss/discriminator", "believed/real", "believed/fake")
        for real in turns:
            written = self.written(len(real))
            for _ in range(self.config.d_epochs):
                order = torch.randperm(len(real), generator=self.dice.generator, device=real.device)
                for rows in torch.split(order, self.config.d_batch):
                    loss, r, f = self.d_loss(real[rows], None if written is None else written[rows])
                    self.d_descent.step(loss)
                    terms.add(loss, r.sigmoid().mean(), f.sigmoid().mean())
        return terms.means() if turns else {}

    def written(self, count: int) -> Tensor | None:
        """So many sentences of G for D to learn from; None where relaxed ones are made anew at every step."""
        if self.config.signal != "score-function":
            return None
        return self.model.write(self.sources(count), self.uniform(count, self.corpus.length))

    def d_loss(self, real: Tensor, written: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """What D minimises on real sentences and on written or relaxed ones, and its logits of both."""
        c, generator = self.config, self.dice.generator
        if written is None:
            with torch.no_grad():
                fake = self.dream(len(real), self.relax)
            real = one_hot(real, self.corpus.vocabulary).to(fake)
        else:
            real, fake = self.cut(real, written) if c.credit == "per-step" else (real, written)
        if c.signal == "soft-wgan":
            return self.critic_loss(real, fake)
        r, f = self.d(real, generator), self.d(fake, generator)
        return told_apart(r, f) + c.d_l2 * self.d.complexity(), r, f

    def critic_loss(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Wasserstein's, with λ E(‖∇D‖ − 1)² between the two."""
        mix = self.uniform(len(real), 1, 1)
        between = (mix * real + (1 - mix) * fake).requires_grad_()
        steep = slope(self.d(between), between).flatten(1).norm(dim=1)
        r, f = self.d(real), self.d(fake)
        return GRADIENT_PENALTY * (steep - 1).square().mean() - distance(r, f), r, f

    def cut(self, *sentences: Tensor) -> tuple[Tensor, ...]:
        """Prefixes of sentences, of 1 to T tokens, equally long in all."""
        device = self.dice.device
        drawn = torch.randint(self.corpus.length, sentences[0].shape[:1], generator=self.dice.generator, device=device)
        beyond = torch.arange(sentences[0].shape[1], device=device) > self.corpus.given + drawn[:, None]
        return tuple(one.masked_fill(beyond, BLANK) for one in sentences)

    @torch.no_grad()
    def grow_older(self, keep: float) -> None:
        """π′ ← κ π′ + (1 − κ) π."""
        torch._foreach_lerp_(list(self.older.parameters()), list(self.model.parameters()), 1 - keep)


def descent(network: nn.Module, rate: float, max_norm: float, updates: int | None = None) -> Descent:
    """Adam; over `updates` its rate falls to 0, with None it stays."""
    return Descent(torch.optim.Adam(network.parameters(), lr=rate, fused=True), max_norm=max_norm, updates=updates)


def discriminator_of(config: Config, corpus: Corpus, seed: int) -> Discriminator:
    """D for whole sentences of a corpus, as torch begins."""

    def build() -> nn.ModuleDict:
        shape = corpus.vocabulary, corpus.train.shape[1]
        return nn.ModuleDict({"d": Discriminator(*shape, config.d_size, config.d_dropout)})

    d = seeded(build, seed)["d"]
    assert isinstance(d, Discriminator)
    return d


AGENTS: dict[str, Callable[[Learner[Any], Rollout[Remembered]], Metrics]] = {
    "reinforce": reinforce.learn,
    "ppo": ppo.learn,
}
RUNGS: dict[Baseline, reinforce.Advantage] = {"none": "discounted", "running": "running", "value": "value"}


def agent_config(c: Config, length: int) -> Any:
    """Who writes sentences of `length` tokens.

    Q comes with every token, but for terminal credit, whose tokens share in what comes at the end: γ is 0, or 1.
    """
    shared: dict[str, Any] = {
        "schedule": protocol.Schedule(steps=c.schedule.steps),
        "world": World(TASKS["copy"], "gymnasium", c.batch),
        "horizon": length,
        "learning_rate": c.rate,
        "anneal": False,
        "gamma": 1.0 if c.credit == "terminal" else 0.0,
        "standardise": c.standardise,
        "entropy_weight": c.entropy_weight,
        "max_gradient_norm": c.max_gradient_norm,
    }
    if c.agent == "ppo":
        return ppo.Config(**shared, gae_lambda=1.0, minibatches=1, clip=0.2)
    return reinforce.Config(**shared, advantage=RUNGS[c.baseline])


class Desk:
    """Where sentences are read, and written while G plays: a Source that follows from its seed."""

    steps_per_draw = 1
    begins_anew = True

    def __init__(self, algorithm: SeqGAN) -> None:
        corpus, config = algorithm.corpus, algorithm.config
        self.corpus = corpus
        self.dice = Dice(0, "cpu")

        def give(random: np.random.Generator, count: int) -> Array:
            return np.asarray(corpus.train[random.integers(len(corpus.train), size=count), : corpus.given])

        paper = Writing(config.batch, corpus.vocabulary, corpus.length, algorithm.judge, give)
        self.world: Rollouts[Remembered] = Rollouts([Worlds(paper)], corpus.length)
        self.seconds: Mapping[str, float] = {}

    def reset(self, seed: int) -> None:
        """Begin anew."""
        self.dice.generator.manual_seed(seed)

    def draw(self, algorithm: SeqGAN) -> Lesson:
        """Real sentences, and where G plays by the score function those that it writes."""
        rows = torch.randint(len(self.corpus.train), (algorithm.appetite,), generator=self.dice.generator)
        plays = algorithm.clock.phase == "play" and algorithm.config.signal == "score-function"
        if not plays:
            self.seconds = {}
            return Lesson(self.corpus.train[rows], None)
        begin = perf_counter()
        self.world.reset(int(torch.randint(2**30, (), generator=self.dice.generator)))
        written = self.world.draw(algorithm)
        acting = self.world.seconds["acting"]
        self.seconds = {"acting": acting, "judging": perf_counter() - begin - acting}
        return Lesson(self.corpus.train[rows], written)

    def report(self) -> Report:
        """Where the time of the last draw went."""
        return Report({}, self.seconds)

    def state_dict(self) -> dict[str, Any]:
        """The dice; every draw begins with empty sheets."""
        return self.dice.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        self.dice.load_state_dict(state)


def experiment(config: Config, *, seed: int, device: str) -> Experiment:
    """SeqGAN on a corpus that is there.

    Raises:
        BadInputError: it is not.
    """
    corpus = corpus_of(config)
    algorithm = SeqGAN(config, corpus, seed=seed, device=device)
    return Experiment(algorithm, Desk(algorithm), sentences.judge("seqgan", config, corpus, seed=seed))


def remake(config: Config, sheet: Sheet) -> Array:
    """The sentences [N, S + T] of a sheet, made again from its places and weights."""
    corpus, model = written_by(config, sheet)
    return sentences.rewritten(model, corpus, sheet)


def written_by(config: Config, sheet: Sheet) -> tuple[Corpus, LanguageModel]:
    """The corpus and the generator of a sheet, which holds the reader of its policy and of its value once.

    Raises:
        EpisodeError: the text was changed since.
    """
    corpus = learned_from(config, sheet)
    model = model_of(config, corpus, seed=0)
    once = sheet.state_dict()
    again = {name.replace("policy_body.", "value_body."): weight for name, weight in once.items()}
    model.load_state_dict(again | once)
    return corpus, model


def learned_from(config: Config, sheet: Sheet) -> Corpus:
    """The corpus of a sheet.

    Raises:
        EpisodeError: it is a text that was changed since.
    """
    corpus = corpus_of(config)
    if sheet.checksum and sheet.checksum != corpus.checksum:
        raise EpisodeError(
            f"the sheet was written when {config.text} had the checksum {sheet.checksum:08x}, and now it has "
            f"{corpus.checksum:08x}: it was changed since; bring the old one back"
        )
    return corpus


def words(config: Config, sheet: Sheet) -> list[str]:
    """The sentences of a sheet as people read them."""
    corpus = learned_from(config, sheet)
    return [corpus.said(sentence) for sentence in sheet.samples.tolist()]


def picture(config: Config, sheet: Sheet) -> Array:
    """The sentences of a sheet as one picture, [H, W, 3] uint8."""
    return sentences.picture(words(config, sheet), f"round {sheet.step:,}")


ORACLE = Config(Schedule(steps=320, evaluate_every=20), "oracle")
PRESETS = {
    "oracle-50": Preset("an oracle of 50 tokens, where a CPU has headroom over n-grams", ORACLE, speed=1.8),
    "paper": Preset(
        "the authors' oracle and recipe, but for what this module lists; hours on a GPU, days without",
        Config(
            Schedule(steps=370, evaluate_every=5, samples=10_000),
            "authors-oracle",
            sentences=10_000,
            held_out=2_000,
            embedding=32,
            hidden=32,
            mle_rounds=120,
            mle_batches=156,
            mle_rate=1e-2,
            anneal_mle=False,
            warm_rounds=50,
            rollouts=16,
            baseline="none",
            standardise=False,
            rate=1e-2,
            d_size="paper",
            d_turns=5,
            d_sentences=10_000,
            d_batch=32,  # and as many written: the authors' 64 are mixed
            d_epochs=3,
            d_rate=1e-4,
            d_dropout=0.25,
            d_l2=0.2,
        ),
        published=Published("8.736", "Yu et al. 2017, table 1: NLL_oracle; MLE 9.038; NLL_test untold"),
    ),
    "reverse": Preset(
        "conditional: a source, and the answer that turns it round, which can be checked",
        Config(
            Schedule(steps=60, evaluate_every=5),
            "reverse",
            vocabulary=10,
            length=6,
            sentences=20_000,
            held_out=2_000,
            mle_rounds=30,
            mle_batches=50,
            warm_rounds=5,
            credit="per-step",
        ),
    ),
    "poems": Preset(
        "classical Chinese quatrains, by characters",
        Config(
            Schedule(steps=150, evaluate_every=10),
            "text",
            text="chinese_quatrains.txt",
            length=0,
            embedding=64,
            hidden=128,
            mle_rounds=60,
            credit="terminal",
        ),
    ),
    "captions": Preset(
        "captions of pictures (COCO), by words",
        Config(
            Schedule(steps=150, evaluate_every=10),
            "text",
            text="coco_train.txt",
            length=0,
            embedding=64,
            hidden=128,
            mle_rounds=60,
            credit="terminal",
        ),
    ),
}

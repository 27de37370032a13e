"""What every algorithm promises, on every world of the kinds that its presets play; a new file promises it at once."""

import dataclasses
import json
import math
import random
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import sparring.agents
from sparring.agents.networks import SpaceError
from sparring.agents.protocol import Preset
from sparring.envs.worlds import module_of, protocol_of
from sparring.runners import catalog, checkpoint, cli
from sparring.runners.job import Job, rebuild

pytestmark = pytest.mark.usefixtures("one_thread")

PLAIN = (torch.Tensor, int, float, str, bool, type(None))
TINY = {  # where an algorithm has such a field
    "horizon": 32,
    "minibatches": 2,
    "train_every": 8,
    "gradient_steps": 2,
    "learning_starts": 16,
    "buffer_size": 100,  # so that it overflows
    "batch": 8,
    "width": 8,
    "blocks": 1,
    "draw": 4,
    "slots": 2,
    "simulations": 4,
    "considered": 4,
    "window": 40,
    "anchor": 4,
    "sentences": 100,
    "held_out": 40,
    "mle_rounds": 1,
    "mle_batches": 2,
    "warm_rounds": 1,
    "d_sentences": 16,
    "rollouts": 2,
    "boards": 4,
    "fast": 2,
    "climbs": 2,
    "attack_steps": 2,
}


def presets():
    return [(name, key, preset) for name in catalog.algorithms() for key, preset in catalog.load(name).PRESETS.items()]


SHORT = {"steps": 10_000, "games": 2, "samples": 20, "rounds": 2}  # likewise, in its schedule


def shrunk(record, sizes):
    """A dataclass with those of the sizes that it has fields for."""
    own = {field.name for field in dataclasses.fields(record)}
    return dataclasses.replace(record, **{name: value for name, value in sizes.items() if name in own})


def tiny(config, env=None):
    """The configuration, shrunk; on another world of its own kind where one is named."""
    own = {field.name for field in dataclasses.fields(config)}
    changes = {name: value for name, value in TINY.items() if name in own}
    if "world" in own:
        changes["world"] = dataclasses.replace(config.world, env=env or config.world.env, worlds=2)
    for name in own - {"world", "schedule"}:
        if dataclasses.is_dataclass(getattr(config, name)):
            changes[name] = shrunk(getattr(config, name), TINY)
    return dataclasses.replace(config, schedule=shrunk(config.schedule, SHORT), **changes)


SHARED = Path(__file__).parents[2] / "shared" / "data"
FROM_FILES = {  # data → the folder of their files
    **dict.fromkeys(("mnist", "stacked-mnist", "idx", "mnistm", "usps"), "mnist"),
    "authors-oracle": "seqgan_oracle",
    "text": "text",
}


def needs(config):
    """The mark of a configuration whose data lie in files."""
    named = {getattr(config, field, "") for field in ("data", "source", "target")}
    folders = sorted({FROM_FILES[name] for name in named & FROM_FILES.keys()})
    missing = [folder for folder in folders if not (SHARED / folder).is_dir()]
    return [pytest.mark.skip(reason=f"{', '.join(missing)} not in ../shared/data")] if missing else []


@pytest.fixture(autouse=True)
def data_that_lie_in_files(monkeypatch):
    monkeypatch.setenv("SPARRING_DATA", str(SHARED))


def cases():
    """(algorithm, world, configuration) for each world whose kind one of the algorithm's presets plays."""
    for name in catalog.algorithms():
        configs = [preset.config for preset in catalog.load(name).PRESETS.values()]
        if not hasattr(configs[0], "world"):
            for key, preset in catalog.load(name).PRESETS.items():
                yield pytest.param(name, tiny(preset.config), id=f"{name}-{key}", marks=needs(preset.config))
            continue
        for module in catalog.worlds():
            kin = [config for config in configs if module_of(config.world.env) is module]
            for env in module.WORLDS if kin else ():
                yield pytest.param(name, tiny(kin[0], env), id=f"{name}-{env}")


def parts_of(experiment):
    """As the runner saves them."""
    return {**experiment.algorithm.parts(), "source": experiment.source}


def states(experiment):
    return {name: part.state_dict() for name, part in parts_of(experiment).items()}


def step(experiment):
    """One turn of the loop: what was seen, done and learned."""
    batch = experiment.source.draw(experiment.algorithm)
    return batch, dict(experiment.algorithm.update(batch)), experiment.source.report().metrics


def leaves(value):
    """The leaves of a nest of dicts, lists and tuples; tensors and arrays as bytes with their type and shape.

    Of a stream, what was left in it.
    """
    if isinstance(value, Iterator):
        return leaves(list(value))
    if isinstance(value, dict):
        return [leaf for key in value for leaf in [key, *leaves(value[key])]]
    if isinstance(value, list | tuple):
        return [leaf for item in value for leaf in leaves(item)]
    if dataclasses.is_dataclass(value):
        return leaves([getattr(value, field.name) for field in dataclasses.fields(value)])
    if hasattr(value, "dtype"):
        array = value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else value
        return [(str(array.dtype), array.shape, array.tobytes())]
    return [value]


def odd_values(value, where="state"):
    """Where a state holds what is neither a tensor nor plain."""
    if isinstance(value, dict):
        keys = [f"{where}: key {key!r}" for key in value if not isinstance(key, str | int)]
        return keys + [odd for key in value for odd in odd_values(value[key], f"{where}[{key!r}]")]
    if isinstance(value, list | tuple):
        return [odd for number, item in enumerate(value) for odd in odd_values(item, f"{where}[{number}]")]
    return [] if type(value) in PLAIN else [f"{where} is a {type(value).__module__}.{type(value).__name__}"]


def weights(experiment):
    """All numbers of the networks among the parts."""
    networks = [part for part in experiment.algorithm.parts().values() if isinstance(part, torch.nn.Module)]
    return torch.cat([weight.detach().flatten().clone() for network in networks for weight in network.parameters()])


# ---------------------------------------------------------------------------------------------- all of them


@pytest.mark.parametrize(("name", "config"), list(cases()))
def test_it_builds_learns_and_survives_a_checkpoint(name, config, tmp_path):
    module = catalog.load(name)
    try:
        twin = module.experiment(config, seed=2, device="cpu")  # imports what there is to import
    except SpaceError:  # a world of the same kind, but with other actions than any preset's
        assert config.world.env not in {preset.config.world.env for preset in module.PRESETS.values()}
        return
    begin = time.process_time()  # of this process alone: others may be busy
    experiment = module.experiment(config, seed=1, device="cpu")
    assert time.process_time() - begin < 2.0

    experiment.source.reset(7)
    before = weights(experiment)
    _, metrics, _ = step(experiment)
    assert not torch.equal(weights(experiment), before)
    assert weights(experiment).isfinite().all()
    assert metrics
    assert {key: number for key, number in metrics.items() if not math.isfinite(number)} == {}

    state = states(experiment)
    assert odd_values(state) == []
    checkpoint.write(tmp_path / "x.pt", state)
    saved = checkpoint.read(tmp_path / "x.pt")
    assert leaves(saved) == leaves(state)
    twin.source.reset(8)
    assert leaves(states(twin)) != leaves(state)
    for part_name, part in parts_of(twin).items():
        part.load_state_dict(saved[part_name])
    for _ in range(2):
        assert [leaves(item) for item in step(twin)] == [leaves(item) for item in step(experiment)]
    assert leaves(states(twin)) == leaves(states(experiment))


@pytest.mark.parametrize("name", catalog.algorithms())
def test_what_is_learned_follows_from_the_seed_and_from_no_global_generator(name):
    config = tiny(next(iter(catalog.load(name).PRESETS.values())).config)
    learned = []
    for seed, elsewhere in [(1, 10), (1, 20), (2, 10)]:
        torch.manual_seed(elsewhere)
        np.random.seed(elsewhere)  # noqa: NPY002 - somebody else's
        random.seed(elsewhere)
        experiment = catalog.load(name).experiment(config, seed=seed, device="cpu")
        experiment.source.reset(7)
        learned.append([leaves(item) for item in step(experiment)] + leaves(states(experiment)))
    assert learned[0] == learned[1]
    assert learned[0] != learned[2]


# ---------------------------------------------------------------------------------------------- presets


@pytest.mark.parametrize("name", catalog.algorithms())
def test_a_config_is_frozen_and_comes_back_from_its_json(name):
    module = catalog.load(name)
    for preset in module.PRESETS.values():
        assert isinstance(preset, Preset)
        assert type(preset.config) is module.Config
        with pytest.raises(dataclasses.FrozenInstanceError):
            preset.config.schedule = None
        text = json.dumps(dataclasses.asdict(preset.config))
        assert rebuild(module.Config, json.loads(text)) == preset.config


@pytest.mark.parametrize(
    ("name", "config"), [pytest.param(n, p.config, id=f"{n}-{k}", marks=needs(p.config)) for n, k, p in presets()]
)
def test_every_preset_builds_and_counts_its_updates(name, config):
    job = Job(name, 0, config, "cpu", 1)
    experiment = job.build()
    run = job.run(experiment.source.steps_per_draw)
    assert 1 <= run.save_every <= run.updates
    assert (run.updates - 1) * experiment.source.steps_per_draw < config.schedule.steps
    assert run.updates * experiment.source.steps_per_draw >= config.schedule.steps


@pytest.mark.parametrize("name", catalog.algorithms())
def test_every_field_of_a_config_is_an_option_with_its_meaning(name, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "110")
    with pytest.raises(SystemExit) as caught:
        cli.main(["train", name, "--help"])
    assert caught.value.code == 0
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    fields = {field.name: field for field in dataclasses.fields(catalog.load(name).Config)}
    config = next(iter(catalog.load(name).PRESETS.values())).config
    for nest in [own for own in fields if dataclasses.is_dataclass(getattr(config, own))]:
        del fields[nest]
        if nest not in ("schedule", "world"):
            fields |= {field.name: field for field in dataclasses.fields(getattr(config, nest))}
    for field in fields.values():
        found = re.search(rf" --{field.name.replace('_', '-')}(, --no-\S+)? (\{{\S+\}} |[A-Z]+ )?(.*?)\(default", shown)
        assert len(found[3].split()) >= 2, found[0]


# ---------------------------------------------------------------------------------------------- a new file

FRESH = '''"""Fresh: learns nothing, to show that a file is enough.

More about it.
"""

from sparring.agents import ppo

Config = ppo.Config
PRESETS = {"fresh": ppo.PRESETS["cartpole"]}


def experiment(config, *, seed, device):
    return ppo.experiment(config, seed=seed, device=device)
'''


@pytest.fixture
def agents_folder(tmp_path, monkeypatch):
    """A folder whose files count as files of agents/, for one test."""
    monkeypatch.setattr(sparring.agents, "__path__", [*sparring.agents.__path__, str(tmp_path)])
    catalog.algorithms.cache_clear()
    yield tmp_path
    catalog.algorithms.cache_clear()
    sys.modules.pop("sparring.agents.fresh_one", None)


def test_a_new_file_is_an_algorithm_at_once(agents_folder, monkeypatch, capsys):
    (agents_folder / "fresh_one.py").write_text(FRESH)
    assert set(catalog.algorithms()) >= {"fresh-one", "ppo", "reinforce"}
    entry = catalog.find("fresh-one")
    assert entry == catalog.Entry(
        "fresh-one", "sparring.agents.fresh_one", "Fresh: learns nothing, to show that a file is enough"
    )
    module = catalog.load("fresh-one")
    assert module.__file__ == str(agents_folder / "fresh_one.py")
    assert "fresh-one-CartPole-v1" in [case.id for case in cases()]
    with pytest.raises(SystemExit):
        cli.main(["list", "algorithms"])
    assert "fresh-one" in capsys.readouterr().out


def test_when_the_new_file_is_gone_so_is_the_algorithm():
    assert "fresh-one" not in catalog.algorithms()


@pytest.mark.parametrize(
    ("piece", "instead"), [("PRESETS =", "OTHERS ="), ("Config =", "Settings ="), ("def experiment", "def experience")]
)
def test_a_file_that_lacks_a_piece_is_no_algorithm(agents_folder, piece, instead):
    (agents_folder / "fresh_one.py").write_text(FRESH.replace(piece, instead))
    assert "fresh-one" not in catalog.algorithms()


def test_finding_algorithms_imports_none_of_them(agents_folder):
    (agents_folder / "fresh_one.py").write_text(FRESH + "\nraise RuntimeError('imported')\n")
    assert "fresh-one" in catalog.algorithms()
    with pytest.raises(RuntimeError, match="imported"):
        catalog.load("fresh-one")


def test_the_two_first_algorithms_and_the_worlds_of_the_house_are_found():
    assert {"ppo", "reinforce"} <= set(catalog.algorithms())
    found = {env for module in catalog.worlds() for env in module.WORLDS}
    assert {"ALE/SpaceInvaders-v5", "CartPole-v1"} <= found
    assert len([env for env in found if env.startswith("sparring/Probe")]) == 5
    assert all(protocol_of(preset.config.world) for _, _, preset in presets() if hasattr(preset.config, "world"))


def test_a_listing_leaves_no_hollow_module_behind():
    """In a process of its own, because here torch is loaded already and nothing is hollowed out."""
    code = """
from sparring.runners import catalog
with catalog.without_torch():
    assert catalog.load("ppo").PRESETS
from sparring.agents import networks, ppo
import torch
assert issubclass(networks.ActorCritic, torch.nn.Module)
assert ppo.networks is networks
"""
    subprocess.run([sys.executable, "-c", code], check=True)

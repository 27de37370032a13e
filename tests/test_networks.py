"""The two-headed networks: shapes, sizes, starting weights, and what they refuse."""

import math

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete
from torch import nn
from torch.nn import functional

from sparring.agents import layers, networks
from sparring.agents.distributions import Gaussian
from sparring.agents.networks import SpaceError
from sparring.envs.errors import BadInputError

CART = Box(-1.0, 1.0, (4,), np.float32)
SCREEN = Box(0, 255, (4, 44, 44), np.uint8)  # large enough for the convolutions, small enough for quick tests
ATARI = Box(0, 255, (4, 84, 84), np.uint8)


def build(name="auto", observations=CART, actions=6, *, seed=0, precision="fp32"):
    generator = torch.Generator().manual_seed(seed)
    return networks.build(name, observations, Discrete(actions), generator, precision=precision)


def sample(space, rows, seed=0):
    random = np.random.default_rng(seed)
    if np.issubdtype(space.dtype, np.integer):
        return torch.from_numpy(
            random.integers(int(space.high.max()) + 1, size=(rows, *space.shape), dtype=space.dtype)
        )
    return torch.from_numpy(random.uniform(-1, 1, (rows, *space.shape)).astype(space.dtype))


def heads(network, obs):
    """Logits and values."""
    policy, values = network(obs)
    return policy.logits, values


def size(network):
    return sum(parameter.numel() for parameter in network.parameters())


def linear_size(inputs, outputs):
    return inputs * outputs + outputs


# The smallest image: 36 → 8 → 3 → 1 pixels, so that the last convolution has exactly one place to stand.
@pytest.mark.parametrize(
    "space", [CART, Box(-1, 1, (2, 3), np.float32), SCREEN, Box(0, 255, (1, 36, 36), np.uint8)], ids=str
)
@pytest.mark.parametrize("rows", [0, 1, 5])
def test_every_row_of_observations_gets_its_logits_and_its_value(space, rows):
    logits, values = heads(build(observations=space), sample(space, rows))
    assert (logits.shape, values.shape) == ((rows, 6), (rows,))
    assert logits.dtype == values.dtype == torch.float32


@pytest.mark.parametrize("space", [CART, SCREEN], ids=["cart", "screen"])
def test_rows_do_not_leak_into_each_other(space):
    network, obs = build(observations=space), sample(space, 3)
    together = heads(network, obs)
    for k in range(3):
        for alone, row in zip(heads(network, obs[k : k + 1]), together, strict=True):
            torch.testing.assert_close(alone[0], row[k], atol=1e-5, rtol=1e-4)


def test_the_mlp_has_two_bodies_of_two_layers_of_64():
    body = linear_size(4, 64) + linear_size(64, 64)
    assert size(build(actions=2)) == 2 * body + linear_size(64, 2) + linear_size(64, 1)


def test_the_nature_network_is_that_of_the_paper_with_a_second_head():
    convolutions = (4 * 8 * 8 * 32 + 32) + (32 * 4 * 4 * 64 + 64) + (64 * 3 * 3 * 64 + 64)
    body = convolutions + linear_size(7 * 7 * 64, 512)
    assert body == 1_684_128
    assert size(build(observations=ATARI, actions=18)) == body + linear_size(512, 18) + linear_size(512, 1)


def test_the_impala_network_is_that_of_the_paper_with_a_second_head():
    def stack(before, after):  # a convolution, and two residual blocks of two
        return (before * 9 * after + after) + 4 * (after * 9 * after + after)

    assert [stack(4, 16), stack(16, 32), stack(32, 32)] == [9_872, 41_632, 46_240]
    body = 9_872 + 41_632 + 46_240 + linear_size(11 * 11 * 32, 256)  # pools halve, rounding up: 84, 42, 21, 11
    assert size(build("impala", ATARI, 18)) == body + linear_size(256, 18) + linear_size(256, 1)


@pytest.mark.parametrize("rows", [0, 1, 3])
def test_the_impala_network_computes_what_figure_3_of_the_paper_draws(rows):
    network, obs = build("impala", SCREEN), sample(SCREEN, rows)
    body = iter(network.policy_body.state_dict().values())

    def convolve(x):
        return functional.conv2d(x, next(body), next(body), padding=1)

    x = obs / 255
    for _ in range(3):
        x = functional.max_pool2d(convolve(x), 3, stride=2, padding=1)
        for _ in range(2):
            x = x + convolve(convolve(x.relu()).relu())
    numbers = x.relu().permute(0, 2, 3, 1).flatten(1)  # in the order in which they lie in memory
    features = functional.linear(numbers, next(body), next(body)).relu()
    expected = [
        functional.linear(features, head.weight, head.bias) for head in (network.policy_head, network.value_head)
    ]
    logits, values = heads(network, obs)
    torch.testing.assert_close([logits, values[:, None]], expected, atol=1e-5, rtol=1e-4)
    assert not list(body)


@pytest.mark.parametrize(
    ("space", "convolves"),
    [
        (SCREEN, True),
        (Box(0, 255, (1, 36, 36), np.uint8), True),
        (Box(0, 255, (4, 35, 84), np.uint8), False),  # too small for three convolutions
        (Box(0, 1, (4, 44, 44), np.float32), False),  # floats are no image
        (Box(0, 255, (84, 84), np.uint8), False),
        (CART, False),
    ],
    ids=str,
)
def test_auto_takes_convolutions_for_images_and_layers_for_the_rest(space, convolves):
    assert any(isinstance(module, nn.Conv2d) for module in build(observations=space).modules()) == convolves


@pytest.mark.parametrize(
    ("name", "space"),
    [
        ("mlp", SCREEN),  # what the message of `nature` recommends must work
        ("auto", Box(0, 255, (128,), np.uint8)),  # such as the console's memory
        ("auto", Box(0, 1, (16,), np.int64)),  # such as a Discrete observation, flattened
        ("auto", Box(-1, 1, (3,), np.float64)),
    ],
    ids=["mlp on pixels", "bytes", "one-hot", "double"],
)
def test_the_mlp_reads_numbers_of_any_type(name, space):
    logits, values = heads(build(name, observations=space, actions=2), sample(space, 3))
    assert logits.shape == (3, 2)
    assert logits.isfinite().all()
    assert values.isfinite().all()


def test_pixels_are_scaled_to_the_unit_interval():
    convolution = layers.PixelConv2d(3, 2, 3, stride=2)
    images = torch.randint(0, 256, (4, 3, 9, 9), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    expected = torch.nn.functional.conv2d(images.float() / 255, convolution.weight, convolution.bias, stride=2)
    torch.testing.assert_close(convolution(layers.ChannelsFirst()(layers.Pixels()(images))), expected)


@pytest.mark.parametrize("sides", [(20, 20), (6, 10), (7, 10)])
def test_a_convolution_over_blocks_of_2_is_the_one_of_4_by_4_with_stride_2(sides):
    plain, blocks = nn.Conv2d(3, 5, 4, stride=2), layers.HalvingConv2d(3, 5, 4, stride=2)
    blocks.load_state_dict(plain.state_dict())
    x = torch.rand(2, 3, *sides, generator=torch.Generator().manual_seed(0)).to(memory_format=torch.channels_last)
    expected, found = plain(x), blocks(x)
    torch.testing.assert_close(found, expected)
    weights = torch.rand(expected.shape, generator=torch.Generator().manual_seed(1))
    for answer in (expected, found):
        (answer * weights).sum().backward()
    torch.testing.assert_close(blocks.weight.grad, plain.weight.grad)
    torch.testing.assert_close(blocks.bias.grad, plain.bias.grad)


def test_the_dense_layer_acts_with_the_weights_as_they_are_now():
    layer = layers.Dense(8, 3)
    x = torch.rand(2, 8, generator=torch.Generator().manual_seed(0)).bfloat16()

    def acts() -> torch.Tensor:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            return layer(x).clone()

    first = acts()
    with torch.no_grad():
        layer.weight += 1
    second = acts()
    torch.testing.assert_close(second - first, x.sum(1, keepdim=True).expand(2, 3), atol=0.1, rtol=0)
    layer.load_state_dict(layers.Dense(8, 3).state_dict())
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(acts(), layer(x))


def test_a_convolution_over_blocks_is_the_one_of_8_by_8_with_stride_4():
    plain, blocks = nn.Conv2d(3, 5, 8, stride=4), layers.BlockConv2d(3, 5, 8, stride=4)
    blocks.load_state_dict(plain.state_dict())
    images = torch.randint(0, 256, (2, 3, 16, 24), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    expected, found = plain(images / 255), blocks(layers.ChannelsFirst()(layers.Blocks()(images)))
    torch.testing.assert_close(found, expected)
    weights = torch.rand(expected.shape, generator=torch.Generator().manual_seed(1))
    for convolution, answer in ((plain, expected), (blocks, found)):
        (answer * weights).sum().backward()
        assert convolution.weight.grad.abs().max() > 0
    torch.testing.assert_close(blocks.weight.grad, plain.weight.grad)
    torch.testing.assert_close(blocks.bias.grad, plain.bias.grad)


@pytest.mark.parametrize("space", [CART, SCREEN], ids=["cart", "screen"])
def test_the_policy_starts_near_uniform(space):
    logits, _ = heads(build(observations=space), sample(space, 64))
    assert (torch.softmax(logits, 1) - 1 / 6).abs().max() < 0.01
    assert logits.std(0).max() > 0  # but it does look at what it sees


@pytest.mark.parametrize("space", [CART, SCREEN], ids=["cart", "screen"])
def test_weights_start_orthogonal_with_the_gain_of_their_place_and_biases_at_zero(space):
    network = build(observations=space)
    layers = [module for module in network.modules() if isinstance(module, nn.Linear | nn.Conv2d)]
    assert len(layers) == 6
    for layer in layers:
        gain = {network.policy_head: 0.01, network.value_head: 1.0}.get(layer, math.sqrt(2))
        weight = layer.weight.detach().flatten(1)
        weight = weight if weight.shape[0] <= weight.shape[1] else weight.T
        torch.testing.assert_close(weight @ weight.T, gain**2 * torch.eye(len(weight)), atol=1e-4 * gain**2, rtol=0)
        assert not layer.bias.any()


@pytest.mark.parametrize("space", [CART, SCREEN], ids=["cart", "screen"])
def test_a_seed_decides_every_weight_and_the_global_generator_none(space):
    torch.manual_seed(1)
    first = build(observations=space, seed=3)
    torch.manual_seed(2)
    twin, other = build(observations=space, seed=3), build(observations=space, seed=4)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), twin.parameters(), strict=True))
    assert not torch.equal(first.policy_head.weight, other.policy_head.weight)


def test_the_two_bodies_of_an_mlp_differ_and_learn_apart():
    network = build()
    bodies = network.policy_body, network.value_body
    assert not torch.equal(*(body[0].weight for body in bodies))
    network(sample(CART, 5))[1].sum().backward()
    assert all(parameter.grad is None for parameter in network.policy_body.parameters())
    assert all(parameter.grad.any() for parameter in network.value_body.parameters())


@pytest.mark.parametrize("name", ["nature", "impala"])
def test_a_network_for_images_learns_one_trunk_from_both_heads_and_evaluates_it_once(name):
    network, calls = build(name, SCREEN), []
    network.policy_body.register_forward_hook(lambda *_: calls.append(1))
    network(sample(SCREEN, 2))[1].sum().backward()
    assert len(calls) == 1
    assert all(parameter.grad.any() for parameter in network.policy_body.parameters())


def test_a_network_that_loads_anothers_state_answers_as_that_one():
    first, second = build(observations=SCREEN, seed=1), build(observations=SCREEN, seed=2)
    second.load_state_dict(first.state_dict())
    obs = sample(SCREEN, 2)
    for mine, other in zip(heads(first, obs), heads(second, obs), strict=True):
        assert torch.equal(mine, other)


@pytest.mark.parametrize("space", [CART, SCREEN], ids=["cart", "screen"])
def test_bf16_answers_in_fp32_and_close_to_it(space, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})  # slow where it is not, but right
    exact, rough = build(observations=space), build(observations=space, precision="bf16")
    obs = sample(space, 16)
    (logits, values), (rough_logits, rough_values) = heads(exact, obs), heads(rough, obs)
    assert rough_logits.dtype == rough_values.dtype == torch.float32
    assert not torch.equal(values, rough_values)  # it is another precision
    # bf16 keeps 8 bits: a few of its steps (2^-8) relative to the size of the numbers summed
    torch.testing.assert_close(rough_logits, logits, atol=5e-4, rtol=0.05)
    torch.testing.assert_close(rough_values, values, atol=0.05, rtol=0.05)


@pytest.mark.parametrize(
    ("asked", "space", "has_bf16", "taken"),
    [
        ("auto", SCREEN, True, "bf16"),
        ("auto", SCREEN, False, "fp32"),
        ("auto", CART, True, "fp32"),  # a network as small as this gains nothing
        ("auto", CART, False, "fp32"),
        ("bf16", CART, True, "bf16"),
        ("fp32", SCREEN, True, "fp32"),
    ],
)
def test_auto_takes_bf16_for_images_where_the_hardware_has_it(monkeypatch, asked, space, has_bf16, taken):
    monkeypatch.setattr(networks, "has_bf16", lambda device: has_bf16)
    assert build(observations=space, precision=asked).precision == taken


@pytest.mark.parametrize("space", [CART, SCREEN], ids=["cart", "screen"])
def test_bf16_is_refused_where_the_hardware_lacks_it(monkeypatch, space):
    monkeypatch.setattr(networks, "has_bf16", lambda device: False)
    with pytest.raises(BadInputError, match="precision is bf16, which this cpu does not compute in; use fp32, or auto"):
        build(observations=space, precision="bf16")


@pytest.mark.parametrize(
    ("name", "observations", "actions", "said"),
    [
        ("auto", CART, Box(-1, 1, (2, 3)), ["actions", "Box(-1.0, 1.0, (2, 3), float32)", "Discrete(n)", "Box(A)"]),
        ("auto", CART, MultiDiscrete([2, 3]), ["actions", "MultiDiscrete([2 3])", "Discrete(n)"]),
        ("auto", CART, Discrete(3, start=1), ["actions", "Discrete(3, start=1)", "counted from 0"]),
        ("auto", Discrete(7), Discrete(2), ["observations", "Discrete(7)", "Box"]),
        ("auto", Dict(a=Discrete(2)), Discrete(2), ["observations", "Dict('a': Discrete(2))", "Box"]),
        ("auto", MultiBinary(3), Discrete(2), ["observations", "MultiBinary(3)", "Box"]),
        ("mlp", Box(-1, 1, (), np.float32), Discrete(2), ["observations", "()", "Box"]),
        ("nature", CART, Discrete(2), ["observations", "(4,)", "'nature'", "uint8 [C, H, W]", "36", "try 'mlp'"]),
        ("nature", Box(0, 255, (4, 35, 84), np.uint8), Discrete(2), ["(4, 35, 84)", "36", "try 'mlp'"]),
        ("nature", Box(0, 1, (4, 84, 84), np.float32), Discrete(2), ["float32", "uint8", "try 'mlp'"]),
        ("impala", CART, Discrete(2), ["observations", "(4,)", "'impala'", "uint8 [C, H, W]", "36", "try 'mlp'"]),
    ],
)
def test_a_space_that_does_not_fit_is_refused_by_name_with_what_would(name, observations, actions, said):
    with pytest.raises(SpaceError) as refusal:
        networks.build(name, observations, actions, torch.Generator())
    assert isinstance(refusal.value, BadInputError)
    assert all(words in str(refusal.value) for words in said)


# Precision


@pytest.mark.parametrize(
    ("hardware", "computes"),
    [
        ({"avx512_bf16": True}, True),
        ({"amx_bf16": True, "avx512_bf16": False}, True),
        ({"avx512_bf16": False, "amx_bf16": False}, False),
        ({"avx2": True}, False),
        ({}, False),
    ],
)
def test_a_cpu_has_bf16_where_it_computes_in_it(monkeypatch, hardware, computes):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: hardware)
    assert networks.has_bf16("cpu") == computes


# Actions that are numbers


def test_a_box_of_actions_gets_a_gaussian_whose_deviation_is_one_for_all_that_is_seen():
    network = networks.build("auto", CART, Box(-1, 1, (3,)), torch.Generator().manual_seed(0))
    policy, values = network(sample(CART, 5))
    assert isinstance(policy, Gaussian)
    assert (policy.mean.shape, policy.log_std.shape, values.shape) == ((5, 3), (5, 3), (5,))
    assert policy.log_std.eq(0).all()  # a deviation of 1 at first
    assert size(network) == size(build(actions=3)) + 3
    # z² − 1 on each axis, of each row: with actions two deviations from the mean 3 · 5
    policy.log_prob(policy.mean.detach() + 2).sum().backward()
    assert network.log_std.grad.tolist() == pytest.approx([15.0] * 3)


def test_a_choice_of_actions_has_no_deviation():
    assert build().log_std is None

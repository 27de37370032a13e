"""The networks that play: shapes, what a pack, a class, a comparison and a norm mean."""

import pytest
import torch
from torch import nn

from sparring.adversarial.data import Labelled
from sparring.adversarial.players import Comparison, Discriminator, Generator, asked, halvings, seeded
from sparring.envs.errors import BadInputError

SHAPES = [(2,), (1, 8, 8), (1, 28, 28), (3, 28, 28), (1, 32, 32)]
SIZE = {"width": 16, "depth": 2}


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", SHAPES)
def test_a_generator_makes_samples_and_a_discriminator_judges_them(shape):
    nobody = torch.zeros(6, dtype=torch.long)
    made = Generator(5, shape, **SIZE)(normal(6, 5), nobody)
    assert made.shape == (6, *shape)
    if len(shape) > 1:
        assert made.abs().max() <= 1
    assert Discriminator(shape, **SIZE)(made, nobody).shape == (6,)


def test_sides_are_halved_while_they_can_be():
    assert halvings((1, 28, 28)) == [28, 14, 7]
    assert halvings((3, 32, 32)) == [32, 16, 8, 4]


@pytest.mark.parametrize("shape", SHAPES)
def test_a_pack_is_judged_as_one(shape):
    torch.manual_seed(0)
    judge = Discriminator(shape, **SIZE, pack=3)
    samples, nobody = normal(6, *shape), torch.zeros(6, dtype=torch.long)
    told = judge(samples, nobody)
    assert told.shape == (2,)
    changed = samples.clone()
    changed[4] += 1  # in the second pack
    again = judge(changed, nobody)
    assert again[0] == told[0]
    assert again[1] != told[1]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("conditioning", ["projection", "concatenation"])
def test_a_class_matters_where_it_is_told(shape, conditioning):
    torch.manual_seed(0)
    judge = Discriminator(shape, **SIZE, classes=10, conditioning=conditioning)
    maker = Generator(5, shape, **SIZE, classes=10)
    samples, latents = normal(4, *shape), normal(4, 5)
    told = [(judge(samples, torch.full((4,), k)), maker(latents, torch.full((4,), k))) for k in (3, 3, 7)]
    for one, same, other in zip(*told, strict=True):
        assert torch.equal(one, same)
        assert not torch.equal(one, other)


def test_projection_adds_the_classes_dot_product_with_the_features():
    torch.manual_seed(0)
    judge = Discriminator((2,), **SIZE, classes=10, conditioning="projection")
    x, y = normal(5, 2), torch.tensor([0, 1, 2, 3, 9])
    features = judge.features(x)
    expected = judge.head(features)[:, 0] + torch.stack(
        [judge.embedding.weight[k] @ f for k, f in zip(y, features, strict=True)]
    )
    torch.testing.assert_close(judge(x, y), expected)


def test_a_comparison_says_how_near_the_others_are():
    compare = Comparison(4)
    same = normal(1, 4).expand(5, 4)
    assert torch.allclose(compare(same)[:, 4:], torch.full((5, 16), 4.0))  # four others at distance 0
    assert compare(1000 * normal(5, 4))[:, 4:].max() < 1e-6
    x = normal(3, 4)
    m = compare.project(x).view(3, 16, 8)
    expected = sum(torch.exp(-(m[0] - m[j]).abs().sum(1)) for j in (1, 2))
    torch.testing.assert_close(compare(x)[0, 4:], expected)
    assert torch.equal(compare(x)[:, :4], x)


@pytest.mark.parametrize("shape", [(2,), (1, 28, 28)])
def test_spectral_normalisation_bounds_every_layer(shape):
    torch.manual_seed(0)
    judge = Discriminator(shape, **SIZE, spectral=True)
    nobody = torch.zeros(4, dtype=torch.long)
    for _ in range(100):
        judge(normal(4, *shape), nobody)  # the power iteration goes on with every look
    weights = [layer.weight for layer in judge.modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
    assert len(weights) == 3
    for weight in weights:
        assert float(torch.linalg.matrix_norm(weight.detach().flatten(1), 2)) == pytest.approx(1, rel=1e-3)


def test_scales_are_the_datas():
    torch.manual_seed(0)
    maker = Generator(2, (2,), **SIZE, scale=3.0)
    unit = Generator(2, (2,), **SIZE)
    unit.load_state_dict(maker.state_dict())
    z, nobody = normal(4, 2), torch.zeros(4, dtype=torch.long)
    torch.testing.assert_close(maker(z, nobody), 3 * unit(z, nobody))
    judge = Discriminator((2,), **SIZE, scale=3.0)
    alike = Discriminator((2,), **SIZE)
    alike.load_state_dict(judge.state_dict())
    torch.testing.assert_close(judge(3 * z, nobody), alike(z, nobody))


def test_weights_follow_from_the_seed_and_from_no_other_generator():
    def build():
        return nn.ModuleDict({"judge": Discriminator((2,), **SIZE, spectral=True), "maker": Generator(2, (2,), **SIZE)})

    torch.manual_seed(1)
    before = torch.get_rng_state()
    one = seeded(build, 5).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    other = seeded(build, 5).state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert not torch.equal(seeded(build, 6).state_dict()["maker.layers.0.weight"], one["maker.layers.0.weight"])


@pytest.mark.parametrize(("shape", "sides"), [((1, 27, 27), "27×27"), ((1, 28, 20), "28×20")])
@pytest.mark.parametrize(
    "build", [lambda shape: Generator(2, shape, **SIZE), lambda shape: Discriminator(shape, **SIZE)]
)
def test_images_whose_sides_cannot_be_halved_are_refused(shape, sides, build):
    with pytest.raises(BadInputError, match=rf"images are {sides}; .* must be equal and even: crop or pad them"):
        build(shape)


def test_a_discriminator_is_asked_in_batches():
    seen = []

    class Counts(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(1))

        def forward(self, samples, classes):
            seen.append(len(samples))
            return samples[:, 0] * self.weight + classes

    told = asked(Counts(), Labelled(torch.arange(10.0)[:, None], torch.arange(10)), 4)
    assert (seen, told.tolist()) == ([4, 4, 2], [2.0 * number for number in range(10)])
    assert not told.requires_grad


def test_a_pack_has_no_one_class():
    with pytest.raises(BadInputError, match=r"pack is 2 and conditioning projection; .*--pack 1"):
        Discriminator((2,), **SIZE, pack=2, classes=3, conditioning="projection")

"""Random convolutional features: both halves by hand, whitening, what filters depend on."""

import numpy as np
import pytest

from jido.data.chips import Chips
from jido.errors import ImageError
from jido.geo import identify
from jido.methods.random_features import RandomFilters, draw_filters, random_features, whitened

RGB = tuple(identify(("red", "green", "blue")))


def chips_of(images, **facts):
    n, bands = np.shape(images)[:2]
    names = np.array([f"t{i}.png" for i in range(n)])
    return Chips(np.asarray(images), np.full(n, -1), names, (), RGB[:bands], **facts)


def one_filter(weight):
    """A filter 3 x 3 that is ``weight`` in its upper left corner, for one band of bytes."""
    filters = np.zeros((1, 1, 3, 3), np.float32)
    filters[0, 0, 0, 0] = weight
    return RandomFilters(filters, np.zeros(1, np.float32), np.full(1, 255, np.float32))


def spot():
    """4 x 4 pixels, the upper left one full: of four patches one answers with the weight, three with 0."""
    image = np.zeros((1, 1, 4, 4), np.uint8)
    image[0, 0, 0, 0] = 255
    return image


@pytest.mark.parametrize(
    ("weight", "above", "below"),
    [(3.0, 0.5, 0.0), (-3.0, 0.0, 0.5), (0.9, 0.0, 0.0)],  # relu(3 - 1) / 4 = 0.5; 0.9 stays below 1
)
def test_both_halves_by_hand(weight, above, below):
    found = random_features(chips_of(spot()), one_filter(weight))
    np.testing.assert_allclose(found, [[above, below]], atol=1e-6)
    assert found.dtype == np.float32


def test_patches_without_data_have_no_say():
    image = spot().astype(np.float32)
    image[0, 0, 3, 3] = np.nan  # takes one of the four patches, not the one that answers: 2 / 3
    empty = np.full_like(image, np.nan)
    found = random_features(chips_of(np.concatenate([image, empty])), one_filter(3.0))
    np.testing.assert_allclose(found[0], [2 / 3, 0], atol=1e-6)
    assert np.isnan(found[1]).all()


def test_the_whitened_patch_by_hand():
    # (2, 0) without its mean: (1, -1); of length 1: / sqrt(2). Its covariance has the eigenvalue 1 along
    # it, so Z Z' divides it by 1 + 0.001
    found = whitened(np.array([2.0, 0]).reshape(1, 2, 1, 1))
    np.testing.assert_allclose(found.ravel(), np.array([1, -1]) / np.sqrt(2) / 1.001, rtol=1e-6)
    assert not whitened(np.full((1, 3, 3, 3), 7.0)).any()  # shows nothing


def test_whitening_makes_the_answers_of_patches_to_themselves_add_up():
    """The mean answer of normed patches to their own filter is the trace of C (C + b)^-1."""
    patches = np.random.default_rng(1).random((500, 1, 3, 3))
    flat = patches.reshape(500, -1) - patches.mean(axis=(1, 2, 3))[:, None]
    flat /= np.linalg.norm(flat, axis=1, keepdims=True)
    values = np.linalg.svd(flat, compute_uv=False) ** 2 / 500
    own = (whitened(patches).reshape(500, -1) * flat).sum(axis=1).mean()
    assert own == pytest.approx((values / (values + 0.001)).sum(), rel=1e-4)
    assert own == pytest.approx(8, abs=0.2)  # 9 pixels less the mean


def noise(n=6, side=12, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, 3, side, side), dtype=np.uint8)


def test_filters_depend_on_the_seed_and_on_the_images_that_they_are_drawn_from():
    chips = chips_of(noise())
    others = noise()
    others[3:] = 0  # not drawn from
    one = draw_filters(chips, which=np.arange(3), count=8, seed=1)
    same = draw_filters(chips_of(others), which=np.arange(3), count=8, seed=1)
    np.testing.assert_array_equal(one.weights, same.weights)
    assert np.abs(one.weights - draw_filters(chips, which=np.arange(3), count=8, seed=2).weights).max() > 0.1
    held = RandomFilters.of_arrays({name: part.copy() for name, part in one.arrays().items()})
    np.testing.assert_array_equal(random_features(chips, held), random_features(chips, one))
    assert random_features(chips, one).shape == (6, 16)
    np.testing.assert_array_equal(
        random_features(chips, one, which=np.array([4])), random_features(chips, one)[[4]]
    )


def test_the_unit_of_the_numbers_does_not_matter():
    images = noise(n=40).astype(np.float32)
    found = [
        random_features(chips, draw_filters(chips, count=16, seed=0))
        for chips in (chips_of(images), chips_of(images * 40 - 1000))
    ]
    np.testing.assert_allclose(found[1], found[0], rtol=2e-3, atol=1e-4)


def test_images_that_give_no_filters_are_refused():
    with pytest.raises(ImageError, match="Images of 2 pixels hold no patch of 3"):
        draw_filters(chips_of(noise(side=2)), count=4)
    gaps = noise().astype(np.float32)
    gaps[:, :, ::2, ::2] = np.nan
    with pytest.raises(ImageError, match="Of 40 patches that were drawn only 0 have data"):
        draw_filters(chips_of(gaps), count=4)
    gaps[:, 1] = np.nan
    with pytest.raises(ImageError, match="A band of the images has no data at all"):
        draw_filters(chips_of(gaps), count=4)
    with pytest.raises(ImageError, match="The filters are of 1 bands and 3 pixels, the images have 3 bands"):
        random_features(chips_of(noise()), one_filter(1.0))

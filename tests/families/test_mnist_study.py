"""The study of MNIST through the real loading code: files in the real format, smaller."""

import numpy as np
import pytest
from idx_files import prepare, write_idx
from PIL import Image

import fractaljax as fj
from fractaljax import cli
from fractaljax.config.study import read_study
from fractaljax.engine.streams import shared_draws
from fractaljax.parts import datasets

pytestmark = pytest.mark.slow
TRAIN, TEST, HELD = 500, 120, 100
WORDS = ["epochs=12", "architectures=[[24]]", "search.trials=2", "problem.batch=64"]
WORDS += [f"problem.validation={HELD}", "retrain.seeds=[1,2]", "space.lr.min=1e-3"]


@pytest.fixture(scope="module")
def handwriting():
    """Digits of scikit-learn, 28 x 28."""
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    small = (pixels.reshape(-1, 8, 8) * 255 / 16).astype(np.uint8)
    large = [np.asarray(Image.fromarray(one).resize((28, 28))) for one in small[: TRAIN + TEST]]
    return np.stack(large), labels[: TRAIN + TEST]


@pytest.fixture(scope="module")
def folder(handwriting, tmp_path_factory):
    idx, prepared = (tmp_path_factory.mktemp(name) for name in ("idx", "prepared"))
    pixels, labels = handwriting
    write_idx(idx, "train", pixels[:TRAIN], labels[:TRAIN])
    write_idx(idx, "test", pixels[TRAIN:], labels[TRAIN:])
    prepare(idx, prepared)
    datasets.read_tfds.cache_clear()
    return prepared


@pytest.fixture(scope="module")
def searched(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "search"
    words = ["search", "configs/transfer/mnist.yaml", *WORDS, f"problem.data_dir={folder}"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(fj.__path__[0] + "/..")
        assert cli.main([*words, "--out", str(out)]) == 0
    return out


def sorted_rows(x):
    return x[np.lexsort(np.asarray(x).T)]


def test_the_split_is_one_for_all_seeds_and_pixels_are_from_0_to_1(folder, handwriting):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(fj.__path__[0] + "/..")
        study = read_study("configs/transfer/mnist.yaml", [*WORDS, f"problem.data_dir={folder}"])
    spec = next(iter(study.specs.values()))
    fj.prepare("float32")
    data = shared_draws(spec).data
    assert len(data.x) == TRAIN - HELD and len(data.valid.x) == HELD and len(data.test.x) == TEST
    pixels = handwriting[0].reshape(-1, 784).astype(np.float32) / 255
    together = np.concatenate([data.x, data.valid.x])
    np.testing.assert_allclose(sorted_rows(together), sorted_rows(pixels[:TRAIN]), atol=1e-6)
    np.testing.assert_allclose(sorted_rows(data.test.x), sorted_rows(pixels[TRAIN:]), atol=1e-6)
    other = shared_draws(spec.updated({"seed": 9})).data
    np.testing.assert_array_equal(other.valid.x, data.valid.x)
    moved = shared_draws(spec.updated({"data_seed": 9})).data
    assert not np.array_equal(moved.valid.x, data.valid.x)


def test_a_kept_network_reads_images_as_they_are_stored(searched, handwriting):
    network = fj.load_model(searched / "24" / "retrain" / "seed_2")
    assert network.about["scaling"] == {"offset": 0.0, "scale": 255.0}
    pixels, labels = (a[TRAIN:] for a in handwriting)
    right = np.mean(network(pixels).argmax(axis=1) == labels)
    assert right == pytest.approx(network.about["test_accuracy"])
    assert right > 0.5  # of ten classes, after a few epochs

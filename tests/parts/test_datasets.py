"""Minibatches, losses, the digits, and sets of tensorflow_datasets; nothing here uses the net."""

import functools
import http.server
import importlib.util
import io
import json
import shutil
import struct
import subprocess
import sys
import threading
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from idx_files import prepare, registered_as, write_idx

from fractaljax.errors import FractaljaxError
from fractaljax.parts import datasets, images, mnist
from fractaljax.parts.sampling import LOSSES, batches, sampler, shuffled
from fractaljax.spec import Part, Spec
from fractaljax.types import Data

N, TRAIN, TEST = 23, 200, 50
KEY = jax.random.key(7)
DATA = Data(jnp.arange(N, dtype=jnp.float32)[:, None], -jnp.arange(N, dtype=jnp.float32)[:, None])


def stream_of(key):
    return lambda i: jax.random.fold_in(key, i)


def drawn(sampling, steps, batch=5, key=KEY):
    """The points `[steps, batch]` that the steps of a training see."""
    draw = sampler(batch, sampling)
    step = jax.jit(lambda t: draw(stream_of(key), t, DATA))
    got = [step(t) for t in range(steps)]
    for data in got:
        np.testing.assert_array_equal(data.x, -data.y)
    return np.array([data.x[:, 0] for data in got]).astype(int)


class TestSampling:
    def test_full_batch_draws_nothing(self):
        assert sampler(0, "") is None

    def test_replacement_is_the_call_of_the_published_notebook(self):
        """With the published generator; any other draws the same in both precisions."""
        with jax.threefry_partitionable(False):
            expected = jax.random.randint(jax.random.fold_in(KEY, 3), (5,), 0, N)
            np.testing.assert_array_equal(drawn("", 4)[3], expected)
        single = jax.random.randint(jax.random.fold_in(KEY, 3), (5,), 0, N, dtype=jnp.int32)
        np.testing.assert_array_equal(drawn("replacement", 4)[3], single)

    @pytest.mark.parametrize("sampling", ["replacement", "distinct", "epochs"])
    def test_points_are_equally_likely(self, sampling):
        draw = sampler(5, sampling)
        steps = jnp.arange(4000)
        points = jax.jit(jax.vmap(lambda t: draw(stream_of(KEY), t, DATA).x))(steps)
        counts = np.bincount(np.array(points).astype(int).ravel(), minlength=N)
        # 5 standard deviations of a binomial count
        assert abs(counts - 20000 / N).max() < 5 * np.sqrt(20000 / N)

    def test_distinct_within_a_step_and_new_at_the_next(self):
        points = drawn("distinct", 50)
        assert all(len(set(step)) == 5 for step in points)
        assert len({tuple(sorted(step)) for step in points}) > 40

    def test_an_epoch_sees_no_point_twice_and_drops_the_remainder(self):
        points = drawn("epochs", 12).reshape(3, 4 * 5)  # 23 // 5 = 4 batches an epoch
        assert all(len(set(epoch)) == 20 for epoch in points)
        assert len({tuple(epoch) for epoch in points}) == 3

    def test_a_pass_sees_every_point_once(self):
        whole = drawn("passes", 10).reshape(2, 5 * 5)  # 23 points: four batches and three points
        taken = batches(5, "passes")
        assert taken["epoch"](N) == 5 and taken["remainder"](N) == 3
        for points in whole[:, :N]:
            assert sorted(points) == list(range(N))
        assert not np.array_equal(whole[0], whole[1])
        assert taken["remainder"](20) == 5 and taken["epoch"](20) == 4  # nothing remains

    @pytest.mark.parametrize("total", [1, 2, 3, 16, 17, 1797, 60000])
    def test_a_shuffle_is_a_permutation(self, total):
        order = jax.jit(shuffled, static_argnums=2)(KEY, jnp.arange(total), total)
        np.testing.assert_array_equal(np.sort(order), np.arange(total))

    @pytest.mark.slow
    def test_shuffles_are_uniform_in_pairs_of_places(self):
        keys, places = jax.random.split(KEY, 20000), jnp.arange(7)
        orders = np.array(jax.vmap(lambda key: shuffled(key, places, 7))(keys))
        pairs = np.bincount(orders[:, 0] * 7 + orders[:, 1], minlength=49).reshape(7, 7)
        assert (pairs.diagonal() == 0).all()
        expected = 20000 / 42
        chi2 = ((pairs[~np.eye(7, dtype=bool)] - expected) ** 2 / expected).sum()
        assert chi2 < 41 + 5 * np.sqrt(2 * 41)
        numbers = np.array(shuffled(KEY, jnp.arange(60000), 60000)).astype(float)
        assert abs(np.corrcoef(numbers[1:], numbers[:-1])[0, 1]) < 5 / np.sqrt(60000)

    @pytest.mark.parametrize("sampling", ["replacement", "distinct", "epochs"])
    @pytest.mark.slow
    def test_vmapped_keys_draw_what_each_draws_alone(self, sampling):
        draw = sampler(5, sampling)
        keys = jax.random.split(KEY, 3)
        run = jax.vmap(lambda key, t: draw(stream_of(key), t, DATA).x[:, 0], in_axes=(0, None))
        alone = [drawn(sampling, 7, key=key)[6] for key in keys]
        np.testing.assert_array_equal(run(keys, 6), alone)
        shared = jax.vmap(lambda _: draw(stream_of(KEY), 6, DATA).x[:, 0])(jnp.arange(3))
        np.testing.assert_array_equal(shared, np.broadcast_to(shared[0], (3, 5)))

    @pytest.mark.parametrize(
        "batch, sampling, message",
        [
            (-1, "", "batch=-1: allowed are 0"),
            (0, "epochs", "sampling=epochs is not read: batch is 0"),
            (5, "epoch", "Did you mean 'epochs'"),
        ],
    )
    def test_bad_arguments(self, batch, sampling, message):
        with pytest.raises(FractaljaxError, match=message):
            sampler(batch, sampling)

    @pytest.mark.parametrize("sampling", ["distinct", "epochs"])
    def test_more_different_points_than_there_are(self, sampling):
        with pytest.raises(FractaljaxError, match="batch=24: more than the 23 points"):
            drawn(sampling, 1, batch=24)
        assert drawn(sampling, 1, batch=23).shape == (1, 23)

    def test_replacement_may_draw_more_than_there_are(self):
        assert drawn("replacement", 1, batch=24).shape == (1, 24)


class TestLosses:
    def test_mean_squared_error(self):
        outputs, targets = jnp.array([[1.0, 2.0], [3.0, 4.0]]), jnp.array([[1.0, 0.0], [0.0, 4.0]])
        assert LOSSES["mse"](outputs, targets) == (0 + 4 + 9 + 0) / 4

    def test_cross_entropy(self):
        outputs, targets = jnp.array([[1.0, 2.0], [3.0, 0.0]]), jnp.array([[0.0, 1.0], [1.0, 0.0]])
        by_hand = (np.log(1 + np.exp(-1)) + np.log(1 + np.exp(-3))) / 2
        np.testing.assert_allclose(LOSSES["cross_entropy"](outputs, targets), by_hand, rtol=1e-6)


class TestDigits:
    def test_the_whole_set_in_its_own_order(self):
        pytest.importorskip("sklearn")
        problem = datasets.digits()
        source = problem.source()
        assert source is problem.source()
        assert source.x.shape == (1797, 64) and source.y.shape == (1797, 10)
        assert source.x.dtype == source.y.dtype == np.float64
        np.testing.assert_allclose([source.x.mean(), source.x.std()], [0, 1], atol=1e-12)
        np.testing.assert_array_equal(np.unique(source.y.sum(1)), 1)
        np.testing.assert_array_equal(source.y[:10].argmax(1), range(10))
        data = problem.load(KEY, source, None)
        np.testing.assert_array_equal(data.x, source.x)
        assert problem.batch is None and problem.loss is LOSSES["cross_entropy"]

    def test_a_subset_is_a_function_of_the_key(self):
        pytest.importorskip("sklearn")
        problem = datasets.digits(points=40, loss="mse", batch=8)
        source = jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), problem.source())
        load = jax.jit(lambda key: problem.load(key, source, None))
        data, again, other = load(KEY), load(KEY), load(jax.random.key(8))
        assert data.x.shape == (40, 64) and data.x.dtype == data.y.dtype == jnp.float32
        assert len(np.unique(data.x, axis=0)) == 40
        rows = {x.tobytes(): y.tobytes() for x, y in zip(*map(np.array, source[:2]), strict=True)}
        pairs = zip(*map(np.array, data[:2]), strict=True)
        assert all(rows[x.tobytes()] == y.tobytes() for x, y in pairs)
        np.testing.assert_array_equal(data.x, again.x)
        assert not np.array_equal(data.x, other.x)
        many = jax.vmap(load)(jnp.stack([KEY, jax.random.key(8)]))
        np.testing.assert_array_equal(many.x, [data.x, other.x])

    @pytest.mark.parametrize(
        "arguments, message",
        [
            ({"points": -1}, "problem: points=-1: allowed are 0"),
            ({"loss": "mae"}, "problem: unknown loss 'mae'"),
            ({"batch": -2}, "problem: batch=-2"),
            ({"points": 10, "batch": 11, "sampling": "epochs"}, "batch=11: more than points=10"),
            ({"scaling": "log"}, "problem: unknown scaling 'log'"),
            ({"validation": -3}, "problem: validation=-3: allowed are 0 and more"),
        ],
    )
    def test_bad_arguments_fail_in_the_spec(self, arguments, message):
        with pytest.raises(FractaljaxError, match=message):
            Spec(problem=Part("digits", **arguments))

    def test_held_out_points_are_in_no_other_split(self):
        problem = datasets.digits(points=900, validation=300, test=200, scaling="unit")
        source = problem.source()
        assert source.x.min() == 0 and source.x.max() == 1 and problem.scaling() == (0.0, 16.0)
        data = problem.load(KEY, source, None)
        splits = [np.asarray(some.x) for some in (data, data.valid, data.test)]
        assert [len(x) for x in splits] == [900, 300, 200]
        known = {row.tobytes() for row in source.x}
        together = [row.astype(np.float64).tobytes() for x in splits for row in x]
        repeated = len(source.x) - len(known)  # the set itself has hardly any twice
        assert len(together) - len(set(together)) <= repeated
        rest = datasets.digits(validation=300, test=200).load(KEY, source, None)
        assert len(rest.x) == 1797 - 500

    def test_points_alone_are_drawn_as_with_held_out_ones(self):
        source = datasets.digits().source()
        alone = datasets.digits(points=50).load(KEY, source, None)
        held = datasets.digits(points=50, validation=20).load(KEY, source, None)
        np.testing.assert_array_equal(alone.x, held.x)

    def test_standard_scaling_is_kept_too(self):
        offset, scale = datasets.digits().scaling()
        assert 4 < offset < 6 and 5 < scale < 7

    def test_more_points_than_there_are(self):
        source = Data(np.zeros((5, 2)), np.zeros((5, 3)))
        with pytest.raises(FractaljaxError, match="points=6: the set has 5"):
            datasets.digits(points=6).load(KEY, source, None)

    def test_without_scikit_learn(self):
        with (
            mock.patch.dict(sys.modules, {"sklearn.datasets": None}),
            pytest.raises(FractaljaxError, match=r"pip install 'fractaljax\[digits\]'"),
        ):
            datasets.read_digits.__wrapped__()


@pytest.fixture(scope="module")
def idx(tmp_path_factory):
    folder = tmp_path_factory.mktemp("idx")
    draw = np.random.default_rng(0)
    for split, n in (("train", TRAIN), ("test", TEST)):
        write_idx(folder, split, draw.integers(0, 256, (n, 28, 28)), draw.integers(0, 10, n))
    return folder


@pytest.fixture(scope="module")
def prepared(idx, tmp_path_factory):
    """A folder with MNIST prepared from the four files, by hand."""
    folder = tmp_path_factory.mktemp("prepared")
    prepare(idx, folder)
    return folder


@pytest.fixture(autouse=True)
def fresh(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    datasets.read_tfds.cache_clear()


def read(data_dir, dataset="mnist", split="train", manual_dir=""):
    problem = datasets.tfds(dataset, split, str(data_dir), str(manual_dir))
    return problem.source()


def refused(*args, **kwargs):
    """The error of a read, which must be one line."""
    with pytest.raises(FractaljaxError) as caught:
        read(*args, **kwargs)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def standardised(folder, split):
    """What `read` should give, less the order, straight from the files."""
    pixels, labels = (mnist.read_idx(folder / name) for name in mnist.FILES[split])
    x = pixels.reshape(len(pixels), -1) / 255
    return (x - x.mean()) / x.std(), labels


class TestTfds:
    @pytest.mark.parametrize("split", ["train", "test"])
    def test_every_image_with_its_label(self, idx, prepared, split):
        data = read(prepared, split=split)
        x, labels = standardised(idx, split)
        assert data.y.shape == (len(labels), 10) and data.y.sum() == len(labels)
        order, expected = np.lexsort(data.x.T), np.lexsort(x.T)
        np.testing.assert_allclose(data.x[order], x[expected], atol=1e-12)
        np.testing.assert_array_equal(data.y.argmax(1)[order], labels[expected])

    def test_read_once_a_process_and_decoded_once_a_machine(self, prepared, tmp_path):
        data = read(prepared)
        assert read(prepared) is data
        datasets.read_tfds.cache_clear()
        with mock.patch.object(images, "_decoded", side_effect=AssertionError):
            np.testing.assert_array_equal(read(prepared).x, data.x)
        (kept,) = (tmp_path / "cache/fractaljax/datasets").iterdir()
        assert kept.name.startswith("mnist-3.0.1-train-") and kept.suffix == ".npz"

    @pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "pickled"])
    def test_a_damaged_cache_is_built_again(self, prepared, tmp_path, damage):
        data = read(prepared)
        (kept,) = (tmp_path / "cache/fractaljax/datasets").iterdir()
        content = kept.read_bytes()
        flipped = bytearray(content)
        flipped[len(content) // 2] ^= 1
        pickled = io.BytesIO()
        np.savez(pickled, pixels=np.array([None]), labels=np.array([None]))
        wrong = {"cut": content[:-100], "flipped": flipped, "empty": b""}
        kept.write_bytes(wrong.get(damage, pickled.getvalue()))
        datasets.read_tfds.cache_clear()
        np.testing.assert_array_equal(read(prepared).x, data.x)
        assert kept.read_bytes() == content

    def test_a_cache_that_cannot_be_written_is_no_error(self, prepared, tmp_path):
        (tmp_path / "cache").write_text("a file where a folder should be")
        assert read(prepared).x.shape == (TRAIN, 784)

    def test_slices_have_caches_of_their_own(self, prepared, tmp_path):
        whole = read(prepared, split="train+test")
        part = read(prepared, split="train[:10%]")
        assert whole.x.shape[0] == TRAIN + TEST and part.x.shape[0] == TRAIN // 10
        assert len(list((tmp_path / "cache/fractaljax/datasets").iterdir())) == 2

    def test_other_files_are_decoded_anew(self, prepared, tmp_path):
        data = read(prepared)
        other = tmp_path / "mnist/3.0.1"
        shutil.copytree(prepared / "mnist/3.0.1", other)
        record = "mnist-{}.array_record-00000-of-00001"
        shutil.copy(other / record.format("test"), other / record.format("train"))
        info = json.loads((other / "dataset_info.json").read_text())
        info["splits"][0]["shardLengths"] = info["splits"][1]["shardLengths"] = [str(TEST)]
        (other / "dataset_info.json").write_text(json.dumps(info))
        assert len(read(tmp_path).x) == TEST != len(data.x)

    def test_downloaded_with_checksums(self, idx, prepared, tmp_path):
        handler = functools.partial(QuietHandler, directory=str(idx))
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        url = f"http://127.0.0.1:{server.server_port}/"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        builder = mnist.builder_class("mnist")
        with (
            mock.patch.object(builder, "URL", url),
            mock.patch.object(builder, "url_infos", registered_as(idx, url)),
        ):
            data = read(tmp_path / "new")
        server.shutdown()
        server.server_close()
        np.testing.assert_array_equal(data.x, read(prepared).x)

    def test_tfrecord_folder(self, prepared, tmp_path):
        folder = as_tfrecord(prepared, tmp_path)
        np.testing.assert_array_equal(read(tmp_path).x, read(prepared).x)
        part = read(tmp_path, split="train[5:9]")
        np.testing.assert_array_equal(part.y, read(prepared, split="train[5:9]").y)
        shard = folder / "mnist-train.tfrecord-00000-of-00001"
        content = shard.read_bytes()
        datasets.read_tfds.cache_clear()
        for wrong in (content[:-5], content + content, b"\xff" * 100):
            shard.write_bytes(wrong)
            assert "is damaged" in refused(tmp_path)

    def test_mocked_by_the_tool_of_tensorflow_datasets(self, prepared):
        import tensorflow_datasets as tfds

        with tfds.testing.mock_data(num_examples=7, data_dir=str(prepared)):
            assert read("").x.shape == (7, 784)

    @pytest.mark.parametrize("dataset", ["fashion_mnist", "kmnist"])
    def test_the_kin_of_mnist(self, idx, tmp_path, dataset):
        builder = mnist.builder_class(dataset)
        with mock.patch.object(builder, "url_infos", registered_as(idx, builder.URL)):
            data = read(tmp_path, dataset, "test", manual_dir=idx)
        assert data.x.shape == (TEST, 784) and data.y.shape == (TEST, 10)

    def test_a_set_that_only_lies_prepared(self, tmp_path):
        write_set(tmp_path, [(np.full((4, 5, 3), i, np.uint8), i % 3) for i in range(6)])
        data = read(tmp_path, "tiny")
        assert data.x.shape == (6, 60) and data.y.shape == (6, 3)


class TestTfdsRefusals:
    def test_wrong_checksum(self, idx, tmp_path):
        # In a process of its own: the checksums that other tests register are for a whole process.
        script = (
            "import sys; from fractaljax.parts.datasets import tfds\n"
            "from fractaljax.errors import FractaljaxError\n"
            "assert not {'sklearn', 'tensorflow_datasets'} & set(sys.modules), 'slow to import'\n"
            "try: tfds(data_dir=sys.argv[1], manual_dir=sys.argv[2]).source()\n"
            "except FractaljaxError as error: print(error)"
        )
        command = [sys.executable, "-c", script, str(tmp_path), str(idx)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        (line,) = done.stdout.splitlines()
        assert "has wrong checksum" in line and line.endswith("Fetch that file anew.")
        assert not (tmp_path / "mnist/3.0.1").exists()

    def test_unknown_set(self, tmp_path):
        assert "no such set. Did you mean 'mnist'?" in refused(tmp_path, "mnits")

    def test_unknown_split(self, prepared):
        assert "split=tset: Unknown split 'tset'" in refused(prepared, split="tset")

    def test_empty_split(self, prepared):
        assert refused(prepared, split="train[:0]") == "split=train[:0]: has no images"

    def test_no_network(self, tmp_path):
        with mock.patch.object(mnist.builder_class("mnist"), "URL", "http://127.0.0.1:9/"):
            message = refused(tmp_path)
        assert "no answer from http://127.0.0.1:9/" in message
        assert "t10k-labels-idx1-ubyte.gz into a folder and give it as manual_dir" in message

    def test_manual_folder(self, tmp_path):
        assert "there is no such folder" in refused(tmp_path, manual_dir=tmp_path / "none")
        assert "lacks train-images-idx3-ubyte.gz," in refused(tmp_path, manual_dir=tmp_path)

    @pytest.mark.skipif(importlib.util.find_spec("tensorflow") is not None, reason="is installed")
    def test_a_builder_that_needs_tensorflow(self, idx, tmp_path):
        from tensorflow_datasets.image_classification import MNIST

        with (
            mock.patch.object(mnist, "KIN", {}),
            mock.patch.object(MNIST, "url_infos", registered_as(idx, MNIST.URL)),
        ):
            assert "its builder needs TensorFlow" in refused(tmp_path, manual_dir=idx)

    def test_images_of_several_sizes(self, tmp_path):
        write_set(tmp_path, [(np.zeros((4, 4 + i, 3), np.uint8), 0) for i in range(2)])
        assert "one size; number 1 is uint8[4, 5, 3]" in refused(tmp_path, "tiny")

    def test_unlabelled(self, tmp_path):
        write_set(tmp_path, [(np.zeros((4, 4, 3), np.uint8), -1)])
        assert refused(tmp_path, "tiny") == "dataset=tiny, split=train: has no labels"

    def test_not_a_classification_of_images(self, tmp_path):
        write_set(tmp_path, [(np.zeros((4, 4, 3), np.uint8), 0)], label="kind")
        assert "it has image, kind" in refused(tmp_path, "tiny")

    def test_damaged_folder(self, prepared, tmp_path):
        shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
        for shard in (tmp_path / "mnist/3.0.1").glob("*train*"):
            shard.write_bytes(b"not records")
        assert "mnist: cannot read " in refused(tmp_path)

    def test_bad_arguments(self):
        with pytest.raises(FractaljaxError, match="both need a name"):
            datasets.tfds(dataset="")


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


def as_tfrecord(prepared, target):
    """A copy of a prepared MNIST in the default format of tensorflow_datasets."""
    import tensorflow_datasets as tfds

    folder = target / "mnist/3.0.1"
    builder = tfds.builder_from_directory(prepared / "mnist/3.0.1")
    shutil.copytree(prepared / "mnist/3.0.1", folder, ignore=shutil.ignore_patterns("*_record-*"))
    for split in ("train", "test"):
        raw = tfds.decode.DeserializeMethod.RAW_BYTES
        with open(folder / f"mnist-{split}.tfrecord-00000-of-00001", "wb") as file:
            for record in builder.as_data_source(split, deserialize_method=raw):
                file.write(struct.pack("<Q", len(record)) + b"crc." + record + b"crc.")
    info = (folder / "dataset_info.json").read_text()
    (folder / "dataset_info.json").write_text(info.replace("array_record", "tfrecord"))
    return folder


def write_set(folder, examples, label="label"):
    """Prepares a set `tiny` of colour images whose builder nobody can import afterwards."""
    import tensorflow_datasets as tfds
    from PIL import Image

    class Tiny(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            kinds = {"image": tfds.features.Image(), label: tfds.features.ClassLabel(num_classes=3)}
            return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(kinds))

        def _split_generators(self, dl_manager):
            return {"train": self._generate_examples()}

        def _generate_examples(self):
            for i, (pixels, kind) in enumerate(examples):
                yield i, {"image": Image.fromarray(pixels), label: kind}

    Tiny(data_dir=folder, file_format="array_record").download_and_prepare()

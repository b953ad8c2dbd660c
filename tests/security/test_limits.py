"""Bombs: files that are small on disk and would be huge in memory, or lead out of their folder."""

import gzip
import io
import json
import os
import pickle
import struct
import time
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import yaml

import fractaljax as fj
from fractaljax import cli, config, store
from fractaljax.config import plain_yaml
from fractaljax.config.plain_yaml import from_yaml
from fractaljax.parts import mnist
from fractaljax.store import parquet, records, seals, study_folder
from fractaljax.view import gradients, image, png

FractaljaxError = fj.FractaljaxError
TINY = {"model": {"width": 2}, "problem": {"inputs": 2, "points": 4}, "steps": 2}
TINY |= {"window": {"resolution": 4}}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(yaml.safe_dump(TINY))


@pytest.fixture
def result():
    spec, window = fj.load("tiny.yaml")
    fj.scan(spec, window, store="result")
    return Path("result")


def sparse(name, size=2**30):
    """A file of a gigabyte that takes no room."""
    with open(name, "wb") as stream:
        stream.truncate(size)
    return name


def refused(capsys, *words, said=""):
    assert cli.main([str(w) for w in words]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and said in err, err
    return err


# ---- settings


def test_aliases_are_counted_as_what_they_stand_for():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 20)]
    began = time.monotonic()
    with pytest.raises(FractaljaxError, match=f"at most {plain_yaml.MAX_VALUES}"):
        from_yaml("\n".join(lines))
    assert time.monotonic() - began < 5
    assert from_yaml("a: &a [1, 2]\nb: [*a, *a]") == {"a": [1, 2], "b": [[1, 2], [1, 2]]}


def test_depth_is_counted_through_aliases():
    lines = [f"a0: &a0 {'[' * 20}1{']' * 20}"]
    lines += [f"a{i}: &a{i} {'[' * 20}*a{i - 1}{']' * 20}" for i in range(1, 9)]
    with pytest.raises(FractaljaxError, match="nested more than"):
        from_yaml("\n".join(lines))


@pytest.mark.parametrize(
    "text",
    ["!!python/object/apply:os.system [x]", "!!python/name:os.system", "!!set {a}", "!x 1",
     "!!binary aGk=", "2020-01-01", "!!omap [a: 1]", "!!timestamp 2020-01-01"],
)  # fmt: skip
def test_only_plain_data_is_read(text):
    with pytest.raises(FractaljaxError, match="not plain data at line 1"):
        from_yaml(text)


@pytest.mark.parametrize("verb", ["scan", "sweep", "search", "grow", "queue", "show"])
def test_a_config_of_a_gigabyte_is_not_read(verb, capsys):
    refused(capsys, verb, sparse("large.yaml"), said="large.yaml: larger than 1048576 bytes")


def test_messages_are_short_and_have_no_control_characters():
    text = str(FractaljaxError("\x1b[31mred\x07" + "x" * 10**6 + "\nend"))
    assert len(text) < 3000 and text.isprintable()
    assert text.startswith("\\x1b[31mred\\x07") and text.endswith("end")


# ---- results


def rewritten(result, **changes):
    """Attributes of a field that say something else, with a checksum that fits."""
    attributes = records.read(result)
    attributes.pop("check")
    for key, value in changes.items():
        attributes[key] = {**attributes[key], **value}
    records.write(result / "field", attributes)


SIDE = {"window": {"x": "LR0", "y": "LR1", "resolution": 2**20}}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"settings": SIDE}, "1099511627776 pixels; at most 4294967296"),
        ({"settings": {"window": {**SIDE["window"], "resolution": 2**16}}, "numeric": {"tile": 1}},
         "4294967296 tiles; at most 4194304"),
        ({"numeric": {"tile": -1}}, "no size of a tile"),
        ({"numeric": {"tile": "all"}}, "no size of a tile"),
        ({"readings": {"../../../etc": [[], "float32"]}}, "cannot be a reading"),
        ({"readings": {"measure": [[], "O"]}}, "cannot be a reading"),
        ({"readings": {"measure": [[2**40], "float32"]}}, "at most 16777216"),
        ({"readings": {f"r{i}": [[], "float32"] for i in range(200)}}, "readings; at most 100"),
    ],
    ids=lambda value: str(value)[:40],
)  # fmt: skip
def test_a_field_of_absurd_size_is_refused(result, changes, said, capsys):
    rewritten(result, **changes)
    for verb in ("render", "dimension", "show"):
        refused(capsys, verb, result, said=said)


@pytest.mark.parametrize("name", ["field/zarr.json", "zoom.json"])
@pytest.mark.parametrize("content", [b"[" * 10**6, b'{"a":' * 10**5, b"\xff", b"", b"9" * 10**5])
def test_json_that_is_too_deep_is_damaged(result, name, content, capsys):
    (result / name).write_bytes(content)
    refused(capsys, "render", result, said=f"{name} is damaged or was not written by fractaljax")


@pytest.mark.parametrize("name", ["field/zarr.json", "zoom.json", "study.yaml"])
def test_a_gigabyte_of_a_result_is_not_read(result, name, capsys):
    sparse(result / name)
    refused(capsys, "report" if "study" in name else "render", result, said="is damaged")


def test_a_chunk_that_claims_to_be_larger_is_damaged(result, capsys):
    (file,) = [p for p in (result / "field/measure/c").rglob("*") if p.is_file()]
    content = bytearray(file.read_bytes()[:-4])
    content[4:8] = struct.pack("<I", 2**31 - 17)  # bytes unpacked
    file.write_bytes(bytes(content) + struct.pack("<I", crc32c(bytes(content))))
    refused(capsys, "render", result, said="result")


def crc32c(data):
    """The checksum of a chunk (Castagnoli), bit by bit."""
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 * (value & 1))
    return value ^ 0xFFFFFFFF


def packed(path, header=None, method=zipfile.ZIP_STORED):
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.zeros(10))
    content = stream.getvalue()
    if header:
        content = content.replace(b"(10,), ", header)[: len(content)]
    with zipfile.ZipFile(path, "w", method) as out:
        out.writestr("values.npy", content)
    return Path(path)


def test_arrays_are_no_larger_than_their_file():
    assert set(study_folder.read_arrays(packed("good.npz"))) == {"values"}
    assert study_folder.read_arrays(packed("bomb.npz", method=zipfile.ZIP_DEFLATED)) is None
    huge = packed("huge.npz", header=b"(999999999999,), ")
    assert study_folder.read_arrays(huge) is None
    with zipfile.ZipFile("object.npz", "w") as out:
        stream = io.BytesIO()
        np.lib.format.write_array(stream, np.array([print], object), allow_pickle=True)
        out.writestr("values.npy", stream.getvalue())
    assert study_folder.read_arrays(Path("object.npz")) is None


def test_a_table_of_absurd_size_is_damaged(monkeypatch):
    few = ["steps=4", "evaluations=2", "model.hidden_dim=2", "problem.train_samples=8"]
    source = Path(__file__).parents[2] / "configs/dynamics/gph.yaml"
    fj.sweep(source, [*few, "batch_seed=0..4"], out="swept")
    assert len(fj.load_sweep("swept")) == 4
    for name, most in (("MAX_RUNS", 3), ("MAX_GROUP_BYTES", 30)):
        with monkeypatch.context() as patch:
            patch.setattr(parquet, name, most)
            assert len(fj.load_sweep("swept")) == 0
            with pytest.raises(parquet.Damaged, match=f"at most {most}"):
                parquet.index(Path("swept/results.parquet"))


def test_a_journal_is_never_unpickled():
    """Optuna keeps the state of CMA-ES as a pickle; one that somebody else wrote runs anything."""
    from fractaljax.config.space import Dimension
    from fractaljax.families.learning import JOURNAL, Learning

    space = [Dimension(name, f"optimizer.{name}", 0.1, 1.0) for name in ("lr", "eps")]

    def sampler():
        return Learning("cmaes", space, 40, 1, Path())

    first, values = sampler(), []
    for _ in range(3):
        for number, found in first.ask(8):
            values.append(found)
            first.tell(number, sum(v**2 for v in found.values()))
    lines = Path(JOURNAL).read_text()
    assert "cma:generation" in lines and "cma:optimizer" not in lines

    class Trap:
        def __reduce__(self):
            return (open, ("sprung", "w"))

    bomb = pickle.dumps(Trap()).hex()
    trials = range(len(values))
    logs = [
        {"op_code": 9, "worker_id": "x", "trial_id": i, "system_attr": {"cma:optimizer:0": bomb}}
        for i in trials
    ]
    seals.replace(Path(JOURNAL), lines + "".join(json.dumps(log) + "\n" for log in logs))
    again = sampler()
    for i, found in enumerate(values):
        again.tell(i, sum(v**2 for v in found.values()))
    assert again.ask(8) == first.ask(8)
    assert not Path("sprung").exists()


def test_cma_es_is_optunas_own():
    """The state that is made again from the trials is, bit for bit, the one that Optuna keeps."""
    import optuna

    from fractaljax.families.learning import _Replayed

    def trials(kind):
        study = optuna.create_study()
        ranges = {n: optuna.distributions.FloatDistribution(1e-3, 1.0, log=n == "a") for n in "abc"}
        found = []
        for number in range(48):
            study.sampler = kind(seed=number, warn_independent_sampling=False)
            trial = study.ask(ranges)
            study.tell(trial, sum((v - 0.3) ** 2 for v in trial.params.values()))
            found.append(trial.params)
        return found

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    assert trials(_Replayed) == trials(optuna.samplers.CmaEsSampler)


# ---- pictures, gradients, data


def texted(name, text, *, width=1):
    def chunk(kind, body):
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, width, 8, 2, 0, 0, 0))
    body = b"fractaljax\0\1\0\0\0" + zlib.compress(text)
    Path(name).write_bytes(png.SIGNATURE + head + chunk(b"iTXt", body) + chunk(b"IEND", b""))
    return name


def test_a_text_in_a_picture_is_unpacked_up_to_a_limit(capsys):
    refused(capsys, "show", texted("bomb.png", b"#" * 10**8), said=f"longer than {png.MAX_TEXT}")
    good = config.dump(*fj.load("tiny.yaml")).encode()
    assert image.read_parameters(texted("wide.png", good, width=2**31 - 1)) == good.decode()


@pytest.mark.parametrize("suffix", [".gpl", ".ggr", ".map", ".cpt", ".txt"])
def test_a_palette_of_a_gigabyte_is_not_read(suffix):
    with pytest.raises(FractaljaxError, match="larger than 1048576 bytes"):
        gradients.read(sparse(f"palette{suffix}"), 256)


@pytest.mark.parametrize(
    ("shape", "unpacked", "said"),
    [
        ((10, 2, 2), 2 * 10**7, "its header says 40 bytes"),
        ((2**31, 2**10, 2**10), 100, f"at most {mnist.MAX_BYTES}"),
        ((10, 2, 2), 39, "its header says 40 bytes"),
        ((1,) * 200, 1, "does not begin as an IDX file"),
    ],
)
def test_images_are_unpacked_up_to_what_their_header_says(shape, unpacked, said):
    head = bytes([0, 0, 8, len(shape)]) + struct.pack(f">{len(shape)}I", *shape)
    Path("images.gz").write_bytes(gzip.compress(head + bytes(unpacked)))
    with pytest.raises(FractaljaxError, match=said):
        mnist.read_idx("images.gz")


# ---- names


@pytest.mark.parametrize("name", ["../../x", "..", "/x", "a/b", ".", "a\0b", "a\\0/../b"])
def test_names_of_folders_do_not_lead_out(name, capsys):
    where = json.dumps({"experiments": {name: {}}})
    with pytest.raises(FractaljaxError):
        config.parse(where, "x.yaml", "x")
    from fractaljax.config.arms import parse_arms
    from fractaljax.config.study import parse_study

    study = {
        "problem": {"validation": 4},
        "stopping": "patience",
        "space": {"LR": {"min": 1, "max": 2}},
    }
    for tree in ({"architectures": {name: [2]}}, {"architectures": [[2]], "name": name}):
        with pytest.raises(FractaljaxError, match=r"folder|given"):
            parse_study({**study, **tree}, "x")
    with pytest.raises(FractaljaxError, match="arms"):
        parse_arms({"arms": {name: {}}}, "x")


@pytest.mark.parametrize("size", ["window.resolution=1000000000", "window.resolution=1048576"])
def test_a_window_of_absurd_size_is_refused(size, capsys):
    refused(capsys, "scan", "tiny.yaml", size, said="at most" if "1048576" in size else "allowed")
    assert not Path("outputs").exists()


def test_stores_are_unharmed(result):
    """The limits leave what is good alone."""
    assert store.open_field(result).done.all()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes of POSIX")
def test_a_pipe_in_a_store_makes_nobody_wait(tmp_path):
    for name in ("a.yaml", "a.npz", seals.SUMS):
        os.mkfifo(tmp_path / name)
    with pytest.raises(FractaljaxError, match="no regular file"):
        study_folder.read_tree(tmp_path / "a.yaml")
    assert study_folder.read_arrays(tmp_path / "a.npz") is None
    (tmp_path / "field").mkdir()
    os.mkfifo(tmp_path / "field" / "zarr.json")
    with pytest.raises(FractaljaxError, match="damaged"):
        records.read(tmp_path)

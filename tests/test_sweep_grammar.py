"""The words of a sweep: what they mean, in which order its runs come, and what is refused; and what
the verbs `sweep` and `merge` make of them and print."""

import itertools
import logging
import math
import os
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fractaljax import cli
from fractaljax.cli import progress
from fractaljax.cli.arguments import parse
from fractaljax.config.sweeps import Dim, Grid, parse_sweep
from fractaljax.errors import FractaljaxError
from fractaljax.families import sweep as family
from fractaljax.store import merging

PATHS = ("model.gamma", "optimizer.lr", "batch_seed", "steps", "problem.batch")
columns = st.dictionaries(
    st.sampled_from(PATHS),
    st.lists(st.integers(-9, 99), min_size=2, max_size=4, unique=True),
    min_size=1,
)


def value(text):
    """The one value of a text."""
    grid = parse_sweep([f"some.path={text}"])
    assert grid.dims == () and grid.size == 1 and grid.settings(0) == {}
    return dict(grid.fixed)["some.path"]


def swept(text):
    """The values that a text sweeps, in order."""
    grid = parse_sweep([f"some.path={text}"])
    assert grid.fixed == () and [dim.paths for dim in grid.dims] == [("some.path",)]
    return [grid.settings(i)["some.path"] for i in range(grid.size)]


def rows(grid):
    return [grid.settings(i) for i in range(grid.size)]


# ---- one value


@pytest.mark.parametrize(
    "text, meant",
    [
        ("null", None),
        ("none", None),
        ("None", None),
        ("~", None),
        ("true", True),
        ("false", False),
        ("5", 5),
        ("-5", -5),
        ("0.5", 0.5),
        ("1e-3", 1e-3),
        ("1E5", 100_000),
        ("1e0", 1),
        ("010", 10),
        ("-009", -9),
        ("1_000", 1000),
        ("0x10", 16),
        ("-2.5e-4", -2.5e-4),
        (".5e1", 5.0),
        ("1.e2", 100.0),
        ("adam", "adam"),
        ("'adam'", "adam"),
        ("'5'", "5"),
        ('"none"', "none"),
        ("'null'", "null"),
        ("'a,b'", "a,b"),
        ('"it\'s, well"', "it's, well"),
        ("'0..5'", "0..5"),
        ("it's", "it's"),
        ("  7 ", 7),
        ("[]", []),
        ("[5]", [5]),
        ("[5,10]", [5, 10]),
        ("[[1,2],[3]]", [[1, 2], [3]]),
        ("['a,b',c]", ["a,b", "c"]),
        ("[null, true]", [None, True]),
        ("[1e-3, 2, none]", [1e-3, 2, None]),
        ("[[1e-3], ['1e-3', 'none']]", [[1e-3], ["1e-3", "none"]]),
        ("{100: 5, 200: null}", {100: 5, 200: None}),
        ("a=b", "a=b"),
        ("1.5..3", "1.5..3"),
        ("..", ".."),
    ],
)
def test_one_value_is_fixed(text, meant):
    found = value(text)
    assert found == meant and type(found) is type(meant)


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**12), 10**12))
def test_every_number_is_read_as_python_writes_it(number):
    found = value(repr(number))
    assert found == number and type(found) is type(number)


# ---- several values


@pytest.mark.parametrize(
    "text, meant",
    [
        ("0.75,1.0,1.5", [0.75, 1.0, 1.5]),
        ("1e-3, 2e-3", [1e-3, 2e-3]),
        ("null,5", [None, 5]),
        ("true,false", [True, False]),
        ("sgd,adam", ["sgd", "adam"]),
        ("[5,10],[20]", [[5, 10], [20]]),
        ("[[1,2],[3]],[]", [[[1, 2], [3]], []]),
        ("[1e-3],[1e-2,1]", [[1e-3], [1e-2, 1]]),
        ("'a,b',c", ["a,b", "c"]),
        ("0..3", [0, 1, 2]),
        ("007,008,009,010", [7, 8, 9, 10]),
        ("008..011", [8, 9, 10]),
        ("0..10..4", [0, 4, 8]),
        ("5..-5..-5", [5, 0]),
        ("-3..0", [-3, -2, -1]),
        ("-1..-4..-1", [-1, -2, -3]),
        ("range(3)", None),
        ("range(0,3)", [0, 1, 2]),
        ("range( 9 , 0 , -4 )", [9, 5, 1]),
        ("0..2,7,10..12", [0, 1, 7, 10, 11]),
        ("range(0,2),null", [0, 1, None]),
    ],
)
def test_several_values_are_swept(text, meant):
    if meant is None:  # one number is not a range: it is text, which no part takes for a number
        assert value(text) == text
    else:
        assert swept(text) == meant


@given(st.integers(-50, 50), st.integers(-50, 50), st.integers(-9, 9))
def test_ranges_are_those_of_python(start, stop, step):
    assume(step and len(range(start, stop, step)))
    meant = [*range(start, stop, step)]
    assert swept(f"{start}..{stop}..{step}") == meant
    assert swept(f"range({start},{stop},{step})") == meant
    if step == 1:
        assert swept(f"{start}..{stop}") == swept(f"range({start}, {stop})") == meant


def test_a_range_of_one_value_is_swept_all_the_same():
    assert swept("4..5") == [4]  # `training.batch_seed=0..N` is a column for every N


def test_a_huge_range_costs_nothing():
    grid = parse_sweep(["batch_seed=0..1000000000000", "model.gamma=0.75,1.0", "data_seed=0..1000"])
    assert grid.size == 2 * 10**15
    last = {"batch_seed": 10**12 - 1, "model.gamma": 1.0, "data_seed": 999}
    assert grid.settings(grid.size - 1) == last
    (_, inner), (_, same) = grid.split("model.gamma".__eq__)
    assert inner.size == 10**15 and same == inner
    assert inner.settings(1001) == {"batch_seed": 1, "data_seed": 1}


# ---- the product


@given(columns)
def test_the_product_in_the_order_of_the_words_the_first_slowest(values):
    words = [f"{path}={','.join(map(str, own))}" for path, own in values.items()]
    grid = parse_sweep(words)
    meant = [dict(zip(values, row, strict=True)) for row in itertools.product(*values.values())]
    assert grid.size == len(meant) == math.prod(map(len, values.values()))
    assert rows(grid) == meant
    assert all([*row] == [*values] for row in rows(grid))  # the order of paths too


def test_fixed_and_swept_words_may_be_mixed():
    grid = parse_sweep(["a=1", "b=1,2", "c=x", "d=0..2"])
    assert grid.fixed == (("a", 1), ("c", "x"))
    assert rows(grid)[1] == {"b": 1, "d": 1} and grid.size == 4


def test_no_words_are_one_run():
    grid = parse_sweep([])
    assert grid == Grid() and grid.size == 1 and rows(grid) == [{}]


def test_blanks_around_a_path_are_no_part_of_it():
    assert parse_sweep([" model.gamma = 1.0, 2.0"]).dims[0].paths == ("model.gamma",)


# ---- zip


@given(columns, st.data())
def test_zipped_paths_vary_together_at_the_place_of_the_first(values, data):
    group = data.draw(
        st.lists(st.sampled_from([*values]), unique=True).filter(lambda g: len(g) > 1)
        if len(values) > 1
        else st.just([])
    )
    length = min((len(values[path]) for path in group), default=0)
    values = {p: own[:length] if p in group else own for p, own in values.items()}
    words = [f"{path}={','.join(map(str, own))},".rstrip(",") for path, own in values.items()]
    assume(all(len(own) > 1 for own in values.values()))
    grid = parse_sweep(words, [",".join(group)] if group else [])
    single = [p for p in values if p not in group]
    first = next((p for p in values if p in group), None)
    dims = [p for p in values if p in single or p == first]
    assert [dim.paths[0] if len(dim.paths) == 1 else first for dim in grid.dims] == dims
    meant = []
    for places in itertools.product(*(range(len(values[p])) for p in dims)):
        at = dict(zip(dims, places, strict=True))
        meant.append({p: values[p][at[first if p in group else p]] for p in values})
    assert rows(grid) == meant


def test_a_group_stands_at_its_first_path_in_the_order_of_the_words():
    words = ["a=1,2", "b=1,2", "c=1,2", "d=1,2", "e=1,2"]
    grid = parse_sweep(words, ["d,b", "e,c"])
    assert [set(dim.paths) for dim in grid.dims] == [{"a"}, {"b", "d"}, {"c", "e"}]
    assert grid.size == 8


def test_ranges_are_zipped_with_lists():
    grid = parse_sweep(["gamma=1.5,1.0,0.75", "seed=0..3"], ["gamma, seed"])
    assert rows(grid) == [
        {"gamma": 1.5, "seed": 0},
        {"gamma": 1.0, "seed": 1},
        {"gamma": 0.75, "seed": 2},
    ]


# ---- split


@given(columns, st.data())
def test_split_goes_through_every_combination_once_in_order(values, data):
    static = data.draw(st.sets(st.sampled_from([*values])))
    zipped = data.draw(st.booleans()) and len(values) > 1
    group = [*values][:2]
    if zipped:
        values = {p: own[:2] if p in group else own for p, own in values.items()}
    words = [f"{path}={','.join(map(str, own))}" for path, own in values.items()]
    grid = parse_sweep(words, [",".join(group)] if zipped else [])
    parts = [*grid.split(static.__contains__)]
    found = [{**outer, **own} for outer, inner in parts for own in rows(inner)]
    assert sorted(map(sorted_items, found)) == sorted(map(sorted_items, rows(grid)))
    fixed_together = {p for dim in grid.dims if static & set(dim.paths) for p in dim.paths}
    assert all(set(outer) == fixed_together for outer, _ in parts)
    order = [[row[p] for p in sorted(fixed_together, key=[*values].index)] for row in rows(grid)]
    seen = [[outer[p] for p in sorted(fixed_together, key=[*values].index)] for outer, _ in parts]
    assert seen == [key for i, key in enumerate(order) if key not in order[:i]]


def sorted_items(row):
    return sorted(row.items())


def test_split_of_nothing_static_is_one_program():
    grid = parse_sweep(["a=1,2", "b=1,2"])
    assert [*grid.split(lambda path: False)] == [({}, Grid(grid.dims))]


def test_huge_ranges_are_zipped_at_no_cost():
    grid = parse_sweep(
        ["data_seed=0..1000000000000", "model_seed=5..1000000000005"], ["data_seed,model_seed"]
    )
    assert grid.settings(10**12 - 1) == {"data_seed": 10**12 - 1, "model_seed": 10**12 + 4}


def test_a_path_zipped_with_a_static_one_is_fixed_with_it():
    grid = parse_sweep(["gamma=1.5,1.0", "steps=10,20", "seed=0..3"], ["gamma,steps"])
    outer = [settings for settings, _ in grid.split("steps".__eq__)]
    assert outer == [{"gamma": 1.5, "steps": 10}, {"gamma": 1.0, "steps": 20}]


def test_a_grid_can_be_made_by_hand():
    grid = Grid((Dim(("a", "b"), [(1, 2), (3, 4)]), Dim(("c",), [(0,), (1,)])))
    assert grid.size == 4 and grid.settings(2) == {"a": 3, "b": 4, "c": 0}


# ---- what is refused


@pytest.mark.parametrize(
    "words, zips, says",
    [
        (["model.gamma"], [], "'model.gamma': expected path=value, as in model.gamma=0.75,1.0"),
        (["=5"], [], "'=5': expected path=value"),
        ([" =5"], [], "' =5': expected path=value"),
        ([""], [], "'': expected path=value"),
        (["a=1", "a=2"], [], "a is given twice"),
        (["a=1,2", "a=2"], [], "a is given twice"),
        (["a=1", "a =1,2"], [], "a is given twice"),
        (["training.lr=1", "optimizer.lr=1,2"], [], "twice, the first time as training.lr"),
        (["batch_seed=1,2", "training.batch_seed=3"], [], "twice, the first time as batch_seed"),
        (["a="], [], "'a=': a value is missing"),
        (["a=1,"], [], "'a=1,': a value is missing"),
        (["a=,1"], [], "'a=,1': a value is missing"),
        (["a=1,,2"], [], "'a=1,,2': a value is missing"),
        (["a=[1,2"], [], "'a=[1,2': a bracket or a quotation mark is left open"),
        (["a=1]"], [], "'a=1]': a bracket or a quotation mark is left open"),
        (["a='x"], [], "a bracket or a quotation mark is left open"),
        (["a=0..5..0"], [], "'a=0..5..0': the step of a range must not be 0"),
        (["a=range(0,5,0)"], [], "the step of a range must not be 0"),
        (["a=5..0"], [], "'a=5..0': the range is empty; its end is excluded"),
        (["a=0..0"], [], "the range is empty; its end is excluded"),
        (["a=0..5..-1"], [], "the range is empty; its end is excluded"),
        (["a=1,3..3"], [], "'a=1,3..3': the range is empty"),
        (["a=0..1" + "0" * 30], [], "the range is too long"),
        (["a=0.." + "1" * 5000], [], "the range is too long"),
        (["a=0..1000000000,1"], [], "the range is too long to stand beside other values"),
        (["a=[1,]"], [], "'a=[1,]': a value is missing"),
        (["a={b: 1, b: 2}"], [], "'a={b: 1, b: 2}': key 'b' is given twice"),
        (["a=x: y: z"], [], "'a=x: y: z': not valid YAML"),
        (["a=1,2"], ["a"], "--zip a: takes two paths or more, as in --zip a,b"),
        (["a=1,2"], [""], "takes two paths or more"),
        (["alpha=1,2", "beta=1,2"], ["alpha,bta"], "Did you mean 'beta'?"),
        (["a=1,2", "b=1"], ["a,b"], "unknown swept path in --zip 'b'"),
        (["a=1,2", "b=0..3"], ["a,b"], "as many values of each are needed; a has 2, b has 3"),
        (["a=1,2", "b=1,2", "c=1,2"], ["a,b", "b,c"], "--zip: b is in two groups"),
        (["a=1,2", "b=1,2"], ["a,a"], "--zip: a is in two groups"),
    ],
)
def test_what_is_not_understood_is_one_line_that_names_it(words, zips, says):
    with pytest.raises(FractaljaxError) as error:
        parse_sweep(words, zips)
    assert says in str(error.value) and "\n" not in str(error.value)


@given(st.text(max_size=12) | st.text(alphabet="0.,[]{}'\"-e:=()rang 1", max_size=14))
def test_any_text_is_values_or_one_line(text):
    try:
        grid = parse_sweep([f"some.path={text}"])
    except FractaljaxError as error:
        assert len(str(error).splitlines()) == 1
    else:
        assert grid.size >= 1 and len(grid.fixed) + len(grid.dims) == 1
        grid.settings(grid.size - 1)


# ---- the verbs


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working directory of one's own with a small config."""
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text("steps: 5\n")
    return tmp_path


def run(*words):
    """Exit code of a command."""
    try:
        return cli.main([str(word) for word in words])
    except SystemExit as error:
        return error.code


def job(*words, zips=(), facets=("problem.batch",)):
    """A job of the right form, in which only paths among `facets` are static."""
    grid = parse_sweep(words, zips)
    course: Any = SimpleNamespace(steps=6000)
    batches = [
        family.Batch(settings, course, (*inner.settings(0), "beside"), inner)
        for settings, inner in grid.split(facets.__contains__)
    ]
    paths = {path: path for dim in grid.dims for path in dim.paths}
    setting: Any = SimpleNamespace(course=course)
    return family.Job("gph", "0123456789", setting, grid, batches, paths, None, None)


@pytest.mark.parametrize(
    "line",
    [
        "sweep tiny.yaml a=-1..3 b=1,2,3,4 --zip a,b c=x",
        "sweep --zip=a,b tiny.yaml a=-1..3 b=1,2,3,4 c=x",
        "sweep tiny.yaml --zip a,b a=-1..3 --only one b=1,2,3,4 --dry-run c=x",
        "sweep --only one --zip a,b tiny.yaml a=-1..3 b=1,2,3,4 c=x --chunk 4",
    ],
)
def test_words_keep_their_order_wherever_the_flags_stand(line):
    arguments = parse(line.split())
    assert arguments.config == "tiny.yaml" and arguments.zip == ["a,b"]
    assert arguments.overrides == ["a=-1..3", "b=1,2,3,4", "c=x"]


def test_flags_may_be_repeated():
    flags = ["--zip", "a,b", "--zip=c,d", "--rerun", "x=-1", "--rerun=y=0..3"]
    arguments = parse(["sweep", "tiny.yaml", *flags])
    assert arguments.zip == ["a,b", "c,d"] and arguments.rerun == ["x=-1", "y=0..3"]


REFUSED = {
    "sweep": "CONFIG|DIR|IMAGE",
    "sweep tinny.yaml": "Did you mean 'tiny.yaml'",
    "sweep tiny.yaml steps": "'steps': expected path=value",
    "sweep tiny.yaml --zpi a,b": "Did you mean '--zip'",
    "sweep tiny.yaml --zip": "--zip",
    "sweep tiny.yaml a=1,2 --zip a": "takes two paths or more",
    "sweep tiny.yaml a=1,2 b=1,2,3 --zip=a,b": "a has 2, b has 3",
    "sweep tiny.yaml steps=1,2 max_steps=3": "given twice, the first time as steps",
    "sweep tiny.yaml --rerun steps": "'steps': expected path=value",
    "sweep tiny.yaml --dry-run --rerun steps=5..5": "the range is empty",
    "sweep tiny.yaml --dtype float16": "float16",
    "sweep tiny.yaml --devices many": "--devices",
    "sweep tiny.yaml --chunk 1.5": "--chunk",
    "sweep tiny.yaml --resolution 5": "--resolution",
    "sweep tiny.yaml --workers": "--devices and --chunk",
    "sweep tiny.yaml --workers 4": "the batch is the worker",
    "sweep --workers=0 nowhere.yaml": "there are no workers",
    "merge": "DIR",
    "merge a b": "--out",
    "merge none --out all": "none",
    "merge a --out all --only x": "--only",
    "merge --out all a --workers 4": "--workers",
}


@pytest.mark.parametrize("line", REFUSED)
def test_a_bad_command_is_one_line_and_leaves_nothing(line, folder, capfd):
    assert run(*line.split()) == 2
    out, err = capfd.readouterr()
    assert out == "" and err.count("\n") == 1 and err.startswith("fractaljax: "), (out, err)
    assert REFUSED[line] in err
    assert [path.name for path in folder.iterdir()] == ["tiny.yaml"]


@pytest.mark.parametrize("verb", ["sweep", "merge"])
def test_help_has_examples_and_no_workers(verb, capsys):
    assert run(verb, "--help") == 0
    text = capsys.readouterr().out
    assert "examples:" in text and "--out" in text and "--workers" not in text


def test_a_dry_run_prints_the_plan(folder, monkeypatch, capsys):
    made = job("problem.batch=null,50", "model.gamma=0.75,1.0,1.5", "batch_seed=0..1000")
    rows = [
        family.Planned(batch.settings, 3000, 64, size * 2**20, seconds)
        for batch, size, seconds in zip(made.batches, (12, 2048), (75.0, 3600.0), strict=True)
    ]
    monkeypatch.setattr(family, "prepare", lambda *_, **__: made)
    monkeypatch.setattr(family, "planned", lambda _: rows)
    assert run("sweep", "tiny.yaml", "--dry-run", "--out", "o") == 0
    assert capsys.readouterr().out.splitlines() == [
        "gph: 6,000 runs in 2 programs, 6,000 steps",
        "batched in one program: batch_seed, model.gamma",
        "a program each:         problem.batch",
        "",
        "      runs  chunk    memory         time  settings",
        "     3,000     64    12 MiB   1 min 15 s  problem.batch=null",
        "     3,000     64 2,048 MiB   1 h 00 min  problem.batch=50",
        "",
        "in all 1 h 01 min on this machine, as a short trial says",
    ]
    assert not Path("o").exists()


def progress_of(monkeypatch, *parts, interrupted_at=None):
    """A family that hears of these parts, Ctrl-C during one of them; what it was called with."""
    called = {}

    def ran(_, out, *, on_part, **rest):
        called.update(rest, out=out)
        for i, part in enumerate(parts):
            if i == interrupted_at:
                os.kill(os.getpid(), signal.SIGINT)
            on_part(part)
            called["parts"] = i + 1
        return [None] * parts[-1].total

    monkeypatch.setattr(family, "prepare", lambda *_, **__: job("batch_seed=0..8"))
    monkeypatch.setattr(family, "run", ran)
    monkeypatch.setattr(progress, "LOG_EVERY_S", 0.0)
    return called


PARTS = (
    family.Progress(2, 8, 0, 0.5, 1, 2),
    family.Progress(5, 8, 3, 1.5, 1, 2),
    family.Progress(8, 8, 6, 3.0, 2, 2),
)


def test_progress_and_the_default_place(folder, monkeypatch, caplog, capsys):
    called = progress_of(monkeypatch, *PARTS)
    words = ["--rerun", "batch_seed=0..3", "--rerun", "model.gamma=1e-3", "--overwrite"]
    with caplog.at_level(logging.INFO, "fractaljax"):
        assert run("sweep", "tiny.yaml", *words) == 0
    place = Path("outputs/tiny/gph/0123456789")
    assert capsys.readouterr().out == f"{place}\n"
    again = {"model.gamma": 1e-3, "batch_seed": [0, 1, 2]}
    options = {"out": place, "overwrite": True, "rerun": again, "cluster": None}
    assert called == {**options, "parts": 3}
    assert caplog.messages == [
        "gph: 25.0 %, 2 of 8 are there",
        "gph: 62.5 %, 2.00 runs/s, 2 s left (program 1 of 2)",
        "gph: 100.0 %, 2.00 runs/s, 0 s left (program 2 of 2)",
        "gph: 8 runs",
    ]


@pytest.mark.parametrize(("during", "code", "parts"), [(1, 130, 1), (2, 0, 3)])
def test_ctrl_c_ends_after_the_running_part(during, code, parts, folder, monkeypatch, capsys):
    called = progress_of(monkeypatch, *PARTS, interrupted_at=during)
    before = signal.getsignal(signal.SIGINT)
    assert run("sweep", "tiny.yaml") == code
    assert called["parts"] == parts  # with nothing left to train there is nothing to stop
    assert signal.getsignal(signal.SIGINT) == before
    told = capsys.readouterr()
    assert ("goes on from here" in told.err) == (code == 130) == (told.out == "")


def test_merge_tells_how_far_it_is(folder, monkeypatch, caplog, capsys):
    def merged(folders, out, on_rows):
        assert (folders, out) == (["a", "b"], "all")
        on_rows(1500, 6000)

    monkeypatch.setattr(merging, "merge", merged)
    monkeypatch.setattr(progress, "LOG_EVERY_S", 0.0)
    with caplog.at_level(logging.INFO, "fractaljax"):
        assert run("merge", "a", "b", "--out", "all") == 0
    assert caplog.messages == ["merge: 25.0 %, 1,500 of 6,000 runs"]
    assert capsys.readouterr().out == "all\n"

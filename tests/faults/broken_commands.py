"""Command lines that are bad by construction: a verb, and one thing in them that cannot be.

`{c}` is a good config, `{r}` a result, `{z}` a zoom, `{s}` a sweep, `{p}` a pair, `{t}` a study,
`{g}` a growth experiment, `{a}` an agenda; each line ends in what is wrong.
"""

from typing import Any, NamedTuple

from hypothesis import strategies as st

WHOLE = ["0", "-1", "1.5", "qz", "", "1e3", "nan", "inf", "-9" * 40, "9" * 4400, "1\0", "\x1b[31m"]
REAL = ["0", "-1", "nan", "inf", "-inf", "qz", "", "1e999", "1,5", "\u0661q", "\0"]
TEXT = ["qz", "", "\0", "../qz", "q" * 5000, "\u202eqz", "q\nz", "\udcff"]
SOURCES = ["none.yaml", "", "\0", "q" * 5000, "folder", "folder/..", "loop", "pipe", "/dev/null"]
SOURCES += [
    "/dev/zero",
    "noise.png",
    "noise.tif",
    "noise.yaml",
    "/proc/self/mem",
    "text.txt/x",
    "~qz",
]
PLACES = ["text.txt", "text.txt/below", "/proc/nowhere", "/dev/null", "/dev/null/x", "q" * 5000]
PLACES += ["out\0"]
ENDS = ["1", "1 2", "1 2 3", "1 2 3 4 5", "2 1 0 1", "nan 1 0 1", "0 inf 0 1", "0 1 qz 2"]
ENDS += ["0 400 0 1", "0 1e999 0 1", "1 1 0 1", "-400 0 0 1"]
CENTRES = ["1", "1 2 3", "qz 1", "nan 1", "1 inf", "1e99999999999 0", "999 999", "\0 1"]
OVERRIDES = [
    "stpes=5",
    "model.widthq=4",
    "steps=qz",
    "steps=",
    "steps=[",
    "steps=-1",
    "=5",
    "steps",
]
OVERRIDES += ["steps=1e400", "steps=.nan", "model.width=0", "model.width=1000000000", "steps=.inf"]
OVERRIDES += ["steps=1000000000000000000", "steps=0x" + "f" * 5000, "a\nb=5", "model..width=4"]
OVERRIDES += ["steps=!!python/object/apply:os.system [id]", "steps=\0", "model.width.more=4"]
OVERRIDES += ["optimizer=qz", "dtype=float16", "seed=-1", "\udcff=1", "steps=\udcff", ".=1"]
OVERRIDES += ["steps=" + "[" * 3000, "steps=*a", "steps=2020-01-01", "plugins=[os.qz]"]
OVERRIDES += ["steps=" + "9" * 5000, "steps=" + "x" * 10**6]
ZOOM = "zoom {c} --center 0 0"
SWEPT = ["batch_seed=5..5", "batch_seed=0..10..0", "batch_seed=0..99999999999999999999"]
SWEPT += ["batch_seed=1,,2", "batch_seed=,1", "batch_seed=[1,2", "batch_seed='1", "batch_seed=1)"]
SWEPT += ["batch_seed=-5..0", "batch_seed=0..5.5", "batch_seed=a..b", "batch_seed=qz,1"]
SWEPT += ["batch_seed=0..1000000000000", "model.gamma=1,nan", "window.x=LR", "steps=0..3"]
SWEPT += ["model.widthq=1,2", "batch_seed=1 batch_seed=2", "training.batch_seed=1 batch_seed=2"]
SWEPT += ["batch_seed=0..2000000 data_seed=0..2000000", "steps=5,qz", "metric=[],[]q", "..=1"]
SWEPT += ["batch_seed=range(0,5,0)", "model.hidden_dim=10000000000", "steps=10,1000000000000000000"]


CALLED = {  # flag -> what its value is called where not as the flag is
    "--only": ("experiment",),
    "--cmap": ("colour map",),
    "--aa": ("antialiasing",),
    "--seconds-per-level": ("seconds_per_level",),
    "--axes": ("axes", "window.x"),
    "--window": ("window", "axis"),
    "--center": ("center", "axis"),
    "--zoom": ("zoom", "axis"),
}


class Command(NamedTuple):
    """Words, and what of them is wrong: one of these must be in the message."""

    verb: str
    kind: str
    words: list[str]
    said: tuple[str, ...]


def _flags(verb: str, line: str, flag: str, values: list[str]) -> list[Command]:
    found = []
    for value in values:
        several = flag in ("--window", "--center", "--axes")
        words = [flag, *(value.split(" ") if several else [value])]
        said = (flag, *(_near(value) if flag == "--out" else CALLED.get(flag, (flag[2:],))))
        found.append(Command(verb, f"bad {flag}", [*line.split(), *words], said))
    return found


def _lines(verb: str, kind: str, line: str, ends: list[str], said: tuple = ()) -> list[Command]:
    found = []
    for end in ends:
        extra = end.split(" ") if kind == "bad sweep" else [end]
        near = [w.split("=")[0].split("\n")[0].split(".")[-1] or w[:9] for w in extra if w] or [""]
        found.append(Command(verb, kind, [*line.split(), *extra], (*said, *near)))
    return found


def _training(verb: str, line: str) -> list[Command]:
    found = _flags(verb, line, "--resolution", [*WHOLE, "4x5x6", "x4", "4x", "1048577", "4 4"])
    found += _flags(verb, line, "--window", ENDS)
    found += _flags(verb, line, "--devices", [*WHOLE, "999"]) + _flags(verb, line, "--chunk", WHOLE)
    found += _flags(verb, line, "--tile", [w for w in WHOLE if w != "0"])
    found += _flags(verb, line, "--dtype", TEXT) + _flags(verb, line, "--only", TEXT[:-1])
    found += _flags(
        verb, line, "--axes", ["LRqz", "LR0 LR0", "LR0 LR1 LR", "model.depth", "\0", ""]
    )
    found += _flags(verb, line, "--center", CENTRES)
    found += _flags(verb, line, "--plugin", ["qz_none", "../qz", "", "os.path.qz", "a b", "\0"])
    return found


def _all() -> list[Command]:
    found = [*_training("scan", "scan {c}"), *_training("zoom", ZOOM)]
    found += _flags("scan", "scan {c}", "--zoom", REAL)
    # deeper than any two neighbours differ
    found += [Command("scan", "bad --zoom", ["scan", "{c}", "--zoom", "1e20"], ("zoom", "axis"))]
    found += _flags("zoom", ZOOM, "--levels", [*WHOLE, "999999999"])
    found += _flags("zoom", ZOOM, "--factor", [*REAL, "1", "0.5"])
    found += _flags("zoom", "zoom {c}", "--seed", ["1", *WHOLE])
    for line in ("scan {c}", ZOOM, "show {c}", "bench {c}"):
        verb = line.split()[0]
        known = [word for word in OVERRIDES if verb != "show" or "000000" not in word]
        found += _lines(verb, "bad override", line, known)
    found += _lines("explore", "bad override", "explore {c} --no-open", OVERRIDES)
    found += _lines(
        "sweep", "bad override", "sweep {s}", [w for w in OVERRIDES if "width" not in w]
    )
    found += _lines("sweep", "bad sweep", "sweep {s}", SWEPT)
    found += _lines("sweep", "bad override", "sweep {p}", ["training_b.lrq=1", "shared=qz"])
    found += _lines("sweep", "bad override", "sweep {p}", ["model_c.gamma=1"], ("model_c",))
    zips = ["batch_seed", "batch_seed,qz", "batch_seed,data_seed", ",", "", "batch_seed,batch_seed"]
    found += _flags("sweep", "sweep {s} batch_seed=0..3 data_seed=0..2", "--zip", zips)
    found += _flags(
        "sweep", "sweep {s} batch_seed=0..3", "--rerun", ["qz=1", "batch_seed", "=", "steps"]
    )
    found += _flags("sweep", "sweep {s}", "--workers", ["2", "", "qz"])
    found += _flags("sweep", "sweep {s}", "--chunk", WHOLE) + _flags(
        "sweep", "sweep {s}", "--only", TEXT[:-1]
    )
    overrides = [
        "epochs=0",
        "epochs=qz",
        "epochs=",
        "nameq=1",
        "model.widths=[0]",
        "model.qz=1",
        "epochs",
    ]
    overrides += [
        "epochs=" + "9" * 5000,
        "epochs=.nan",
        "optimizer.lr=-1",
        "epochs=!!binary aa",
        "=",
        "\0=1",
    ]
    overrides += ["epochs=1000000000000", "name=../../qz", "name=", "plugins=qz_none", "a=*b"]
    study = [
        "search.trials=0",
        "search.trials=qz",
        "search.trialsq=1",
        "search.sampler=qz",
        "space.lr=5",
    ]
    study += [
        "space.lr.min=1",
        "space.lr.min=.nan",
        "retrain.seeds=[]",
        "retrain.seeds=[1,1]",
        "steps=5",
    ]
    study += ["search.trials=1000000000000", "architectures=[]", "architectures=[[-1]]", "seed=3"]
    study += ["architectures=[[1000000000]]", "architectures={../../qz: {}}", "transfer.seeds=[-1]"]
    for verb in ("search", "run-transfer"):
        found += _lines(
            verb,
            "bad override",
            f"{verb} {{t}}",
            [*(o for o in overrides if "widths" not in o), *study],
        )
        found += _flags(verb, f"{verb} {{t}}", "--chunk", WHOLE) + _flags(
            verb, f"{verb} {{t}}", "--devices", WHOLE
        )
    grown = [
        "seeds=0",
        "seeds=qz",
        "seeds=[]",
        "seeds=[1,1]",
        "seeds=1000000000000",
        "margin=-1",
        "margin=.nan",
    ]
    grown += [
        "margin=1" + "0" * 400,
        "snapshots=5",
        "arms=5",
        "arms={../../qz: {}}",
        "claims={x: qz}",
        "over=5",
    ]
    grown += [
        "over.model.densityq=[1]",
        "over.model.density=[]",
        "over.model.density=5",
        "measure=qz",
        "window.x=LR",
    ]
    known = [word for word in overrides if not word.startswith("name=")]  # any text makes a folder
    found += _lines("grow", "bad override", "grow {g}", [*known, *grown])
    seeds = [
        "architectures=5",
        "architectures=[[0]]",
        "densities=5",
        "margin=2",
        "best=0",
        "best=qz",
        "best=[",
        "arms=5",
    ]
    seeds += [
        "densities=[]",
        "margin=!!x 1",
        "best=true",
        "architectures=*a",
        "epochs=\0",
        "best=" + "[" * 3000,
    ]
    found += _lines("grow", "bad override", "grow seeds {f}", seeds)
    for flag, values in (("--chunk", WHOLE), ("--devices", WHOLE)):
        found += _flags("grow", "grow {g}", flag, values)
    focus = [
        "grow focus",
        "grow focus qz {g}",
        "grow focus growth",
        "grow focus growth none.yaml",
        "grow focus growth {g} x",
    ]
    found += [Command("grow", "bad words", w.split(), ("focus", "none.yaml")) for w in focus]
    resume = [
        "grow resume",
        "grow resume none.yaml",
        "grow resume folder",
        "grow resume {g}",
        "grow resume a b",
        "grow seeds",
    ]
    found += [
        Command("grow", "bad words", w.split(), ("resume", "snapshot", "fractaljax", "seeds"))
        for w in resume
    ]
    pictures = {"--reading": TEXT[:-1], "--cmap": [t for t in TEXT[:-1] if t], "--stretch": TEXT}
    pictures |= {
        "--aa": [*WHOLE, "1", "9"],
        "--level": WHOLE,
        "--contour": ["qz", "black:", "black:-1", "black:nan", "black:1e9"],
    }
    pictures["--out"] = ["x.qz", "none/x.png", "text.txt/x.png", "\0.png", "x.PNGq"]
    for flag, values in pictures.items():
        found += _flags("render", "render {r}", flag, values)
    found += _flags("render", "render {z}", "--level", ["2", "99", "-1", "qz", "9" * 4400])
    films = {
        "--fps": [*REAL, "1e9"],
        "--seconds-per-level": REAL,
        "--size": [*WHOLE, "0x0", "4x", "9999999999", "4kq"],
    }
    films |= {
        "--codec": TEXT,
        "--reading": TEXT[:-1],
        "--stretch": TEXT,
        "--out": ["x.qz", "none/x.mp4", "text.txt/x.mp4"],
    }
    for flag, values in films.items():
        found += _flags("video", "video {z}", flag, values)
    for flag, values in {
        "--method": TEXT,
        "--pairs": ["5"],
        "--level": ["0", "qz"],
        "--seed": ["1"],
    }.items():
        found += _flags("dimension", "dimension {z}", flag, values)
    trained = "dimension {z} --method uncertainty"
    found += _flags("dimension", trained, "--level", [w for w in WHOLE if w != "0"] + ["9"])
    found += _flags("dimension", trained, "--pairs", [*WHOLE, "1000000000000"]) + _flags(
        "dimension", trained, "--devices", WHOLE
    )
    found += _flags("audit", "audit {z}", "--pixels", [w for w in WHOLE]) + _flags(
        "audit", "audit {z}", "--devices", WHOLE
    )
    found += _flags(
        "explore", "explore {c} --no-open", "--port", ["-1", "65536", "qz", "", "1.5", "9" * 4400]
    )
    found += _flags(
        "explore", "explore {c} --no-open", "--host", ["a..b", "q" * 300 + ".invalid", "\0"]
    )
    found += _flags("explore", "explore {c} --no-open", "--devices", WHOLE)
    found += _flags("bench", "bench {c}", "--devices", [*WHOLE, "999"]) + _flags(
        "bench", "bench {c}", "--dtype", TEXT
    )
    found += _flags("list", "list", "--plugin", ["qz_none", "../qz", "", "a b"])
    found += _lines(
        "list",
        "bad words",
        "list",
        [t for t in TEXT if t] + ["model steps=5"],
        ("role", "argument"),
    )
    found += _lines("merge", "bad words", "merge", ["{m}", ""], ("--out", "argument"))
    found += [
        Command("merge", "bad source", ["merge", "{m}", s, "--out", "all"], _near(s))
        for s in SOURCES
    ]
    found += _flags("merge", "merge {m}", "--out", [p for p in PLACES])
    for verb in ("scan", "zoom", "show", "bench", "explore", "sweep"):
        more = ["--no-open"] if verb == "explore" else []
        found += [
            Command(verb, "bad source", [verb, s, *more], _near(s))
            for s in SOURCES
            if s or verb != "bench"
        ]
    for verb in (
        "search",
        "run-transfer",
        "grow",
        "queue",
        "render",
        "video",
        "dimension",
        "audit",
        "report",
        "transfer",
    ):
        found += [Command(verb, "bad source", [verb, s], _near(s)) for s in SOURCES]
    found += [
        Command("run-transfer", "bad source", ["run-transfer", "--resume", s], _near(s))
        for s in SOURCES
    ]
    found += [
        Command("run-transfer", "bad words", w.split(), ("run-transfer", "--resume"))
        for w in ("run-transfer", "run-transfer {t} --resume folder")
    ]
    for verb, line in (
        ("scan", "scan {c}"),
        ("sweep", "sweep {s}"),
        ("search", "search {t}"),
        ("grow", "grow {g}"),
        ("zoom", ZOOM),
    ):
        found += _flags(verb, line, "--out", PLACES)
    lines = {
        "scan": "{c}",
        "zoom": "{c}",
        "sweep": "{s}",
        "merge": "{m} --out all",
        "search": "{t}",
        "transfer": "{r}",
        "run-transfer": "{t}",
    }
    lines |= {
        "grow": "{g}",
        "queue": "{a}",
        "report": "{r}",
        "render": "{r}",
        "video": "{z}",
        "dimension": "{z}",
        "audit": "{z}",
        "list": "",
        "show": "{c}",
        "bench": "{c}",
        "explore": "{c}",
    }
    unknown = ["--qz", "--qz=1", "--" + "q" * 3000, "-q", "--\0", "--only2", "--outt", "---"]
    for verb, rest in lines.items():
        found += [
            Command(verb, "unknown flag", [verb, *rest.split(), w], (w[:12].rstrip("\0"),))
            for w in unknown
        ]
        found += [
            Command(verb, "unknown word", [verb, *rest.split(), "qz"], ("qz",))
            for _ in range(verb not in ("grow", "merge", "list"))
        ]
    return found


def _near(source: str) -> tuple[str, ...]:
    return (source.strip("\0")[:20],)


COMMANDS = _all()
INNOCENT = {  # what changes nothing about what is wrong, behind the first source of a verb
    ("scan", "zoom"): ["optimizer.momentum=0.5", "--dtype float64", "--chunk 2", "--devices 1"],
    ("bench", "explore"): ["optimizer.momentum=0.5", "--devices 1"],
    ("show",): ["optimizer.momentum=0.5", "seed=7"],
    ("sweep",): ["optimizer.lr=0.001", "--devices 1", "--chunk 4"],
    ("search", "run-transfer"): ["search.draw_seed=2", "--devices 1", "--chunk 4"],
    ("grow",): ["question=why", "--devices 1", "--chunk 4"],
}


@st.composite
def commands(draw: Any) -> Command:
    """Any of these, some with innocent words beside what is wrong."""
    found = draw(st.sampled_from(COMMANDS))
    known = next((words for verbs, words in INNOCENT.items() if found.verb in verbs), [])
    said = (*found.words, *(f"--{word}" for word in found.said))  # no other value of what is wrong
    known = [word for word in known if word.split()[0] not in said]
    if found.kind in ("bad words", "bad source") or "seeds" in found.words or not known:
        return found
    beside = draw(st.lists(st.sampled_from(known), unique=True, max_size=2))
    first, rest = found.words[:2], found.words[2:]
    return found._replace(words=[*first, *" ".join(beside).split(), *rest])

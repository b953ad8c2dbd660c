"""A few clients for six seconds; `benchmarks/soak.py` has fifty of them for ten minutes."""

import os
import sys
from pathlib import Path

import pytest

from fractaljax.explorer import maps

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import soak


@pytest.mark.slow
@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="memory is read from /proc")
def test_a_server_stands_a_few_clients(monkeypatch, tmp_path):
    monkeypatch.setattr(soak, "SETTINGS", soak.SETTINGS[::3])
    assert len(soak.SETTINGS) + 1 > maps.MOST_OPEN
    found = soak.soak(6, minutes=1 / 10, folder=tmp_path, cache=os.environ["XDG_CACHE_HOME"])
    told = soak.table(found)
    assert not found.broken, told
    kinds = {kind.split()[0] for kind, n in found.answers.items() if n}
    assert {"tile", "click", "page", "status", "refused"} <= kinds, told
    assert not [k for k in found.answers if k.startswith("refused") and k.endswith("200")], told
    late = found.late()
    assert max(s.files for s in late) < min(s.files for s in found.samples) + 60, told
    assert max(s.threads for s in late) < 100, told
    assert late[-1].memory < 1.5 * late[0].memory, told

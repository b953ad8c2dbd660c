"""What was measured here, and a user who has no place to keep it in."""

from pathlib import Path

import pytest

from fractaljax import machine
from fractaljax.engine import wisdom
from fractaljax.parts import images

ENTRY = {"kernel": "xla", "chunk": 8}


def test_what_is_remembered_is_recalled(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "cache_folder", lambda: tmp_path / "cache")
    wisdom.remember("one", ENTRY)
    wisdom.remember("other", {})
    assert wisdom.recall("one") == ENTRY and wisdom.recall("third") is None
    (tmp_path / "cache" / "wisdom.json").write_text("[")
    assert wisdom.recall("one") is None


def test_without_a_home_nothing_is_kept_and_nothing_fails(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "cache_folder", lambda: None)
    monkeypatch.chdir(tmp_path)
    wisdom.remember("one", ENTRY)
    assert wisdom.recall("one") is None
    assert images._cache_path("digits", []) is None
    assert not list(tmp_path.iterdir())


def test_no_home_is_no_folder(monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME")

    def homeless():
        raise RuntimeError("no home")

    monkeypatch.setattr(Path, "home", homeless)
    assert machine.cache_folder() is None


@pytest.mark.parametrize("base", ["/some/where", "cache"])
def test_the_folder_is_where_the_user_keeps_caches(base, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", base)
    assert machine.cache_folder() == Path(base) / "fractaljax"

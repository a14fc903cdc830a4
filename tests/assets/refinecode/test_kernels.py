"""Set-up compiles kernels exactly when their compiled code is missing or old."""

import os
from pathlib import Path

import pytest

from assets.refinecode.kernels import HERE, LATER, compiled


@pytest.mark.parametrize("elsewhere", [False, True])
def test_compiled_code_is_missed_and_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, elsewhere: bool
) -> None:
    sources, cache = tmp_path / "sources", tmp_path / "sources" / "__pycache__"
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    if elsewhere:
        cache = tmp_path / "cache"
        monkeypatch.setenv("NUMBA_CACHE_DIR", str(cache))
    (cache / "hashed").mkdir(parents=True)
    sources.mkdir(exist_ok=True)
    (sources / "plain.py").write_text("def f(): ...\n")
    assert compiled(sources)
    kernel = sources / "kernel.py"
    kernel.write_text("@njit(cache=True)\ndef f(): ...\n")
    assert not compiled(sources)
    (cache / "hashed" / "kernel.f-2.py311.nbi").touch()
    assert compiled(sources)
    os.utime(kernel, (2e9, 2e9))  # edited later
    assert not compiled(sources)


def test_the_module_left_for_later_is_still_there() -> None:
    assert [p.stem for p in HERE.rglob("*.py") if p.stem == LATER] == [LATER]

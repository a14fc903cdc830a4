"""Chinese words and simplified characters against jieba and zhconv themselves."""

from __future__ import annotations

import builtins
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.refinecode.filters import chinese
from assets.refinecode.filters.segments import Prefixes, replace

pieces = st.sampled_from(
    [
        "我们",
        "今天",
        "去北京大学",
        "資料庫",
        "韓冰",
        "是个",
        "程序员",
        "头发",
        "發展",
        "中",
        "龘",
        "靐",
        "一",
        "A",
        "AT&T",
        "c++",
        "1.25%",
        "B超",
        "_",
        "-",
        "+",
        ".",
        "3.",
        "%",
        "，",
        "。",
        "é",
        "鿕",
        "鿿",
        "𠀀",
        "16進位",
        "乾坤一擲",
        "皇后",
        "\ud800",
        "\n",
        "\u3000",
        "",
    ]
)
texts = st.lists(pieces, max_size=25).map("".join) | st.text(
    st.characters(min_codepoint=0x4E00, max_codepoint=0x9FFF), max_size=40
)


@settings(deadline=None, max_examples=150)
@given(texts)
def test_words_are_those_of_jieba(text: str) -> None:
    jieba = pytest.importorskip("jieba")
    expected = [
        word for line in text.split("\n") for word in jieba.lcut(line) if not word.isspace()
    ]
    assert chinese.tokenize(text) == expected


@settings(deadline=None, max_examples=150)
@given(texts)
def test_simplified_text_is_that_of_zhconv(text: str) -> None:
    zhconv = pytest.importorskip("zhconv")
    assert chinese.simplified(text) == zhconv.convert(text, "zh-cn")


def test_without_the_packages_text_is_cut_at_signs(monkeypatch: pytest.MonkeyPatch) -> None:
    load = builtins.__import__

    def without(name: str, *args: object) -> object:
        if name.split(".")[0] in ("jieba", "zhconv"):
            raise ImportError(name)
        return load(name, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", without)
    chinese._converter.cache_clear()
    chinese._segmenter.cache_clear()
    try:
        assert chinese.simplified("資料庫") == "資料庫"
        assert chinese.tokenize("资料，x_1 y") == ["资料", "，", "x_1", "y"]
    finally:
        chinese._converter.cache_clear()
        chinese._segmenter.cache_clear()


def test_the_longest_phrase_is_replaced() -> None:
    phrases = Prefixes.of(["ab", "abcd", "b"], [0, 1, 2])
    assert replace("abcabcdb", phrases, ["1", "2", "3"]) == "1c23"
    assert replace("", phrases, []) == ""


@pytest.mark.parametrize(
    "text", ["中" * 333_333, "龘靐" * 166_666, "中a1.%" * 125_000, "資料" * 166_666]
)
def test_a_megabyte_takes_linear_time(text: str) -> None:
    pytest.importorskip("jieba")
    pytest.importorskip("zhconv")
    chinese.tokenize(chinese.simplified("中"))
    start = time.process_time()
    chinese.tokenize(chinese.simplified(text))
    assert time.process_time() - start < 1.0

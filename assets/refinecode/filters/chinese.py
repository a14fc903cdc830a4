"""Chinese text: simplified characters and words, if the extra ``zh`` is installed.

Words have no spaces between them, so they are found with a dictionary (jieba's), after zhconv's
table has made the characters simplified. Only the data of the two packages are used, when first
needed (about 2 s); ``segments`` does the work. Without the packages the text stays as it is and is
cut at signs and white space (paper appendix A: the zh table of text rules).
"""

from __future__ import annotations

import functools
import logging
import math
from collections.abc import Callable

import numpy as np

from assets.refinecode.filters import segments
from assets.refinecode.filters.segments import IMPOSSIBLE, STATES, Model, Prefixes

logger = logging.getLogger(__name__)

#: jieba's ideographs.
_IDEOGRAPHS = range(0x4E00, 0x9FD6)


def simplified(text: str) -> str:
    """The text in simplified characters; unchanged without zhconv.

    >>> simplified("資料庫")
    '数据库'
    """
    return _converter()(text)


def tokenize(text: str) -> list[str]:
    """Words and signs of a text, white space left out.

    >>> tokenize("我来到北京清华大学")
    ['我', '来到', '北京', '清华大学']
    """
    return _segmenter()(text)


@functools.cache
def _converter() -> Callable[[str], str]:
    try:
        from zhconv import zhconv
    except ImportError:
        logger.debug("zhconv is not installed (extra 'zh'): Chinese text is not simplified")
        return str
    table = zhconv.getdict("zh-cn")
    phrases = Prefixes.of(table, range(len(table)))
    replacements = list(table.values())
    return lambda text: segments.replace(text, phrases, replacements)


@functools.cache
def _segmenter() -> Callable[[str], list[str]]:
    try:
        import jieba
        from jieba import finalseg
    except ImportError:
        from assets.refinecode.filters.words import wordpunct

        logger.debug("jieba is not installed (extra 'zh'): Chinese text is not cut into words")
        return wordpunct
    jieba.setLogLevel(logging.WARNING)
    jieba.initialize()
    log_total = math.log(jieba.dt.total)
    # Jieba's dictionary has the prefixes of its words, with frequency 0.
    frequencies = {word: number for word, number in jieba.dt.FREQ.items() if word and number}
    words = Prefixes.of(
        frequencies, (math.log(number) - log_total for number in frequencies.values())
    )
    model = Model(
        start=np.array([finalseg.start_P[state] for state in STATES]),
        step=np.array(
            [[finalseg.trans_P[one].get(two, IMPOSSIBLE) for two in STATES] for one in STATES]
        ),
        emit=np.array(
            [
                [finalseg.emit_P[state].get(chr(point), IMPOSSIBLE) for state in STATES]
                for point in _IDEOGRAPHS
            ]
        ),
    )
    unknown = math.log(1) - log_total
    return lambda text: segments.segment(text, words, unknown, model)

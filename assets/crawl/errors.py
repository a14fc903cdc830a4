"""The one error of the crawl: a source that cannot be had as it was asked for.

What lies *inside* a source never raises: a hostile or broken member becomes a decision. Only a
source as a whole (a package, a folder, a checkout) that is missing or wrong stops a crawl.
"""


class CrawlError(RuntimeError):
    """Names the source, what was expected, what was found, and what to do about it."""

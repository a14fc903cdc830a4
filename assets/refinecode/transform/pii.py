"""Mask personal and secret data: e-mails, public IP addresses, passwords, keys (paper 2.1.1).

Each kind first looks for a literal that it cannot do without (an ``@``, a token prefix), then
matches a bounded pattern around it, so any text takes linear time. Placeholders match no pattern:
masking twice changes nothing more.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable

EMAIL, IP, PASSWORD, KEY = "<email>", "<ip>", "<password>", "<key>"

_LOCAL_PART = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._%+\-]{0,62}[A-Za-z0-9_+\-])?\Z")
_DOMAIN = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9\-]{0,61}[A-Za-z0-9])?\.){1,8}([A-Za-z]{2,24})\b")
#: Ends of ``name@thing.x`` that are files or code, not domains.
_NO_DOMAINS = frozenset(
    [
        *("png", "jpg", "jpeg", "gif", "svg", "webp", "ico", "css", "js", "ts", "jsx", "tsx"),
        *("py", "rb", "go", "java", "json", "yaml", "yml", "toml", "html", "xml", "md", "txt"),
        *("zip", "gz", "tgz", "tar", "so", "dll", "exe"),
        *("service", "socket", "timer", "target", "mount", "local"),
    ]
)

# Both start with a plain character class, which the engine scans for fast; what stands before a
# match is looked at afterwards.
_IPV4 = re.compile(r"[0-9][0-9]{0,2}(?:\.[0-9]{1,3}){3}(?![\w\-]|\.[\w])")
_VERSION_BEFORE = re.compile(
    r"(?:versions?|ver|v|release|rev|oid|since|section|build)[\s\"':=(]{0,4}\Z", re.IGNORECASE
)
_IPV6 = re.compile(r"[23][0-9A-Fa-f]{3}(?::{1,2}[0-9A-Fa-f]{1,4}){1,7}(?::{2})?(?![\w:])")

_ASSIGNED = re.compile(
    r"""(?<![A-Za-z])(?:[A-Za-z0-9]{1,30}[_\-.])?(?:password|passwd|passphrase|pwd)
    (?:[_\-][a-z0-9]{1,12})?["']?\]?\s{0,4}(?::=|=>|=|:)(?!=)\s{0,4}
    (["'])((?:(?!\1)[^\n\\]){4,128})\1""",
    re.IGNORECASE | re.VERBOSE,
)
_URL_LOGIN = re.compile(r"(?<=://)([A-Za-z0-9._%\-]{1,64}):([^\s:/@\"'<>{}$%]{3,128})@(?=[\w.\-])")
#: A value that is itself a placeholder, a template or a name of something else.
_NO_SECRET = re.compile(
    r"\A(?:[<{$%(\[]|\*+\Z|\.{3}|x+\Z)|[\s{}]|(?:passwords?|passwd|passphrase|pwd)\Z",
    re.IGNORECASE,
)

_PRIVATE_KEY = re.compile(
    r"-----BEGIN (?:[A-Z0-9]{2,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----"
    r"(?:[^<>\-]|-(?!----)){16,16384}+-----END (?:[A-Z0-9]{2,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----"
)
#: (literals of which one must occur, pattern) of well-known token forms.
_TOKENS: tuple[tuple[tuple[str, ...], re.Pattern[str]], ...] = (
    (("AKIA", "ASIA"), re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b")),
    (("ghp_", "gho_", "ghu_", "ghs_", "ghr_"), re.compile(r"\bgh[pousr]_[A-Za-z0-9]{36,255}\b")),
    (("github_pat_",), re.compile(r"\bgithub_pat_[A-Za-z0-9_]{22,255}\b")),
    (("glpat-",), re.compile(r"\bglpat-[A-Za-z0-9_\-]{20,64}")),
    (("xox",), re.compile(r"\bxox[abprs]-[A-Za-z0-9\-]{10,255}")),
    (("AIza",), re.compile(r"\bAIza[0-9A-Za-z_\-]{35}(?![\w\-])")),
    (("sk_live_", "rk_live_"), re.compile(r"\b[sr]k_live_[0-9A-Za-z]{16,255}\b")),
    (("sk-",), re.compile(r"\bsk-(?:proj-|ant-)?[A-Za-z0-9_]{32,255}\b")),
    (("npm_",), re.compile(r"\bnpm_[A-Za-z0-9]{36}\b")),
    (("pypi-AgEI",), re.compile(r"\bpypi-AgEI[A-Za-z0-9_\-]{50,1024}")),
    (("hf_",), re.compile(r"\bhf_[A-Za-z]{34}\b")),
    (("eyJ",), re.compile(
        r"\beyJ[A-Za-z0-9_\-]{10,4096}+\.eyJ[A-Za-z0-9_\-]{10,4096}+\.[A-Za-z0-9_\-]{10,4096}+")),
)  # fmt: skip


def mask_pii(content: str) -> tuple[str, dict[str, int]]:
    """(text with placeholders, how many of each kind: key, password, email, ip; none is left out).

    >>> mask_pii("mail bob@mail.org from 93.184.216.34, not 127.0.0.1")
    ('mail <email> from <ip>, not 127.0.0.1', {'email': 1, 'ip': 1})
    """
    counts: dict[str, int] = {}
    steps: tuple[tuple[str, Callable[[str], tuple[str, int]]], ...] = (
        ("key", _mask_keys),
        ("password", _mask_passwords),
        ("email", _mask_emails),
        ("ip", _mask_addresses),
    )
    for name, step in steps:
        content, count = step(content)
        if count:
            counts[name] = count
    return content, counts


def _mask_keys(content: str) -> tuple[str, int]:
    total = 0
    if "PRIVATE KEY" in content:
        content, total = _PRIVATE_KEY.subn(KEY, content)
    for literals, pattern in _TOKENS:
        if any(literal in content for literal in literals):
            content, count = pattern.subn(KEY, content)
            total += count
    return content, total


def _mask_passwords(content: str) -> tuple[str, int]:
    count = 0

    def mask(match: re.Match[str], value: str) -> str:
        nonlocal count
        if _NO_SECRET.search(value):
            return match[0]
        count += 1
        start = match.start(2) - match.start()
        return match[0][:start] + PASSWORD + match[0][start + len(value) :]

    lower = content.lower()
    if "passw" in lower or "passphrase" in lower or "pwd" in lower:
        content = _ASSIGNED.sub(lambda match: mask(match, match[2]), content)
    if "://" in lower and "@" in lower:
        content = _URL_LOGIN.sub(lambda match: mask(match, match[2]), content)
    return content, count


def _mask_emails(content: str) -> tuple[str, int]:
    pieces: list[str] = []
    done = 0
    at = content.find("@")
    while at >= 0:
        domain = _DOMAIN.match(content, at + 1)
        if domain and domain[1].lower() not in _NO_DOMAINS:
            window = max(done, at - 64)
            local = _LOCAL_PART.search(content[window:at])
            if local and not _is_example(domain[0]):
                pieces += [content[done : window + local.start()], EMAIL]
                done = domain.end()
        at = content.find("@", max(at + 1, done))
    if not pieces:
        return content, 0
    return "".join([*pieces, content[done:]]), len(pieces) // 2


def _is_example(domain: str) -> bool:
    """Domains reserved for documentation (RFC 2606) name nobody."""
    labels = domain.lower().split(".")
    return labels[-1] in ("example", "invalid", "test", "localhost") or (
        labels[-2] == "example" and labels[-1] in ("com", "org", "net")
    )


def _mask_addresses(content: str) -> tuple[str, int]:
    count = 0

    def mask(match: re.Match[str]) -> str:
        nonlocal count
        before = content[max(0, match.start() - 16) : match.start()]
        joints = ("_", ".", ":") if ":" in match[0] else ("_", ".", "-")
        inside = before[-1:].isalnum() or before.endswith(joints)
        if inside or not _is_public(match[0]) or _VERSION_BEFORE.search(before):
            return match[0]
        count += 1
        return IP

    masked = _IPV4.sub(mask, content)
    if ":" in content:
        content = masked
        masked = _IPV6.sub(mask, content)
    return masked, count


def _is_public(text: str) -> bool:
    """A routable address of a host: not private, loop-back, documentation or multicast.

    Four small numbers are a version, a section or an OID far more often than a host (and the
    hosts among them, such as 8.8.8.8, are public resolvers); a last zero is a network.
    """
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv4Address) and (
        max(address.packed) < 32 or address.packed[3] == 0
    ):
        return False
    return address.is_global and not address.is_multicast

"""Licence headers go, code stays; personal data is masked, look-alikes are not."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.documents import content_digest
from assets.recipe import Transform
from assets.refinecode import transformed
from assets.refinecode.transform.copyright import cut_copyright
from assets.refinecode.transform.pii import mask_pii
from tests.assets.refinecode.conftest import document, outcome

HEADERS = {
    "python": ("#!/usr/bin/env python\n# -*- coding: utf-8 -*-\n# Copyright (c) 2020 A\n#\n"
               "# MIT License\n\nimport os\n",
               "#!/usr/bin/env python\n# -*- coding: utf-8 -*-\nimport os\n"),
    "c": ("/*\n * Copyright 2019 B.\n * All rights reserved.\n */\n\n"
          "/* SPDX-License-Identifier: MIT */\n#pragma once\n",
          "#pragma once\n"),
    "go": ("// Copyright 2019 The X Authors.\n// Licensed under Apache.\n\n"
           "//go:build linux\n\npackage x\n",
           "//go:build linux\n\npackage x\n"),
    "javascript": ("/*! @license MIT */ var a = 1;\n", " var a = 1;\n"),
    "php": ("<?php\n/* Copyright (C) 2001 */\necho 1;\n", "<?php\necho 1;\n"),
    "xml": ('<?xml version="1.0"?>\n<!-- Copyright 2011 C -->\n<a/>\n',
            '<?xml version="1.0"?>\n<a/>\n'),
    "sql": ("-- Copyright 2020 D\n-- more\nSELECT 1;\n", "SELECT 1;\n"),
    "css": ("/* (c) 2012 E */\r\na { b: c }\r\n", "a { b: c }\r\n"),
    "haskell": ("{- Licensed under BSD -}\nmodule A where\n", "module A where\n"),
    "ruby": ("# frozen_string_literal: true\n# Copyright 2020 F\n\nputs 1\n",
             "# frozen_string_literal: true\nputs 1\n"),
}  # fmt: skip


@pytest.mark.parametrize("language", HEADERS)
def test_headers_are_cut(language: str) -> None:
    before, after = HEADERS[language]
    assert cut_copyright(before, language)[0] == after


@pytest.mark.parametrize(
    ("language", "content"),
    [
        ("python", "# A parser of licence files.\nimport license\n"),
        ("python", '"""Copyright 2020: a docstring is code."""\n'),
        ("python", "import os\n# Copyright 2020 A\n"),
        ("c", "/* Copyright 2020, never closed\nint x;\n"),
        ("c", "/** Frees the list. */\n/* Copyright 2020 */\n"),
        ("text", "Copyright 2020 A\n"),
        ("no such language", "# Copyright 2020 A\n"),
        ("python", ""),
    ],
)
def test_other_beginnings_stay(language: str, content: str) -> None:
    assert cut_copyright(content, language) == (content, 0)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("mail jane.doe+x@mail.company.co.uk.", "mail <email>."),
        ("git@github.com:a/b", "<email>:a/b"),
        ("peer 93.184.216.34:80", "peer <ip>:80"),
        ("at 2607:f8b0:4000:80e::200e ok", "at <ip> ok"),
        ('password = "hunter42"', 'password = "<password>"'),
        ("db_passwd: 's3cr3t!'", "db_passwd: '<password>'"),
        ("postgres://bob:tiger9@db/x", "postgres://bob:<password>@db/x"),
        ("k = 'AKIAIOSFODNN7EXAMPLE'", "k = '<key>'"),
        ("t = ghp_" + "a1" * 18, "t = <key>"),
        ("-----BEGIN RSA PRIVATE KEY-----\n" + "QUJD\n" * 9 + "-----END RSA PRIVATE KEY-----\n",
         "<key>\n"),
    ],
)  # fmt: skip
def test_personal_data_is_masked(before: str, after: str) -> None:
    assert mask_pii(before)[0] == after


@pytest.mark.parametrize(
    "content",
    [
        "@decorator\ndef a(self): pass",
        "icon@2x.png and user@service.socket and me@example.com",
        "127.0.0.1 10.1.2.3 192.168.0.1 203.0.113.7 0.0.0.0 255.255.255.0",
        "version 93.184.216.34 and 1.2.3.4 and 7.18.4.1 and 1.300.2.3 and 93.1.2.3.4.5",
        "2001:db8::1 fe80::1 std::vector x[1::2] 12:30:45",
        'password = ""  # password: "{{ secret }}"; password="${PASS}"; x.password == "abcd"',
        'PASSWORD = "password"',
        "https://<user>:<password>@host/",
    ],
)
def test_look_alikes_stay(content: str) -> None:
    assert mask_pii(content) == (content, {})


_SNIPPETS = st.sampled_from([
    "# Copyright 2020 A\n", "/* (c) 2019 */", "\n", "a@b.org", "@", "93.184.216.34", "password='",
    "abcd'", "-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----", "x" * 20, "*/", "<?php",
    "#!/bin/sh\n", " ", ".", "1", ":", "://u:secret@h", "eyJ" + "a" * 12, "<email>",
    "# coding: x\n",
])  # fmt: skip


@given(
    st.lists(_SNIPPETS, max_size=14).map("".join), st.sampled_from(["python", "c", "php", "xml"])
)
@settings(max_examples=200, deadline=None)
def test_transforming_twice_is_transforming_once(content: str, language: str) -> None:
    once, _ = transformed.transform_text(content, language, Transform())
    assert transformed.transform_text(once, language, Transform()) == (once, {})


@pytest.mark.parametrize(
    "content",
    [
        "x" * 8_000_000,
        "a@" * 250_000,
        "1." * 500_000,
        "eyJ" + "a." * 500_000,
        "password='" * 60_000,
        "# copyright \n" * 200_000,
        "-----BEGIN PRIVATE KEY-----" * 40_000,
        "2001:" * 80_000,
        "\0" * 1_000_000,
        "://a:b" * 100_000 + "@",
    ],
    ids=lambda text: repr(text[:12]),
)
def test_hostile_text_takes_bounded_time(content: str) -> None:
    started = time.process_time()
    transformed.transform_text(content, "python", Transform())
    assert time.process_time() - started < 4


@pytest.mark.spark
def test_stage_changes_content_and_keeps_ids(
    spark: Any, write: Callable[..., Path], tmp_path: Path
) -> None:
    both = document("# Copyright 2020 A\nmail = 'bob@mail.org'\n")
    mail = document("mail = 'bob@mail.org'\n", path="b.py")
    clean = document("x = 1\0\n", path="c.py")
    rows = [both, mail, clean]
    transformed.run(tmp_path, documents=write(rows, files=2), params=Transform(), spark=spark)
    kept, judged = outcome(tmp_path, rows, transformed.STAGE)
    assert len(kept) == 3
    said = {i: (r["verdict"], r["reason"], r["detail"]) for i, r in judged.items()}
    assert said[both["doc_id"]] == ("changed", "copyright", "copyright=1;email=1")
    assert said[mail["doc_id"]] == ("changed", "pii", "email=1")
    row = kept[both["doc_id"]]
    assert row["content"] == "mail = '<email>'\n"
    assert row["content_sha256"] == content_digest(row["content"]) and row["size_bytes"] == 17

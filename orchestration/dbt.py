"""dbt of the running environment, started without asking it what is known already.

Before each command, dagster-dbt runs ``dbt --version`` and builds a database adapter for its own
queries (row counts, column metadata). The version is that of the installed package, and nothing
here asks for such queries; together they took half as long as the command itself.
"""

from functools import cached_property
from importlib.metadata import version
from typing import Any

from dagster_dbt import DbtCliResource
from packaging.version import Version


class InstalledDbt(DbtCliResource):
    """``DbtCliResource`` for the dbt-core beside this interpreter, without metadata queries."""

    @cached_property
    def _cli_version(self) -> Version:
        return Version(version("dbt-core"))

    def _initialize_dbt_core_adapter(self, args: Any) -> Any:
        return None

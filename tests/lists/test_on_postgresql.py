"""Lists and searches say the same on PostgreSQL."""

import pytest

from tests.postgres import RUN_SECONDS, run_with

pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("processes")]


@pytest.mark.timeout(RUN_SECONDS)
def test_lists_and_searches_hold_on_postgresql(postgres_url):
    run_with(
        postgres_url,
        "tests/lists/test_words.py",
        "tests/lists/test_found_pages.py",
        "tests/lists/test_in_step.py",
        "tests/lists/test_filters.py",
        "tests/lists/test_search_migration.py",
        "tests/api/test_job_lists.py",
    )

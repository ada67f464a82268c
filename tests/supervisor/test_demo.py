"""The demo's row: only where there is nothing else."""

import pytest

from dispatch.models import Server
from mobilesd.supervisor import demo
from tests import factories

pytestmark = pytest.mark.django_db


def test_is_registered_where_there_is_no_other_server():
    assert demo.register()
    row = Server.objects.get()
    assert (row.alias, row.demo, row.enabled) == ("demo", True, True)
    assert demo.port_to_serve() == int(row.url.rsplit(":", 1)[1])


def test_a_later_start_uses_the_same_row_at_a_free_port_and_forgets_its_health():
    demo.register()
    Server.objects.update(health="offline", failures_in_row=3, url="http://127.0.0.1:1")
    assert demo.register()
    row = Server.objects.get()
    assert row.url != "http://127.0.0.1:1"
    assert (row.health, row.failures_in_row) == ("unknown", 0)


def test_is_not_wanted_beside_another_server_even_a_disabled_one():
    demo.register()
    factories.server("gpu", enabled=False)
    assert not demo.register()
    assert not Server.objects.get(alias="demo").enabled
    assert demo.port_to_serve() is None


def test_a_real_server_that_is_called_demo_is_never_touched():
    factories.server("demo", url="http://10.0.0.1:7860")
    assert not demo.register()
    demo.retire()
    row = Server.objects.get()
    assert (row.url, row.enabled, row.demo) == ("http://10.0.0.1:7860", True, False)


def test_serves_until_what_it_began_is_cleared():
    demo.register()
    attempt = factories.attempt(server_alias="demo")
    demo.retire()
    assert demo.port_to_serve() is not None
    attempt.cleared_at = attempt.created_at
    attempt.save()
    assert demo.port_to_serve() is None


def test_nothing_to_serve_without_a_row():
    demo.retire()
    assert demo.port_to_serve() is None

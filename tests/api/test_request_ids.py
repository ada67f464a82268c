"""Each request has an id, by which its answer, log lines and errors are found again."""

import asyncio
import logging

import pytest
from django.db import transaction
from django.http import HttpResponse
from django.test import RequestFactory

from jobs.events import emit
from jobs.models import Event
from mobilesd.http.request_ids import RequestIdFilter, RequestIdMiddleware, request_id
from tests.api.conftest import Api


@pytest.mark.parametrize("given", ["abc", "A.b_c-9", "x" * 64])
def test_a_sane_id_is_taken(given):
    assert Api().get("/status", headers={"X-Request-ID": given}).headers["X-Request-ID"] == given


@pytest.mark.parametrize("given", ["", "a b", "x" * 65, "a\nb", "<b>", "ä"])
def test_anything_else_is_replaced(given):
    made = Api().get("/status", headers={"X-Request-ID": given}).headers["X-Request-ID"]
    assert made != given
    assert len(made) == 16


def test_ids_are_not_shared():
    one, two = (Api().get("/status").headers["X-Request-ID"] for _ in range(2))
    assert one != two


def test_the_id_is_that_of_the_log_lines_of_a_request():
    record = logging.LogRecord("x", logging.INFO, "f", 1, "m", None, None)
    seen = []

    def view(request):
        RequestIdFilter().filter(record)
        seen.append(record.request_id)
        return HttpResponse()

    answer = RequestIdMiddleware(view)(RequestFactory().get("/"))
    assert seen == [answer.headers["X-Request-ID"]]
    RequestIdFilter().filter(record)
    assert record.request_id == "-"


def test_it_works_in_an_async_stack_too():
    async def view(request):
        await asyncio.sleep(0)
        return HttpResponse(request_id())

    async def both():
        stack = RequestIdMiddleware(view)
        return await asyncio.gather(*(stack(RequestFactory().get("/")) for _ in range(2)))

    answers = asyncio.run(both())
    assert [a.content.decode() for a in answers] == [a.headers["X-Request-ID"] for a in answers]
    assert answers[0].content != answers[1].content


def test_the_events_of_a_request_carry_its_id(api):
    body = {"generation_params": {"positive_prompt": "a cat"}}
    api.send("POST", "/api/v2/generate", body, **{"X-Request-ID": "one"})
    api.send("POST", "/api/v2/generate/bulk", {**body, "bulk_quantity": 2}, **{"X-Request-ID": "b"})
    assert [event.payload["request_id"] for event in Event.objects.order_by("pk")] == [
        "one",
        "b",
        "b",
    ]


@pytest.mark.django_db
def test_events_outside_of_requests_carry_none():
    with transaction.atomic():
        emit("server.status", {"alias": "gpu"}, public=True)
    assert Event.objects.get().payload == {"alias": "gpu"}

"""What a server is expected to take for work that it never did: told by the others of its kind."""

import pytest
from django.utils import timezone

from dispatch import projection
from dispatch.models import Timing
from dispatch.speeds import by_checkpoint, filled
from jobs.models import QueueSettings
from tests import factories

X, Y, Z = ("txt2img", "x"), ("txt2img", "y"), ("img2img", "x")


def test_what_it_learned_itself_stays():
    assert filled({X: 2.0}, [{X: 9.0}]) == {X: 2.0}


def test_others_are_scaled_by_what_both_ran():
    assert filled({X: 2.0}, [{X: 1.0, Y: 3.0, Z: 4.0}]) == {X: 2.0, Y: 6.0, Z: 8.0}


def test_of_several_others_the_mean_counts():
    found = filled({X: 2.0}, [{X: 1.0, Y: 3.0}, {X: 4.0, Y: 20.0}])
    assert found[Y] == pytest.approx(8.0)


def test_one_that_never_ran_anything_is_like_the_others():
    assert filled({}, [{X: 1.0}, {X: 3.0, Y: 5.0}]) == {X: 2.0, Y: 5.0}


def test_one_with_nothing_in_common_tells_nothing():
    assert filled({X: 2.0}, [{Y: 3.0}]) == {X: 2.0}


def test_an_unknown_upscaler_is_like_those_that_are_known_and_no_checkpoint_is():
    found = filled({X: 2.0, ("upscale", "Lanczos"): 1.0, ("upscale", "DAT"): 9.0}, [])
    assert found["upscale", ""] == 5.0
    assert by_checkpoint(found) == {"x": 2.0}


def test_a_server_that_only_upscaled_is_like_the_others_for_pictures():
    assert filled({("upscale", "DAT"): 9.0}, [{X: 2.0}])[X] == 2.0


@pytest.mark.django_db
def test_a_forecast_asks_the_others_of_the_same_app_type():
    known, new, foreign = (factories.server(alias) for alias in ("known", "new", "other"))
    foreign.app_type = "another"
    foreign.save()
    for row, checkpoint, seconds, load in (
        (known, "x", 1.0, 10.0),
        (known, "y", 4.0, 30.0),
        (new, "x", 2.0, 20.0),
        (foreign, "x", 1.0, 1.0),
        (foreign, "y", 99.0, 99.0),
    ):
        Timing.objects.create(
            server=row, checkpoint=checkpoint, kind="txt2img", runs=3, unit_seconds=seconds
        )
        Timing.objects.create(server=row, checkpoint=checkpoint, loads=1, load_seconds=load)
    found = {m.state.alias: m for m in projection.machines(QueueSettings(), timezone.now())}
    assert found["new"].seconds("y", 10, "txt2img") == pytest.approx(80)
    assert found["new"].load("y") == pytest.approx(60)
    assert found["known"].seconds("y", 10, "txt2img") == pytest.approx(40)


@pytest.mark.django_db
def test_an_upscale_is_forecast_by_what_upscales_took_and_not_by_pictures():
    row = factories.server()
    for kind, name, seconds in (("txt2img", "x", 1.0), ("upscale", "DAT", 9.0)):
        Timing.objects.create(server=row, checkpoint=name, kind=kind, runs=1, unit_seconds=seconds)
    [machine] = projection.machines(QueueSettings(), timezone.now())
    assert machine.seconds("x", 4, "upscale") == 36.0

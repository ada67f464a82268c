"""A chain is drawn from top to bottom, as its reader may see it."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apikeys.actors import SYSTEM, Actor
from jobs.family import MOST, family_of
from jobs.graph import BOX_HEIGHT, BOX_WIDTH, laid_out
from jobs.models import Job
from tests import factories
from tests.chains.making import fail, start, waiting

dags = st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=30).map(
    lambda pairs: [(min(p), max(p)) for p in pairs if p[0] != p[1]]
)


@given(dags)
def test_each_job_stands_below_its_parents_and_on_nobody(edges):
    ids = list(range(12))
    random.Random(1).shuffle(ids)
    drawing = laid_out(ids, edges)
    boxes = {box.id: box for box in drawing.boxes}
    assert set(boxes) == set(ids)
    assert {(a.parent, a.child) for a in drawing.arrows} == set(edges)
    for parent, child in edges:
        assert boxes[parent].y + BOX_HEIGHT < boxes[child].y
    for one in drawing.boxes:
        assert one.x >= 0 and one.x + BOX_WIDTH <= drawing.width
        assert one.y >= 0 and one.y + BOX_HEIGHT <= drawing.height
        for other in drawing.boxes:
            apart = abs(one.x - other.x) >= BOX_WIDTH or abs(one.y - other.y) >= BOX_HEIGHT
            assert one.id == other.id or apart


def test_a_simple_chain_is_one_column():
    drawing = laid_out("abc", [("a", "b"), ("b", "c")])
    assert len({box.x for box in drawing.boxes}) == 1


def test_a_circle_can_t_be_drawn():
    with pytest.raises(ValueError, match="circle"):
        laid_out("ab", [("a", "b"), ("b", "a")])


@pytest.mark.django_db
def test_a_job_that_stands_alone_has_no_drawing(django_assert_num_queries):
    job = factories.job()
    with django_assert_num_queries(1):
        assert family_of(job, SYSTEM) is None


@pytest.mark.django_db
def test_all_ancestors_and_descendants_are_drawn():
    first = factories.job()
    second = waiting(first)
    third, fourth = waiting(second), waiting(second, on_failure="run")
    beside = waiting(first)
    family = family_of(second, SYSTEM)
    assert {member.id for member in family.members} == {first.pk, second.pk, third.pk, fourth.pk}
    assert beside.pk not in {member.id for member in family.members}
    assert [m.id for m in family.members if m.is_this] == [second.pk]
    assert {arrow.child for arrow, regardless in family.arrows if regardless} == {fourth.pk}


@pytest.mark.django_db
def test_somebody_elses_job_shows_neither_words_nor_state(member):
    theirs = factories.job(owner=factories.user())
    job = waiting(theirs)
    Job.objects.filter(pk=job.pk).update(owner=member)
    family = family_of(Job.objects.get(pk=job.pk), Actor.of_user(member))
    hidden = next(m for m in family.members if m.id == theirs.pk)
    assert (hidden.words, hidden.status, hidden.is_own) == ("Somebody else's job", "", False)


@pytest.mark.django_db
def test_a_chain_that_is_too_long_is_drawn_in_part():
    first = job = factories.job()
    for _ in range(MOST + 5):
        job = waiting(job)
    family = family_of(first, SYSTEM)
    assert len(family.members) == MOST
    assert family.goes_on


@pytest.mark.django_db(transaction=True)
def test_the_tag_draws_it_with_links_and_a_list(rf):
    from django.template import Context, Template

    boss = factories.staff()
    first = factories.job(
        generation_params={"positive_prompt": "a <b>bold</b> lighthouse & more"}, owner=boss
    )
    second = waiting(first)
    fail(start(first))
    request = rf.get("/")
    request.user = boss
    template = Template("{% load chains %}{% chain job %}")
    html = template.render(Context({"request": request, "job": Job.objects.get(pk=second.pk)}))
    assert '<svg width="160"' in html
    assert "<title" in html and "<desc" in html
    assert f'href="/jobs/{first.pk}"' in html or f"/jobs/{first.pk}" in html
    assert "a &lt;b&gt;bold&lt;/b&gt;" in html and "<b>" not in html
    assert "(this job): Failed, after a" in html
    assert template.render(Context({"request": request, "job": factories.job()})).strip() == ""

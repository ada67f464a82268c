"""What words find, and what they don't."""

import pytest

PROMPTS = [
    "A Lighthouse at dawn",
    "house of light, café, naïve",
    "1girl, masterpiece, <lora:detail_tweaker_xl:0.8>, 8k, f/1.8",
    "灯台と海, 東京タワー",
    "Straße nach Łódź; ΑΘΗΝΑ",
    "маяк на рассвете",
    "x" * 300,
    "semi-real 1e5 0x1f v1.5 a_b user@example.com http://example.com/a/b.png",
]


@pytest.fixture
def jobs(job, member):
    return [job(prompt, owner=member) for prompt in PROMPTS]


@pytest.mark.parametrize(
    "few", [{}, {"status": "pending"}], ids=["along the index", "by their words"]
)
@pytest.mark.parametrize(
    ("q", "numbers"),
    [
        ("lighthouse", [0]),
        ("LIGHTHOUSE  dawn", [0]),
        ("light", [1]),
        ("light*", [0, 1]),
        ("lighthouse cafe", []),
        ("cafe", [1]),
        ("CAFÉ naive", [1]),
        ('"house of light"', [1]),
        ('"light of house"', []),
        ('"house of', [1]),
        ("light* -cafe", [0]),
        ("-light*", [2, 3, 4, 5, 6, 7]),
        ('-"house of" light*', [0]),
        ("detail_tweaker", [2]),
        ("detail_tweaker_xl", [2]),
        ("tweaker_detail", []),
        ("detail_twea*", [2]),
        ("lora:detail", [2]),
        ("1girl 8k", [2]),
        ("1.8", [2]),
        ("海", [3]),
        ("灯台", [3]),
        ("台灯", []),
        ("東京*", [3]),
        ("タワー", [3]),
        ("strasse", [4]),
        ("αθηνα", [4]),
        ("Маяк", [5]),
        ("x" * 300, [6]),
        ("xx*", [6]),
        ("semi-real", [7]),
        ("real-semi", []),
        ("1e5 0x1f v1.5 a_b", [7]),
        ("user@example.com", [7]),
        ("http://example.com/a/b.png", [7]),
        ("b.png", [7]),
        ("nothing", []),
    ],
)
def test_words_find_the_jobs_that_have_them(jobs, found, q, numbers, few):
    assert found(q, order="asc", **few) == [PROMPTS[number] for number in numbers]


def test_all_that_names_a_job_is_searched(job, member, found):
    job(
        "alpha",
        owner=member,
        source_info="my phone",
        checkpoint="sdxl/dreamBoat_v2.safetensors",
        params={
            "negative_prompt": "ugly",
            "loras": [{"name": "style_ink"}, "not an object", {"weight": 1}],
            "styles": ["Cinematic", 7],
            "refiner_checkpoint": "polish",
            "hr_prompt": "finer",
        },
    )
    job("beta", owner=member)
    for q in ("alpha", "ugly", "phone", "dreamboat*", "style_ink", "cinematic", "polish", "finer"):
        assert found(q) == ["alpha"], q


HOSTILE = [
    '"',
    '""""',
    "*",
    "-",
    "--",
    "-*",
    "NEAR(",
    "NEAR(a b, 2)",
    "a AND",
    "AND OR NOT",
    "words:a",
    "{words}:a",
    "^a",
    "a + b",
    "(",
    ")",
    "a)",
    "'",
    "a' OR '1'='1",
    "a & b | !c <-> d",
    "a:*",
    "a:B",
    "\\",
    "a\\' b",
    "%s",
    "%(x)s",
    "\x00",
    "a\x00b",
    "a\x01b",
    "ƿ",
    "ƿ*",
    "\ud800",
    "\u202e\u0301",
    "😀",
    "a" * 10_000,
    "a " * 5_000,
    "-a " * 100,
    '"a" ' * 100,
    "a*",
    "*a",
    "🏳️‍🌈 a",
    "ﬁ ½ Å",
]


@pytest.mark.parametrize("q", HOSTILE)
def test_no_question_is_an_accident(jobs, api, q):
    answer = api.get("/api/v2/jobs", {"q": q.encode("utf-8", "surrogatepass")})
    assert answer.status_code in {200, 400}
    if answer.status_code == 400:
        assert "q" in answer.json()["details"]["fields"]
        assert len(answer.content) < 1_000


@pytest.mark.parametrize("q", ["ƿ", "ƿ*", "ƿ 1", "wynn"])
def test_nobody_can_search_for_a_facet(jobs, api, q):
    answer = api.get("/api/v2/jobs", {"q": q})
    assert answer.status_code == 400 or answer.json()["jobs"] == []


@pytest.mark.parametrize("q", ["", "   "])
def test_an_empty_search_is_none(jobs, api, q):
    answer = api.get("/api/v2/jobs", {"q": q}).json()
    assert answer["total"] == len(PROMPTS)
    assert "q" not in answer["filters"]


def test_the_search_is_told_in_the_filters(jobs, api):
    assert api.get("/api/v2/jobs", {"q": " dawn ", "x": "1"}).json()["filters"] == {"q": "dawn"}


def test_a_very_long_prompt_is_found_by_its_beginning(job, member, found):
    prompt = " ".join(f"w{number}" for number in range(11_000))
    job(prompt, owner=member)
    assert found("w0 w9999") == [prompt]
    assert found("w10999") == []

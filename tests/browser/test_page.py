"""The page in a real browser: reading, filtering, keys, live rows, and hostile text that must not run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from grm_plugin.serving.http.app import create_app
from grm_plugin.serving.http.trace_app import page_app
from grm_plugin.serving.service import RewardService
from support.factories import by_number, live, make_config, scoring
from support.trace_factories import fill, judged, silent, writing

pytestmark = pytest.mark.e2e

DEADLINE_S = 30.0
ATTACKS = (
    "<script>window.hacked = 1</script>",
    "<img src=x onerror='window.hacked = 1'>",
    "<svg onload=window.hacked=1>",
    '" autofocus onfocus="window.hacked=1" x="',
    "</textarea></title><script>alert('hacked')</script>",
    "<a href='javascript:window.hacked=1'>x</a>",
    "<iframe srcdoc='<script>parent.hacked=1</script>'></iframe>",
    "<style>body { display: none }</style>",
)


class Page:
    """What a reader sees and does."""

    def __init__(self, chromium: Any, address: str) -> None:
        self.chromium = chromium
        self.address = address
        chromium.get("about:blank")
        chromium.get_log("browser")  # what the page before complained about is not this one's

    def open(self, path: str = "/") -> Page:
        self.chromium.get(self.address + path)
        return self

    def all(self, selector: str) -> list[Any]:
        return list(self.chromium.find_elements("css selector", selector))

    def click(self, selector: str) -> None:
        self.until(lambda: self.all(selector)[0].click() is None)

    def texts(self, selector: str) -> list[str]:
        return self._of_each(selector, "element.innerText.trim()")

    def ids(self, selector: str = "#rows tr") -> list[int]:
        return self._of_each(selector, "Number(element.dataset.id)")

    def _of_each(self, selector: str, expression: str) -> list[Any]:
        """Read in one script: between two calls the page may have been redrawn."""
        script = f"return [...document.querySelectorAll(arguments[0])].map(element => {expression})"
        return list(self.chromium.execute_script(script, selector))

    def press(self, keys: str) -> None:
        self.until(lambda: self.run("document.readyState") == "complete")  # sent again, a key might be pressed twice
        self.chromium.switch_to.active_element.send_keys(keys)

    def run(self, script: str) -> Any:
        return self.chromium.execute_script(f"return {script}")

    def until(self, condition: Callable[[], bool]) -> None:
        from selenium.common.exceptions import WebDriverException

        give_up = time.monotonic() + DEADLINE_S
        last: Exception | None = None
        while True:
            try:
                if condition():
                    return
            except (WebDriverException, IndexError) as error:  # the page was redrawn meanwhile: again
                last = error
            assert time.monotonic() < give_up, f"{self.chromium.current_url}: {last}"
            time.sleep(0.05)

    def errors(self) -> list[str]:
        return [entry["message"] for entry in self.chromium.get_log("browser") if entry["level"] == "SEVERE"]


@pytest.fixture
def reading(chromium: Any, store: Path) -> Iterator[Page]:
    """Five groups: #1 and #4 are ordinary, #2 has no votes, #3 is about cats, #5 has five responses."""
    fill(
        store,
        [
            judged("1", "10", question="one"),
            judged("3", generator=silent(), question="two"),
            judged("7 cats", "2", question="three"),
            judged("4", "6", question="four"),
            judged("2", "9", "5", "7", "4", question="five"),
        ],
    )
    with live(page_app(store)) as address:
        page = Page(chromium, address)
        yield page
        assert page.errors() == [], "the page's own script works, and asks for nothing that CSP forbids"


def test_the_list_and_its_charts(reading: Page) -> None:
    reading.open()
    assert reading.ids() == [5, 4, 3, 2, 1]
    assert reading.texts("#groups") == ["5"]
    assert [title.split("\n")[0] for title in reading.texts(".chart figcaption span")] == [
        "Reward", "Vote spread", "Position bias", "Lost votes", "Fallbacks", "Tokens / s",
    ]  # fmt: skip
    assert all(svg.size["width"] > 50 and svg.size["height"] > 30 for svg in reading.all(".chart svg"))
    assert reading.run("document.documentElement.scrollWidth <= innerWidth"), "nothing sticks out of the window"


def test_filters(reading: Page) -> None:
    reading.open()
    search = reading.all("#search")[0]
    search.send_keys("cats\n")
    reading.until(lambda: reading.ids() == [3])
    assert reading.chromium.current_url.endswith("/?q=cats"), "empty fields stay out of the address"
    reading.click("#clear")
    reading.until(lambda: len(reading.ids()) == 5)
    reading.click("input[name=fallback]")
    reading.until(lambda: reading.ids() == [2])
    reading.open("/?sort=highest")
    assert reading.ids()[0] == 1


def test_opening_a_group(reading: Page) -> None:
    reading.open()
    reading.click('tr[data-id="5"] td.prompt')
    reading.until(lambda: reading.texts("h1") == ["Group 5"])
    assert reading.texts(".response .letter") == ["B", "D", "C", "E", "A"], "best reward first"
    rewards = [float(text) for text in reading.texts(".response .reward")]
    assert rewards == sorted(rewards, reverse=True)
    tops = {box.location["y"] for box in reading.all(".response")}
    assert len(tops) == 1, "side by side"
    assert len(reading.all(".vote")) == 4, "two lists of two votes each"
    reading.chromium.back()
    reading.until(lambda: len(reading.ids()) == 5)
    reading.until(lambda: reading.ids("#rows tr.here") == [5])  # the reader's place is kept


def test_keys(reading: Page) -> None:
    reading.open()
    reading.run("sessionStorage.clear()")
    reading.open()
    reading.press("jjj")
    reading.until(lambda: reading.ids("#rows tr.here") == [3])
    reading.press("k")
    reading.until(lambda: reading.ids("#rows tr.here") == [4])
    reading.press("\ue007")  # Enter
    reading.until(lambda: reading.texts("h1") == ["Group 4"])
    reading.press("j")
    reading.until(lambda: [vote.get_attribute("id") for vote in reading.all(".vote.here")] == ["vote-1"])
    reading.press("n")
    reading.until(lambda: reading.texts("h1") == ["Group 3"])
    reading.press("p")
    reading.until(lambda: reading.texts("h1") == ["Group 4"])
    reading.press("\ue00c")  # Escape
    reading.until(lambda: len(reading.ids()) == 5)
    reading.press("/")
    reading.until(lambda: reading.run("document.activeElement.id") == "search")
    reading.press("catsj")
    # Letters typed into a field are no keys.
    reading.until(lambda: reading.all("#search")[0].get_attribute("value") == "catsj")
    reading.press("\ue00c")
    reading.until(lambda: reading.run("document.activeElement.id") == "")
    reading.press("?")
    reading.until(lambda: reading.run("document.getElementById('help').open"))
    reading.press("\ue00c")
    reading.until(lambda: not reading.run("document.getElementById('help').open"))


def test_steps_stay_within_the_filter(reading: Page) -> None:
    reading.open("/traces/5?sort=lowest&max=0.2")
    seen = []
    reading.open("/traces/1?sort=lowest&max=0.2")
    while reading.all("#behind"):
        reading.click("#behind")
        reading.until(lambda: reading.texts("h1") not in ([], [f"Group {seen[-1] if seen else 1}"]))
        seen.append(int(reading.texts("h1")[0].split()[1]))
    assert seen == [5, 3]
    reading.click("#back")
    reading.until(lambda: reading.ids() == [1, 5, 3])


@pytest.mark.parametrize("attack", ATTACKS)
def test_stored_text_never_runs(chromium: Any, store: Path, attack: str) -> None:
    fill(store, [judged(f"3 {attack}", "5", question=attack, generator=writing(attack))])
    with live(page_app(store)) as address:
        page = Page(chromium, address)
        for path, shown in (("/", ".prompt"), ("/traces/1", ".response .text"), ("/traces/1", ".critique")):
            page.open(path)
            time.sleep(0.1)  # what is smuggled in would run within one frame
            assert page.run("window.hacked === undefined && document.readyState") == "complete"
            assert any(attack in " ".join(text.split()) for text in page.texts(shown)), "it is shown as text"
            assert page.all(shown)[0].is_displayed()
        assert page.errors() == [], "nothing was even tried: escaping holds, not only the policy"


def test_the_policy_stops_what_escaping_would_miss(chromium: Any, store: Path) -> None:
    fill(store, [judged("3")])
    with live(page_app(store)) as address:
        page = Page(chromium, address).open()
        page.run("void (document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.hacked=1\">'))")
        page.until(lambda: any("Content Security Policy" in error for error in page.errors()))
        assert page.run("window.hacked === undefined")


def test_new_groups_appear_by_themselves(chromium: Any, store: Path) -> None:
    service = RewardService(make_config(trace__path=str(store)), scoring(by_number))

    def score(question: str) -> None:
        body = {"groups": [{"messages": [{"role": "user", "content": question}], "responses": ["4", "10"]}]}
        assert httpx.post(f"{address}/v1/score", json=body, timeout=30).status_code == 200

    with live(create_app(lambda: service)) as address:
        page = Page(chromium, address).open()
        page.until(lambda: page.texts("h1") == ["Nothing judged yet"])
        score("first")
        page.until(lambda: page.ids() == [1])
        score("second <b>bold</b>")
        page.until(lambda: page.ids() == [2, 1])
        assert "second <b>bold</b>" in page.texts(".prompt")[0]
        assert page.errors() == []
        page.open("/?q=third")
        assert page.ids() == []
        score("third")
        page.until(lambda: page.ids() == [3])


def test_new_rows_do_not_move_what_is_read(chromium: Any, store: Path) -> None:
    service = RewardService(make_config(trace__path=str(store)), scoring(by_number))
    body = {"groups": [{"prompt": f"question {number}", "responses": ["4", "10"]} for number in range(60)]}
    with live(create_app(lambda: service)) as address:
        assert httpx.post(f"{address}/v1/score", json=body, timeout=60).status_code == 200
        page = Page(chromium, address).open()
        page.until(lambda: len(page.ids()) >= 50)
        page.run("void window.scrollTo(0, 900)")
        before = page.ids()
        body["groups"] = body["groups"][:3]
        assert httpx.post(f"{address}/v1/score", json=body, timeout=60).status_code == 200
        page.until(lambda: page.texts("#fresh") == ["3 new"])
        assert page.ids() == before
        page.click("#fresh")
        page.until(lambda: page.ids()[:3] == [63, 62, 61])


def test_a_dark_screen_gets_dark_paper(reading: Page) -> None:
    def paper(scheme: str) -> list[int]:
        features = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        reading.chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", features)
        colour = reading.run("getComputedStyle(document.body).backgroundColor")
        return [int(part) for part in colour[4:-1].split(",")]

    reading.open()
    assert min(paper("light")) > 200
    assert max(paper("dark")) < 60
    paper("light")

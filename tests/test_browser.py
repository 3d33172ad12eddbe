"""The book in a real browser, headless: every page, narrow and wide, without a network."""

import shutil
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest
from lxml import html

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
axe_playwright = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="There is no Chromium here: apt-get install chromium"),
]
#: Pages that axe reads whole; the others are made of the same parts.
READ = (
    "book/introduction", "book/conclusions", "book/paper", "book/method", "book/about", "book/conventions",
    "notebooks/reference", "notebooks/rd", "notebooks/blending", "notebooks/summary",
)  # fmt: skip


@pytest.fixture(scope="module")
def built(book):
    return book / "build" / "html"


@pytest.fixture(scope="module")
def chromium():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


def pages(built: Path) -> list[Path]:
    """All pages but the listings of code and the one that leads to the first; the theme keeps templates in _static."""
    found = [path for path in sorted(built.rglob("*.html")) if not {"_modules", "_static"} & set(path.parts)]
    return [path for path in found if path != built / "index.html"]


@pytest.fixture
def page(chromium):
    """`page(path)`: the page, loaded; options are those of a browser context."""
    contexts = []

    def opened(path: Path, **options):
        contexts.append(chromium.new_context(viewport={"width": 1400, "height": 900}, offline=True, **options))
        one = contexts[-1].new_page()
        one.goto(path.as_uri())
        return one

    yield opened
    for context in contexts:
        context.close()


@pytest.mark.parametrize("width", [390, 1400])
def test_every_page_loads_without_error_network_missing_image_or_sideways_scroll(built, chromium, width):
    """One window for all pages: what a page asks for and says is noted with its name."""
    context = chromium.new_context(viewport={"width": width, "height": 900}, offline=True)
    one = context.new_page()
    wrong: list[str] = []
    at = ""
    one.on("console", lambda m: wrong.append(f"{at}: {m.text}") if m.type in ("error", "warning") else None)
    one.on("pageerror", lambda error: wrong.append(f"{at}: {error}"))
    one.on("requestfailed", lambda request: wrong.append(f"{at}: failed {request.url}"))
    one.on("request", lambda r: None if r.url.startswith(("file:", "data:")) else wrong.append(f"{at}: {r.url}"))
    for path in pages(built):
        at = path.relative_to(built).as_posix()
        one.goto(path.as_uri())
        missing = one.evaluate(
            """async () => {
              const images = [...document.images].filter((image) => image.src);
              images.forEach((image) => { image.loading = "eager"; });
              const states = await Promise.all(images.map((image) => image.decode().then(() => "", () => image.src)));
              return states.filter(Boolean);
            }"""
        )
        wrong += [f"{at}: no picture {source}" for source in missing]
        wide = one.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        if wide > 0:
            wrong.append(f"{at}: {wide} px too wide")
    context.close()
    assert not wrong


def test_every_link_leads_to_a_place_in_the_book(built):
    paths = [path for path in sorted(built.rglob("*.html")) if "_static" not in path.parts]
    trees = {path.resolve(): html.parse(path).getroot() for path in paths}
    places = {path: {*tree.xpath("//@id"), *tree.xpath("//a/@name"), ""} for path, tree in trees.items()}
    dead = []
    count = 0
    for path, tree in trees.items():
        for link in tree.xpath("//a/@href | //link/@href | //script/@src | //img/@src"):
            if link.startswith(("http:", "https:", "mailto:", "data:", "javascript:")):
                continue
            count += 1
            address, place = urldefrag(link)
            target = (path.parent / unquote(address.partition("?")[0])).resolve() if address else path
            if not target.exists() or (target in places and unquote(place) not in places[target]):
                dead.append(f"{path.relative_to(built.resolve())} → {link}")
    assert not dead
    assert count > 1000


def test_no_page_is_heavy(built):
    """A page with its pictures; what all pages share is loaded once."""
    for path in pages(built):
        tree = html.parse(path).getroot()
        sources = [source for source in tree.xpath("//img/@src") if not source.startswith("data:")]
        pictures = {(path.parent / source).resolve() for source in sources}
        size = path.stat().st_size + sum(picture.stat().st_size for picture in pictures)
        assert size < 3e6, path


def test_pictures_say_what_they_show(built):
    for path in pages(built):
        for image in html.parse(path).getroot().xpath("//article//img"):
            if "_static/pictures" not in image.get("src") and "_images" not in image.get("src"):
                continue  # a sign of the theme's
            alt = image.get("alt", "")
            assert len(alt.split()) > 1, (path, image.get("src"), alt)
            assert not alt.endswith((".png", ".svg", ".webp")), (path, alt)


@pytest.mark.parametrize("name", READ)
def test_axe_finds_nothing_serious(built, page, name):
    """On the whole page, the theme's navigation among it."""
    found = axe_playwright.Axe().run(page(built / f"{name}.html"))
    serious = [
        (violation["id"], [node["html"][:200] for node in violation["nodes"]][:3])
        for violation in found.response["violations"]
        if violation["impact"] in ("serious", "critical")
    ]
    assert not serious


def test_the_line_between_two_pictures_moves_by_mouse_and_by_keyboard(built, page):
    one = page(built / "notebooks" / "rd.html")
    parted = one.locator(".parted").first
    parted.scroll_into_view_if_needed()
    at = "element => element.style.getPropertyValue('--at')"
    box = parted.bounding_box()
    one.mouse.click(box["x"] + 0.25 * box["width"], box["y"] + 0.5 * box["height"])
    moved = float(parted.evaluate(at).rstrip("%"))
    assert abs(moved - 25) < 5
    one.keyboard.press("ArrowRight")
    assert float(parted.evaluate(at).rstrip("%")) == moved + 1
    # The right picture is clipped there.
    left = parted.locator(".right").evaluate("element => getComputedStyle(element).clipPath")
    assert left == f"inset(0px 0px 0px {moved + 1:g}%)"
    choice = one.locator(".controls select").nth(1)
    choice.select_option("JPEG 2000")
    assert "Right: JPEG 2000, " in one.locator(".parted + p").first.inner_text()
    assert "JPEG 2000" in parted.locator(".right img").get_attribute("alt")


def test_curves_answer_to_the_pointer_and_to_keys_with_values_of_the_table(built, page):
    import pandas as pd

    from satstudy.core import paths

    one = page(built / "notebooks" / "reference.html")
    figure = one.locator(".curves svg[tabindex]").first
    figure.scroll_into_view_if_needed()
    box, marker = figure.bounding_box(), figure.locator("text[style]").first.bounding_box()
    assert box["width"] > 300
    one.mouse.move(marker["x"] + marker["width"] / 2, marker["y"] + marker["height"] / 2)
    said = one.locator(".curves output").first
    first = said.inner_text()
    assert " bpp, " in first
    assert first.endswith(" dB")
    figure.focus()
    one.keyboard.press("ArrowRight")
    second = said.inner_text()
    assert second != first
    # The last of the choices is a class of the tiles: its values are means of the tracked table.
    choice = one.locator(".curves select").first
    name = choice.locator("option").last.get_attribute("value")
    choice.select_option(name)
    figure.focus()
    one.keyboard.press("ArrowRight")
    label, rest = said.inner_text().rsplit(": ", 1)
    bpp, psnr = (float(part.split()[0]) for part in rest.split(", "))
    frame = pd.read_csv(paths.REFERENCE / "rate_distortion.csv")
    frame = frame[frame["category"] == name.removeprefix("class ").replace(" ", "_")]
    setting = label.rsplit(", ", 1)[1]
    means = frame[frame["setting"] == setting].groupby("codec")[["bpp", "psnr"]].mean()
    assert ((means["bpp"] - bpp).abs() + (means["psnr"] - psnr).abs()).min() < 0.011


def test_without_scripts_pictures_stand_side_by_side_and_curves_as_a_figure(built, page):
    one = page(built / "notebooks" / "reference.html", java_script_enabled=False)
    assert one.locator(".curves > img").first.is_visible()
    assert one.locator(".compare .picture").first.is_visible()


def test_a_dark_page_shows_pictures_as_they_are(built, page):
    one = page(built / "notebooks" / "reference.html", color_scheme="dark")
    assert one.locator("html").get_attribute("data-theme") == "dark"
    filters = one.eval_on_selector_all("figure.study img", "images => images.map((i) => getComputedStyle(i).filter)")
    assert set(filters) == {"none"}

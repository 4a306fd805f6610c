"""Is everything there that README.md and docs/ speak of?"""

import re
import struct

import pytest
import typer.main

from brainalign.cli import app

LINK = re.compile(r"!?\[[^\]]*\]\((?P<target>[^)\s]+)\)")
COMMAND = re.compile(r"(?:^|/|# +)brainalign (?P<name>[a-z]+)(?P<rest>[^#\n]*)", flags=re.MULTILINE)
INLINE = re.compile(r"`([^`\n]+)`")
MAX_IMAGE_BYTES = 200_000


@pytest.fixture(scope="module")
def commands():
    return typer.main.get_command(app).commands


def test_every_internal_link_leads_somewhere(pages):
    broken = [
        f"{page.name}: {match['target']}"
        for page in pages
        for match in LINK.finditer(page.read_text(encoding="utf-8"))
        if "://" not in match["target"] and not (page.parent / match["target"].split("#")[0]).exists()
    ]
    assert not broken, "\n".join(broken)


def test_every_page_is_in_the_index(root):
    index = (root / "docs" / "README.md").read_text(encoding="utf-8")
    missing = [page.name for page in (root / "docs").glob("*.md") if f"({page.name})" not in index + "(README.md)"]
    assert not missing


def test_every_example_is_in_the_readme(root):
    text = (root / "README.md").read_text(encoding="utf-8")
    assert not [path.name for path in (root / "examples").glob("*.py") if f"(examples/{path.name})" not in text]


def test_every_command_named_exists_with_its_options(pages, root, commands, blocks):
    texts = {
        str(page): "\n".join(blocks(page, "sh") + INLINE.findall(page.read_text(encoding="utf-8"))) for page in pages
    }
    texts |= {str(path): path.read_text(encoding="utf-8") for path in (root / "configs").glob("*.yaml")}
    found = [(name, match) for name, text in texts.items() for match in COMMAND.finditer(text)]
    wrong = []
    for name, match in found:
        known = commands.get(match["name"])
        options = [] if known is None else [option for parameter in known.params for option in parameter.opts]
        asked = re.findall(r"--[a-z-]+", match["rest"])
        wrong += [f"{name}: {match[0]}"] if known is None or set(asked) - set(options) else []
    assert not wrong, "\n".join(wrong)
    assert {match["name"] for _, match in found} == set(commands), "every command is told of"


def test_every_make_target_and_benchmark_named_exists(pages, root):
    makefile = (root / "Makefile").read_text(encoding="utf-8")
    for page in pages:
        text = page.read_text(encoding="utf-8")
        for target in re.findall(r"(?:^|`)make ([a-z]+)", text, flags=re.MULTILINE):
            assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), f"{page.name}: make {target}"
        for name in re.findall(r"python -m benchmarks\.([a-z_]+)", text):
            assert (root / "benchmarks" / f"{name}.py").is_file(), f"{page.name}: {name}"
        for path in re.findall(r"`((?:brainalign|tests|docs|examples|configs)/[\w/.-]*)`", text):
            assert (root / path).exists(), f"{page.name}: {path}"


def test_the_pages_name_no_place_on_one_machine(pages, root):
    texts = [*pages, *(root / "configs").glob("*.yaml"), *(root / "examples").glob("*.py")]
    pattern = re.compile(r"(?<![\w.])/(?:home|Users|tmp|work|mnt|root)/")
    assert not [path.name for path in texts if pattern.search(path.read_text(encoding="utf-8"))]


def test_pictures_are_small_pngs(root):
    pictures = sorted((root / "docs" / "images").glob("*"))
    assert pictures
    for picture in pictures:
        head = picture.read_bytes()[:24]
        assert head[:8] == b"\x89PNG\r\n\x1a\n", picture.name
        assert struct.unpack(">I", head[16:20])[0] >= 600, "wide enough to read"
        assert picture.stat().st_size < MAX_IMAGE_BYTES, picture.name


@pytest.mark.slow
def test_the_pictures_can_be_made_again(root, tmp_path, monkeypatch):
    import runpy

    from typer.testing import CliRunner

    demo = CliRunner().invoke(app, ["demo", "--quick", "--quiet", "--out", str(tmp_path / "demo"), "--jobs", "1"])
    assert demo.exit_code == 0, demo.output
    arguments = ["--quick", "--out", str(tmp_path / "demo"), "--images", str(tmp_path / "images")]
    monkeypatch.setattr("sys.argv", ["make_images.py", *arguments])
    runpy.run_path(str(root / "docs" / "make_images.py"), run_name="__main__")
    made = {path.name for path in (tmp_path / "images").iterdir()}
    assert made == {path.name for path in (root / "docs" / "images").iterdir()}

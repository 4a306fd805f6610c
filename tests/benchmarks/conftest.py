"""Benchmarks as they are called: quick forms as commands, and pages made of the files that they keep."""

import json
import subprocess
import sys

import pytest


@pytest.fixture
def quick_form(tmp_path, root):
    """Run a benchmark's quick form as a command; return the report that it kept, and the page made of it."""

    def run(name, *, timeout):
        out = tmp_path / f"{name}.json"
        command = [sys.executable, "-m", f"benchmarks.{name}", "--quick", "--json", str(out)]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False, timeout=timeout)
        assert done.returncode == 0, done.stdout + done.stderr
        again = [sys.executable, "-m", f"benchmarks.{name}", "--table", str(out)]
        page = subprocess.run(again, cwd=root, capture_output=True, text=True, check=True)
        return json.loads(out.read_text(encoding="utf-8")), page.stdout

    return run

import re
import subprocess
from pathlib import Path

CHECKOUT = Path(__file__).parents[3]


def test_the_readme_names_every_folder_that_is_tracked():
    tracked = subprocess.run(["git", "ls-files"], cwd=CHECKOUT, capture_output=True, text=True, check=True).stdout.split()
    folders = {path.split("/")[0] for path in tracked if "/" in path and not path.startswith(".")}
    assert set(re.findall(r"^\| `(\w+)/` \|", (CHECKOUT / "README.md").read_text(), re.MULTILINE)) == folders


def test_every_link_leads_somewhere():
    for page in [CHECKOUT / "README.md", *(CHECKOUT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"

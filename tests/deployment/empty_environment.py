"""A virtual environment with what eafl-flower depends on, without eafl-flower: an app has its bundle alone there."""

import subprocess
import sys
import sysconfig
import venv
from pathlib import Path


def make_environment(folder: Path) -> Path:
    """Make the environment in ``folder`` and return the folder of its programs."""
    venv.create(folder, symlinks=True)
    scripts, here = folder / "bin", Path(sysconfig.get_path("scripts"))
    (site,) = folder.glob("lib/python*/site-packages")
    packages = dict.fromkeys((sysconfig.get_path("purelib"), sysconfig.get_path("platlib")))
    # The folders are searched, but .pth files in them are not read: an editable install of eafl-flower is not seen.
    (site / "dependencies.pth").write_text("".join(f"{path}\n" for path in packages))
    for script in here.glob("fl*"):  # flwr, flower-superlink, flwr-serverapp, ...
        _, newline, body = script.read_text().partition("\n")
        target = scripts / script.name
        target.write_text(f"#!{scripts / 'python'}{newline}{body}")
        target.chmod(0o755)
    command = [str(scripts / "python"), "-I", "-c", "import flwr, eafl_flower"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)
    assert "No module named 'eafl_flower'" in done.stderr, done.stderr or f"eafl-flower is seen from {sys.prefix}"
    return scripts

"""Whether Ansible is there. It is an extra: ansible-core is GPL-3 and no part of the product."""

import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

from rackwright.engine.errors import OperatorError


def require(stage: str = "") -> Path:
    """The directory of ``ansible-playbook``, beside our own Python. Raises ``OperatorError``."""
    programs = Path(sys.executable).parent
    for package in ("ansible_runner", "ansible"):
        if find_spec(package) is None:
            raise _missing(package.replace("_", "-"), stage)
    if shutil.which("ansible-playbook", path=str(programs)) is None:
        raise _missing("ansible-playbook", stage)
    if shutil.which("ssh") is None:
        raise OperatorError(
            "Ansible roles need the program ssh",
            hint="install the package openssh-client",
            stage=stage,
        )
    return programs


def _missing(what: str, stage: str) -> OperatorError:
    return OperatorError(
        f"{stage or 'a stage'} is an Ansible role, and {what} is not installed beside Rackwright",
        hint=f"{sys.executable} -m pip install 'rackwright[ansible]'",
        stage=stage,
    )

"""Drives one lab machine's Redfish service with sushy, inside the rack's namespace.

Run as ``ip netns exec NS python tests/conformance/lab_redfish.py``; stdin is JSON with address,
username, password and certificate_pem; stdout is JSON with what was seen.
"""

import json
import sys
import tempfile
from typing import Any

import sushy
from sushy import auth


def drive(given: dict[str, str], certificate: str) -> dict[str, Any]:
    """Log in by session, use power and boot override, log out."""
    session = auth.SessionAuth(given["username"], given["password"])
    root = sushy.Sushy(f"https://{given['address']}/redfish/v1/", auth=session, verify=certificate)
    system = root.get_system_collection().get_members()[0]
    seen: dict[str, Any] = {"power_before": system.power_state.value, "uuid": system.uuid}
    system.set_system_boot_options(
        target=sushy.BootSource.PXE,
        mode=sushy.BootSourceOverrideMode.UEFI,
        enabled=sushy.BootSourceOverrideEnabled.ONCE,
    )
    system.refresh(force=True)
    seen["boot_set"] = [system.boot.target.value, system.boot.enabled.value, system.boot.mode.value]
    system.reset_system(sushy.ResetType.ON)
    system.refresh(force=True)
    seen["power_on"] = system.power_state.value
    seen["boot_after"] = system.boot.enabled.value
    system.reset_system(sushy.ResetType.FORCE_RESTART)
    system.refresh(force=True)
    seen["power_restarted"] = system.power_state.value
    chassis = system.chassis[0]
    seen["temperatures"] = [item.reading_celsius for item in chassis.thermal.temperatures]
    seen["managers"] = len(root.get_manager_collection().get_members())
    system.reset_system(sushy.ResetType.FORCE_OFF)
    system.refresh(force=True)
    seen["power_off"] = system.power_state.value
    sessions = root.get_session_service().sessions
    seen["sessions"] = len(sessions.members_identities)
    session.close()
    basic = auth.BasicAuth(given["username"], given["password"])
    again = sushy.Sushy(f"https://{given['address']}/redfish/v1/", auth=basic, verify=certificate)
    left = again.get_session_service().sessions.members_identities
    seen["sessions_after"] = len(left)
    return seen


def main() -> None:
    given = json.load(sys.stdin)
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
        file.write(given["certificate_pem"])
        file.flush()
        sys.stdout.write(json.dumps(drive(given, file.name)))


if __name__ == "__main__":
    main()

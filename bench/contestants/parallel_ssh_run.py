"""parallel-ssh on its native client. Usage: ... FOLDER COUNT. It verifies no host key."""

import json
import sys
from pathlib import Path

from pssh.clients import ParallelSSHClient
from pssh.config import HostConfig

from bench.tree import counted

COMMAND = "cat /proc/sys/kernel/random/boot_id"
POOL = 100


def main(folder: Path, count: int) -> None:
    hosts = json.loads((folder / "hosts.json").read_text())[:count]
    key = str(folder / "client")
    with counted(machines=count):
        client = ParallelSSHClient(
            [host["address"] for host in hosts],
            host_config=[
                HostConfig(port=h["port"], user=h["user"], private_key=key) for h in hosts
            ],
            pool_size=POOL,
            num_retries=3,
            identity_auth=False,
        )
        output = client.run_command(COMMAND)
        client.join(output)
        said = [list(one.stdout) for one in output]
    assert len(said) == count, "a machine is missing"
    assert all(said), "a machine said nothing"


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))

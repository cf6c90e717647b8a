"""The Swarm role's decisions: three-valued checks, secrets, quorum."""

import json
from typing import Any

import pytest

from tests.unit.roles.bench import CLUSTER, INFO, NODE, Bench

ROLE = "orchestrator/swarm"
TOKEN = "SWMTKN-1-" + "a" * 50 + "-" + "b" * 25
RECORDED = {"name": "demo", "id": CLUSTER}
SATISFIED, UNSATISFIED, UNKNOWN = 0, 10, 1
READY = (
    '{"ID":"x","Status":{"State":"ready","Addr":"10.77.0.11"},'
    '"ManagerStatus":{"Leader":true,"Reachability":"reachable","Addr":"10.77.0.11:2377"}}'
)
MEMBERS: dict[str, Any] = {
    "init": {
        "by_machine": {
            "m-1": {
                "cluster_id": CLUSTER,
                "manager_addr": "10.77.0.11:2377",
                "node_id": NODE,
                "role": "manager",
                "machine": "n1",
                "hostname": "n1",
                "boot_id": "boot-1",
            }
        }
    }
}


# init -------------------------------------------------------------------------------------------


def test_init_check_of_a_node_in_no_swarm_is_unsatisfied(bench: Bench) -> None:
    bench.info("inactive")
    assert bench.run(ROLE, "init/check.sh").returncode == UNSATISFIED


def test_init_check_waits_while_the_daemon_comes_back(bench: Bench) -> None:
    bench.info("pending", times=3)
    bench.member()
    bench.answer("docker", "node ls")
    done = bench.run(ROLE, "init/check.sh", cluster=RECORDED)
    assert done.returncode == SATISFIED, done.stderr
    assert len(bench.calls("sleep")) == 3


def test_init_check_of_a_manager_is_satisfied_without_a_record_too(bench: Bench) -> None:
    bench.member()
    bench.answer("docker", "node ls")
    assert bench.run(ROLE, "init/check.sh").returncode == SATISFIED


@pytest.mark.parametrize("state", ["error", "locked", "pending"])
def test_init_check_of_an_odd_state_is_unknown(bench: Bench, state: str) -> None:
    bench.info(state, error="certificate has expired")
    done = bench.run(ROLE, "init/check.sh")
    assert done.returncode == UNKNOWN
    assert "certificate has expired" in done.stderr


def test_init_check_of_another_cluster_is_unknown_and_nothing_is_reset(bench: Bench) -> None:
    bench.member(cluster="x" * 25)
    done = bench.run(ROLE, "init/check.sh", cluster=RECORDED)
    assert done.returncode == UNKNOWN
    assert "another cluster" in done.stderr
    assert not [call for call in bench.calls("docker") if "leave" in call]


def test_init_check_of_a_worker_depends_on_the_record(bench: Bench) -> None:
    bench.member(role="worker")
    assert bench.run(ROLE, "init/check.sh", cluster=RECORDED).returncode == UNSATISFIED
    assert bench.run(ROLE, "init/check.sh").returncode == UNKNOWN


def test_init_check_of_a_dead_daemon_or_lost_quorum_is_unknown(bench: Bench) -> None:
    bench.answer("docker", "info*", code=1, times=1)
    assert bench.run(ROLE, "init/check.sh").returncode == UNKNOWN
    bench.member()
    bench.answer("docker", "node ls", code=1)
    done = bench.run(ROLE, "init/check.sh")
    assert done.returncode == UNKNOWN
    assert "quorum" in done.stderr


def test_init_forms_one_swarm_and_says_no_token(bench: Bench) -> None:
    bench.info("inactive")
    bench.answer("docker", "swarm init *", f"To add a worker: docker swarm join --token {TOKEN}")
    done = bench.run(ROLE, "init/apply.sh")
    assert done.returncode == 0, done.stderr
    assert TOKEN not in done.stdout + done.stderr
    [call] = [c for c in bench.calls("docker") if "swarm init" in c]
    assert "--advertise-addr 10.77.0.11:2377" in call
    assert "--data-path-port 4789" in call


def test_init_never_applies_where_a_cluster_is_on_record(bench: Bench) -> None:
    bench.info("inactive")
    done = bench.run(ROLE, "init/apply.sh", cluster=RECORDED)
    assert done.returncode == 1
    assert bench.calls("docker") == []


def test_init_applied_before_is_left_alone(bench: Bench) -> None:
    bench.info("active")
    assert bench.run(ROLE, "init/apply.sh").returncode == 0
    assert not [call for call in bench.calls("docker") if "swarm init" in call]


def test_init_verify_tells_what_joins_need(bench: Bench) -> None:
    bench.member()
    bench.answer("docker", "node inspect * self", READY)
    done = bench.run(ROLE, "init/verify.sh")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["cluster_id"] == CLUSTER
    assert said["manager_addr"] == "10.77.0.11:2377"
    assert (said["node_id"], said["role"], said["machine"]) == (NODE, "manager", "n1")


# the token --------------------------------------------------------------------------------------


def test_mint_prints_the_token_alone_and_revoke_nothing(bench: Bench) -> None:
    bench.answer("docker", "swarm join-token --quiet worker", TOKEN)
    bench.answer("docker", "swarm join-token --quiet --rotate worker", "SWMTKN-1-new-token")
    minted = bench.run(ROLE, "mint.sh", params={"role": "worker"})
    assert (minted.stdout, minted.stderr) == (f"{TOKEN}\n", "")
    revoked = bench.run(ROLE, "revoke.sh", params={"role": "worker"})
    assert (revoked.returncode, revoked.stdout, revoked.stderr) == (0, "", "")


# join -------------------------------------------------------------------------------------------


def joining(bench: Bench, *, http: str = "200", code: int = 0) -> None:
    bench.info("inactive", times=1)
    bench.secret("join_token", TOKEN)
    bench.answer("curl", "*/swarm/join", http, code=code)


def joins(bench: Bench) -> list[str]:
    return [call for call in bench.calls("curl") if call.endswith("/swarm/join")]


def test_join_sends_the_token_by_stdin_only(bench: Bench) -> None:
    joining(bench)
    bench.info("active")
    done = bench.run(ROLE, "join/apply.sh", outputs=MEMBERS)
    assert done.returncode == 0, done.stderr
    assert json.loads((bench.home / "curl-stdin").read_text()) == {
        "ListenAddr": "0.0.0.0:2377",
        "AdvertiseAddr": "10.77.0.11",
        "RemoteAddrs": ["10.77.0.11:2377"],
        "JoinToken": TOKEN,
    }
    assert TOKEN not in "\n".join(bench.calls()) + done.stdout + done.stderr
    [call] = joins(bench)
    assert "--data-binary @-" in call


def test_join_that_times_out_is_waited_for_and_not_repeated(bench: Bench) -> None:
    joining(bench, http="", code=28)
    bench.info("inactive", times=1)
    bench.info("pending", times=4)
    bench.info("active")
    done = bench.run(ROLE, "join/apply.sh", outputs=MEMBERS)
    assert done.returncode == 0, done.stderr
    assert len(joins(bench)) == 1


def test_join_that_is_refused_fails_and_hides_the_token(bench: Bench) -> None:
    joining(bench, http="400")
    done = bench.run(ROLE, "join/apply.sh", outputs=MEMBERS)
    assert done.returncode == 1
    assert "refused the join (400)" in done.stderr
    assert TOKEN not in done.stderr


def test_what_is_no_token_is_never_sent(bench: Bench) -> None:
    joining(bench)
    bench.secret("join_token", 'x","JoinToken":"y')
    done = bench.run(ROLE, "join/apply.sh", outputs=MEMBERS)
    assert done.returncode == 1
    assert joins(bench) == []


@pytest.mark.parametrize(
    ("role", "wanted", "answer"),
    [
        ("worker", "worker", SATISFIED),
        ("manager", "manager", SATISFIED),
        ("worker", "manager", UNSATISFIED),
        ("manager", "worker", UNSATISFIED),
    ],
)
def test_join_check_of_a_member(bench: Bench, role: str, wanted: str, answer: int) -> None:
    bench.member(role=role)
    done = bench.run(ROLE, "join/check.sh", outputs=MEMBERS, params={"role": wanted})
    assert done.returncode == answer, done.stderr


def test_join_check_of_a_stranger_and_of_another_clusters_member(bench: Bench) -> None:
    bench.info("inactive", times=1)
    assert bench.run(ROLE, "join/check.sh", outputs=MEMBERS).returncode == UNSATISFIED
    bench.member(role="worker", cluster="x" * 25)
    done = bench.run(ROLE, "join/check.sh", outputs=MEMBERS)
    assert done.returncode == UNKNOWN
    assert "another cluster" in done.stderr


def test_join_does_not_change_a_members_role_behind_the_managers_back(bench: Bench) -> None:
    bench.member(role="worker")
    done = bench.run(ROLE, "join/apply.sh", outputs=MEMBERS, params={"role": "manager"})
    assert done.returncode == 1
    assert "docker node promote n1" in done.stderr


def test_join_verify_waits_for_the_role_and_names_the_cluster(bench: Bench) -> None:
    bench.member(role="worker")
    done = bench.run(ROLE, "join/verify.sh", outputs=MEMBERS)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["role"], said["cluster_id"], said["manager_addr"]) == ("worker", CLUSTER, "")
    wrong = bench.run(ROLE, "join/verify.sh", outputs=MEMBERS, params={"role": "manager"})
    assert wrong.returncode == 1


# admit ------------------------------------------------------------------------------------------

JOINING = {
    "prepare": {
        "by_machine": {
            "m-2": {"machine": "n2", "hostname": "n2", "node_state": "inactive"},
            "m-3": {"machine": "n3", "hostname": "n3", "node_state": "active"},
        }
    }
}
LS = "node ls --format {{.ID}} {{.Hostname}} {{.Status}} {{.Self}}"
MANAGERS = "node ls --format {{.ID}} {{.ManagerStatus}}"


def test_admit_finds_only_members_of_joining_machines(bench: Bench) -> None:
    bench.answer("docker", LS, "aaa n1 Ready true\nbbb n2 Down false\nccc n3 Down false")
    done = bench.run(ROLE, "admit/check.sh", outputs=JOINING)
    assert (done.returncode, done.stderr) == (UNSATISFIED, "stale members: bbb\n")


def test_admit_waits_until_the_swarm_notices_a_reimaged_machine(bench: Bench) -> None:
    bench.answer("docker", LS, "aaa n1 Ready true\nbbb n2 Ready false", times=5)
    bench.answer("docker", LS, "aaa n1 Ready true\nbbb n2 Down false")
    assert bench.run(ROLE, "admit/check.sh", outputs=JOINING).returncode == UNSATISFIED


def test_admit_of_two_machines_with_one_name_is_unknown(bench: Bench) -> None:
    bench.answer("docker", LS, "aaa n1 Ready true\nbbb n2 Ready false")
    done = bench.run(ROLE, "admit/check.sh", outputs=JOINING)
    assert done.returncode == UNKNOWN
    assert "two machines with one name" in done.stderr


def test_admit_without_a_quorum_is_unknown(bench: Bench) -> None:
    bench.answer("docker", "node ls*", code=1)
    assert bench.run(ROLE, "admit/check.sh", outputs=JOINING).returncode == UNKNOWN


def test_admit_demotes_a_stale_manager_before_it_is_removed(bench: Bench) -> None:
    bench.answer("docker", LS, "aaa n1 Ready true\nbbb n2 Down false")
    bench.answer("docker", MANAGERS, "aaa Leader\nbbb Unreachable\nccc Reachable")
    bench.answer("docker", "node inspect --format {{.Spec.Role}}{{with *", "managermanager")
    bench.answer("docker", "node demote bbb")
    bench.answer(
        "docker", "node inspect --format {{.Spec.Role}} {{with *", "manager manager", times=2
    )
    bench.answer("docker", "node inspect --format {{.Spec.Role}} {{with *", "worker ")
    bench.answer("docker", "node rm --force bbb")
    done = bench.run(ROLE, "admit/apply.sh", outputs=JOINING)
    assert done.returncode == 0, done.stderr
    acted = [c for c in bench.calls("docker") if "demote" in c or " rm " in c]
    assert acted == ["docker node demote bbb", "docker node rm --force bbb"]


def test_admit_never_costs_the_quorum(bench: Bench) -> None:
    bench.answer("docker", LS, "aaa n1 Ready true\nbbb n2 Down false")
    bench.answer(
        "docker", MANAGERS, "aaa Leader\nbbb Unreachable\nccc Unreachable\nddd Unreachable"
    )
    bench.answer("docker", "node inspect --format {{.Spec.Role}}{{with *", "managermanager")
    done = bench.run(ROLE, "admit/apply.sh", outputs=JOINING)
    assert done.returncode == 1
    assert "1 of 3 managers" in done.stderr
    assert not [c for c in bench.calls("docker") if "demote" in c]


# proof and witness ------------------------------------------------------------------------------

IDS = "node ls --format {{.ID}} {{.Hostname}} {{.Status}} {{.Availability}} {{.ManagerStatus}}"
RECORD = "config inspect*"
CONFIGS = "config ls --filter label=rackwright.members=* --format {{.Name}}"


def test_proof_of_this_membership_with_all_ready_is_satisfied(bench: Bench) -> None:
    bench.answer("docker", "node ls")
    bench.answer("docker", CONFIGS, "rackwright-proof-f00")
    bench.answer("docker", RECORD, "{}")
    bench.answer("docker", IDS, f"{NODE} n1 Down Active Unreachable", times=2)
    bench.answer("docker", IDS, f"{NODE} n1 Ready Active Leader")
    done = bench.run(ROLE, "proof/check.sh", outputs=MEMBERS)
    assert done.returncode == SATISFIED, done.stderr


def test_proof_that_was_not_made_or_no_longer_holds_is_unsatisfied(bench: Bench) -> None:
    bench.answer("docker", "node ls")
    bench.answer("docker", CONFIGS, times=1)
    assert bench.run(ROLE, "proof/check.sh", outputs=MEMBERS).returncode == UNSATISFIED
    bench.answer("docker", CONFIGS, "rackwright-proof-f00")
    bench.answer("docker", RECORD, "{}")
    bench.answer("docker", IDS, f"{NODE} n1 Ready Active Leader\nold n1 Down Active ")
    done = bench.run(ROLE, "proof/check.sh", outputs=MEMBERS)
    assert done.returncode == UNSATISFIED
    assert "stale member old" in done.stderr


def test_proof_check_is_unknown_without_members_or_quorum(bench: Bench) -> None:
    bench.answer("docker", "node ls", code=1)
    assert bench.run(ROLE, "proof/check.sh", outputs=MEMBERS).returncode == UNKNOWN
    assert bench.run(ROLE, "proof/check.sh").returncode == UNKNOWN


def test_another_membership_needs_another_proof(bench: Bench) -> None:
    bench.answer("docker", "node ls")
    bench.answer("docker", CONFIGS)
    moved = json.loads(json.dumps(MEMBERS))
    for outputs in (MEMBERS, moved):
        bench.run(ROLE, "proof/check.sh", outputs=outputs)
    moved["init"]["by_machine"]["m-1"]["node_id"] = "m" * 25
    bench.run(ROLE, "proof/check.sh", outputs=moved)
    rebooted = json.loads(json.dumps(MEMBERS))
    rebooted["init"]["by_machine"]["m-1"]["boot_id"] = "boot-2"
    bench.run(ROLE, "proof/check.sh", outputs=rebooted)
    asked = [c for c in bench.calls("docker") if "config ls" in c]
    assert asked[0] == asked[1] == asked[3] != asked[2]


def test_proof_evidence_of_a_large_cluster_stays_within_its_bound(bench: Bench) -> None:
    bench.answer("docker", CONFIGS, "rackwright-proof-f00")
    bench.answer("docker", IDS, f"{NODE} n1 Ready Active Leader")
    nodes = [{"machine": f"n{number}", "nonce": "f00"} for number in range(3000)]
    record = json.dumps(
        {"cluster_id": CLUSTER, "nonce": "f00", "nodes": nodes}, separators=(",", ":")
    )
    bench.answer("docker", "config inspect*", record)
    done = bench.run(ROLE, "proof/verify.sh", outputs=MEMBERS)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "cluster_id": CLUSTER,
        "nonce": "f00",
        "nodes": [],
        "node_count": 1,
    }


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (f"rackwright-proof f00 {NODE} n1 task boot", 0),
        (f"rackwright-proof bad {NODE} n1 task boot", 1),
        (f"rackwright-proof f00 {'x' * 25} n1 task boot", 1),
        ("", 1),
    ],
)
def test_witness_believes_only_this_proof_on_this_node(bench: Bench, line: str, code: int) -> None:
    bench.member()
    left = bench.home / "var/lib/rackwright/proof"
    left.mkdir(parents=True)
    (left / "last").write_text(f"{line}\n" if line else "")
    outputs = {"proof": {"by_machine": {"m-1": {"nonce": "f00", "cluster_id": CLUSTER}}}}
    done = bench.run(ROLE, "witness/verify.sh", outputs=outputs)
    assert done.returncode == code
    if code == 0:
        assert json.loads(done.stdout)["nonce"] == "f00"


# drain ------------------------------------------------------------------------------------------

LEAVING = {
    "identify": {"by_machine": {"m-2": {"leaving_hostname": "n2", "leaving_node_id": "bbb"}}}
}
SELVES = "node ls --format {{.ID}} {{.Hostname}} {{.Self}} {{.ManagerStatus}}"


@pytest.mark.parametrize(
    ("managers", "says"),
    [
        ("aaa n1 true Leader\nbbb n2 false Reachable\nccc n3 false Unreachable", "1 of 2 managers"),
        ("aaa n1 false \nbbb n2 false Leader", "no manager would stay"),
    ],
)
def test_drain_is_refused_before_anything_where_no_quorum_stays(
    bench: Bench, managers: str, says: str
) -> None:
    bench.answer("docker", SELVES, managers)
    done = bench.run(ROLE, "drain/apply.sh", outputs=LEAVING)
    assert done.returncode == 1
    assert says in done.stderr
    assert not [c for c in bench.calls("docker") if "update" in c or "demote" in c]


def test_drain_never_removes_the_manager_that_leads_it(bench: Bench) -> None:
    bench.answer("docker", SELVES, "bbb n2 true\nccc n3 false")
    for script in ("drain/check.sh", "drain/apply.sh", "forget/check.sh"):
        assert bench.run(ROLE, script, outputs=LEAVING).returncode == 1
    by_name = bench.run(ROLE, "drain/apply.sh", params={"leaving": ["n2"]})
    assert by_name.returncode == 1
    assert "leaves itself" in by_name.stderr


def test_drained_and_idle_is_satisfied(bench: Bench) -> None:
    bench.answer("docker", SELVES, "aaa n1 true\nbbb n2 false")
    bench.answer("docker", "node inspect --format {{.Spec.Availability}}*", "drain worker")
    bench.answer("docker", "node inspect --format {{.Status.State}} bbb", "ready")
    bench.answer("docker", "node ps*", "Running 3 minutes ago", times=1)
    bench.answer("docker", "node ps*", "")
    assert bench.run(ROLE, "drain/check.sh", outputs=LEAVING).returncode == UNSATISFIED
    assert bench.run(ROLE, "drain/check.sh", outputs=LEAVING).returncode == SATISFIED


# how the daemon is asked -------------------------------------------------------------------------


def by_api(bench: Bench) -> None:
    bench.member(by_api=True)
    bench.answer("curl", "*http://localhost/swarm", "{}")
    bench.answer("curl", f"*http://localhost/nodes/{NODE}", READY)
    bench.answer("curl", "*http://localhost/images/*/json", '{"Id":"sha256:f00","RepoTags":[]}')
    bench.answer("curl", "*http://localhost/configs", '[{"ID":"x","Spec":{"Data":"e30="}}]')
    bench.answer("docker", IDS, f"{NODE} n1 Ready Active Leader")


@pytest.mark.parametrize(
    ("script", "by_client"),
    [
        ("init/check.sh", 0),
        ("init/verify.sh", 0),
        ("join/check.sh", 0),
        ("join/verify.sh", 0),
        ("identify/verify.sh", 0),
        ("proof/check.sh", 1),
        ("proof/verify.sh", 1),
    ],
)
def test_a_whole_member_is_asked_once_and_without_the_client(
    bench: Bench, script: str, by_client: int
) -> None:
    by_api(bench)
    params = {"role": "manager"}
    done = bench.run(ROLE, script, outputs=MEMBERS, cluster=RECORDED, params=params)
    assert done.returncode == 0, done.stderr
    assert len(bench.calls("docker")) == by_client
    assert len([c for c in bench.calls("curl") if c.endswith("/info")]) <= 1
    assert not script.endswith("verify.sh") or json.loads(done.stdout) is not None


def test_api_and_client_give_the_same_evidence(bench: Bench) -> None:
    bench.member()
    bench.answer("docker", "node inspect * self", READY)
    by_client = bench.run(ROLE, "init/verify.sh")
    by_api(bench)
    assert bench.run(ROLE, "init/verify.sh").stdout == by_client.stdout != ""


def test_a_client_without_a_daemon_says_nothing_of_a_swarm(bench: Bench) -> None:
    """docker info with a template ends with 0 although no daemon answers (docker 20.10)."""
    bench.answer("docker", INFO, '{"ID":"","ServerErrors":["Cannot connect"]}')
    for script in ("init/check.sh", "join/check.sh", "leave/check.sh", "leave/verify.sh"):
        done = bench.run(ROLE, script, outputs=MEMBERS)
        assert (done.returncode, done.stderr) == (UNKNOWN, "dockerd does not answer\n"), script


def test_nobody_joining_needs_no_admission(bench: Bench) -> None:
    done = bench.run(ROLE, "admit/check.sh")
    assert (done.returncode, bench.calls()) == (SATISFIED, [])

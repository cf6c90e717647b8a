from rackwright.engine.drivers.redfish_orphans import SessionFacts, session_facts

OURS = {
    "UserName": "admin",
    "ClientOriginIPAddress": "10.0.0.9",
    "CreatedTime": "2026-01-01T00:01:00+00:00",
}
WINDOW = [(-30.0, -25.0)]  # a login was lost 30 to 25 s before this session was asked for


def _kin(**change: str) -> bool:
    other = {**OURS, "CreatedTime": "2026-01-01T00:00:31+00:00", **change}
    return session_facts(OURS).is_kin(session_facts(other), WINDOW)


def test_session_made_while_our_login_was_lost_is_ours() -> None:
    assert _kin()


def test_sessions_of_others_are_left_alone() -> None:
    assert not _kin(UserName="root")
    assert not _kin(ClientOriginIPAddress="10.0.0.8")
    assert not _kin(CreatedTime="2026-01-01T00:00:10+00:00")
    assert not _kin(CreatedTime="2026-01-01T00:00:50+00:00")


def test_service_that_does_not_tell_proves_nothing() -> None:
    assert not _kin(CreatedTime="")
    assert not _kin(CreatedTime="yesterday")
    nobody = SessionFacts("", "", 0.0)
    assert not nobody.is_kin(nobody, WINDOW)

"""Blocked senders at RCPT: from `rollcall sender` to Postfix's answer, on real servers.

Catches: a refusal that was not switched on, for somebody else's rule, for a colleague in the same message, or from a
rule that is over; a rule that takes long to hold; a gateway that refuses out of ignorance after a restart; an `explain`
that says otherwise than the daemon.
"""
from harness import Postfix, Rollcall, eventually, main, run, smtp

BLOCKED, BY_DOMAIN = "550 5.7.1 Sender not accepted by this recipient (sender-blocked)", "550 5.7.1 Go away (sender-blocked-domain)"
ALICE, DESK, BOB = "alice@example.com", "desk@example.com", "bob@example.com"
EVE = "Eve@Bad.Example"


def make(**settings):
    rc = Rollcall(**settings)
    rc.cli("customer", "add", "Example")
    rc.cli("domain", "add", "example.com", "--customer", "Example")
    rc.cli("domain", "add", "alias.example", "--customer", "Example", "--alias-of", "example.com")
    rc.cli("user", "add", ALICE, "--alias", DESK)
    rc.cli("user", "add", BOB)
    return rc


def explained(rc, recipient, sender):
    return rc.json("explain", recipient, "--sender", sender)


def test_rules_reach_the_answers():
    with make(reject_blocked_senders="yes", log_answers="refused") as rc, rc.policyd():
        rc.followed()
        says = lambda recipient, sender: rc.ask(recipient, sender=sender)
        becomes = lambda recipient, sender, start: eventually(
            lambda: says(recipient, sender).startswith(start), 10, f"{sender} to {recipient}: {start}")
        assert says(ALICE, EVE) == "DUNNO"
        rc.cli("sender", "block", "eve@bad.example", "--user", DESK)
        becomes(ALICE, EVE, BLOCKED)
        for recipient in (ALICE, DESK, "ALICE+tag@Example.com", "alice@alias.example"):
            assert says(recipient, EVE).startswith("550 5.7.1"), recipient
            shown = explained(rc, recipient, EVE)
            assert shown["rule"] == "sender-blocked" and shown["reply"] == BLOCKED, shown
            assert [(r["of"], r["action"], r["pattern"]) for r in shown["senders"]] == [("user", "block", "eve@bad.example")]
        for recipient, sender in ((BOB, EVE), (ALICE, "mallory@bad.example"), (ALICE, ""), ("postmaster@example.com", EVE)):
            assert says(recipient, sender) == "DUNNO", (recipient, sender)
            assert explained(rc, recipient, sender)["verdict"] == "accept"
        assert says("nobody@example.com", EVE).startswith("550 5.1.1"), "who is not there is not there"
        assert rc.ask(ALICE, "DATA", sender=EVE) == "DUNNO"
        # the domain's, and a user's allow against it
        rc.set(blocked_text="Go away")
        rc.daemon.reload()
        rc.cli("sender", "block", "*.spam.example", "--domain", "example.com")
        rc.cli("sender", "allow", "news.spam.example", "--user", BOB)
        becomes(ALICE, "x@news.spam.example", BY_DOMAIN)
        becomes(BOB, "x@news.spam.example", "DUNNO")
        assert says(BOB, "x@other.spam.example") == BY_DOMAIN
        assert explained(rc, BOB, "x@news.spam.example")["verdict"] == "accept"
        assert says("nobody@example.com", "x@a.spam.example").startswith("550 5.1.1")
        figures = rc.metrics()
        assert figures["rollcall_replica_sender_rules"] == 4, "one of the domain, one of bob, one for each address of alice"
        assert figures['rollcall_policy_answers_total{action="reject",rule="sender-blocked"}'] >= 4
        assert "sender-blocked" in rc.daemon.log.read_text() and "sender-blocked" in rc.cli("explain", "sender-blocked")
        # taken back
        rc.cli("sender", "remove", "eve@bad.example", "--user", ALICE)
        becomes(ALICE, EVE, "DUNNO")
        # switched off and on while it runs
        rc.set(reject_blocked_senders="no")
        rc.daemon.reload()
        becomes(ALICE, "x@other.spam.example", "DUNNO")
        eventually(lambda: rc.metrics()["rollcall_replica_sender_rules"] == 0, 10, "the rules are gone")
        shown = rc.run("explain", ALICE, "--sender", "x@other.spam.example")
        assert "*.spam.example" in shown.stdout and "reject_blocked_senders = no" in shown.stdout + shown.stderr, shown
        rc.set(reject_blocked_senders="yes")
        rc.daemon.reload()
        becomes(ALICE, "x@other.spam.example", BY_DOMAIN)


def test_off_unless_it_is_wanted():
    with make() as rc, rc.policyd():
        rc.cli("sender", "block", "eve@bad.example", "--user", ALICE)
        rc.cli("user", "add", "new@example.com")
        rc.followed()
        assert rc.ask(ALICE, sender=EVE) == "DUNNO"
        assert rc.metrics()["rollcall_replica_sender_rules"] == 0


def test_an_address_that_changes_hands():
    """Whose rules: those of whoever has the address now."""
    with make(reject_blocked_senders="yes") as rc, rc.policyd():
        rc.cli("sender", "block", "eve@bad.example", "--user", ALICE)
        eventually(lambda: rc.ask(DESK, sender=EVE).startswith("550"), 10, "alice's rule")
        rc.cli("user", "remove", DESK, "--wait")
        rc.cli("user", "add", DESK, "--wait")
        assert rc.ask(DESK, sender=EVE) == "DUNNO", "its new owner has no rules"
        eventually(lambda: rc.ask(ALICE, sender=EVE).startswith("550"), 10, "alice has hers")
        # evidence about an address does not cost it its rules
        rc.psql("begin; select roll_begin('a yes'); update recipient set verified_on = current_date, "
                "changed_by = roll_changeset() where local_part = 'alice'; commit")
        rc.followed()
        eventually(lambda: rc.ask(ALICE, sender=EVE).startswith("550"), 10, "read again at once")
        # all is loaded anew: the rules too
        rc.daemon.stop()
        run("rm", "-rf", *rc.settings["replica_directory"].glob("*"))
        rc.daemon.start()
        eventually(lambda: rc.ask(ALICE, sender=EVE).startswith("550"), 20, "after a full load")


def test_started_without_a_database():
    with make(reject_blocked_senders="yes") as rc, rc.policyd():
        rc.cli("sender", "block", "eve@bad.example", "--user", ALICE)
        eventually(lambda: rc.ask(ALICE, sender=EVE).startswith("550"), 10, "the rule")
        rc.followed()
        rc.psql("alter role rollcall_policyd nologin")
        try:
            rc.psql("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'rollcall_policyd' and datname = "
                    "current_database()")
            eventually(lambda: rc.metrics()["rollcall_database_connected"] == 0, 10, "the daemon has noticed")
            assert rc.ask(ALICE, sender=EVE).startswith("550"), "what it knows holds"
            rc.daemon.restart()
            assert rc.ask(ALICE, sender=EVE) == "DUNNO", "nobody is refused out of ignorance"
            assert rc.ask("nobody@example.com", sender=EVE).startswith("550 5.1.1"), "the roll is on disk"
        finally:
            rc.psql("alter role rollcall_policyd login")
        eventually(lambda: rc.ask(ALICE, sender=EVE).startswith("550"), 15, "the database is back, and so is the rule")


def test_one_message_for_two():
    """Through Postfix: the one who blocked the sender is refused, the colleague gets the same message."""
    with Postfix.customer([ALICE, BOB]) as customer, Postfix.gateway({"example.com": customer.port}) as gateway:
        with make(socket_path=gateway.policy_socket, policy_socket_owner="postfix", policy_socket_mode="0600",
                  reject_blocked_senders="yes") as rc, rc.policyd(as_root=True):
            rc.cli("sender", "block", "bad.example", "--user", ALICE)
            eventually(lambda: rc.metrics()["rollcall_replica_sender_rules"] == 2, 10, "the rule")
            said = smtp(gateway.port, ALICE, BOB, sender="eve@bad.example", body="From: x\nSubject: one for two\n\nhello\n")
            assert [code for code, _ in said.replies] == [550, 250], said
            assert "Sender not accepted" in str(said.replies[0][1]), said
            eventually(lambda: customer.delivered(BOB), 15, "bob's copy")
            assert not customer.delivered(ALICE)


if __name__ == "__main__":
    main()

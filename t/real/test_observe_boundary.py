"""test_observe_boundary - what observation knows, at the gateways' boundary: refusals, and how many questions are asked

Catches: a refusal that only one gateway knows of, that outlives its reason or hides somebody on the roll; an attack that
is passed on to a customer's server.
"""
import contextlib

from harness import POLICY_USER, PolicyClient, Rollcall, eventually, main, own, shared_postgresql

ASK = "reject_unverified_recipient"


class Boundary(Rollcall):
    name = "boundary"

    def __init__(self, **settings):
        super().__init__(shared_postgresql(), **settings)
        self.cli("customer", "add", "Test")
        for domain, check in (("smtp.test", "smtp"), ("either.test", "either"), ("panel.test", "panel")):
            self.cli("domain", "add", domain, "--customer", "Test", "--relay-check", check, "--loaded")

    def evidence(self, local, yes="null", no="null", domain="smtp.test", count=1):
        """As rollcall-observe tells it: `count` addresses, LOCAL or LOCAL1, LOCAL2 …"""
        names = f"array['{local}']" if count == 1 else f"(select array_agg('{local}' || i) from generate_series(1, {count}) i)"
        many = lambda value, kind: f"array_fill(({value})::{kind}, array[{count}])"
        self.psql(f"""select observe_add('test', {many('current_date', 'date')},
            {many(f"select id from domain where name = '{domain}'", 'int')}, {names}, {many(0, 'int')}, {many(0, 'int')},
            {many(1, 'int')}, {many(1, 'int')}, {many(0, 'int')}, {many(yes, 'timestamptz')}, {many(no, 'timestamptz')})""")

    def refused(self):
        return self.psql("select local_part from refusal where refused_at is not null order by 1").split()


@contextlib.contextmanager
def two_gateways(roll):
    """Connections to two daemons."""
    directory = roll.dir / "second"
    directory.mkdir()
    own(directory, POLICY_USER)
    with roll.policyd() as first, roll.policyd("-o", f"replica_directory={directory}", "-o", "gateway_name=second", "-o",
                                               f"policy_listen=unix:{directory}/policy", "-o", "metrics_listen=",
                                               name="second"):
        roll.daemon = first
        with first.connect() as one, PolicyClient(f"{directory}/policy") as two:
            yield one, two


def test_one_refusal_serves_all_gateways():
    with Boundary() as roll, two_gateways(roll) as gateways:
        roll.followed()
        for gateway in gateways:
            eventually(lambda: ASK in gateway.ask("ghost@smtp.test"), 5, "the domain")
        roll.evidence("ghost", no="now()")
        for gateway in gateways:
            eventually(lambda: "(refused)" in gateway.ask("ghost@smtp.test"), 5, "the refusal")
        assert ASK in gateways[0].ask("ghost@either.test"), "another domain's"
        roll.evidence("ghost", no="now()", domain="either.test")
        eventually(lambda: "(refused)" in gateways[0].ask("Ghost@either.test"), 5, "either refuses, too")
        roll.evidence("ghost", yes="now() + interval '1 second'")
        for gateway in gateways:
            eventually(lambda: ASK in gateway.ask("ghost@smtp.test"), 5, "the newer yes")
        assert roll.metrics()["rollcall_replica_refusals"] == 1
        assert roll.metrics()["rollcall_replica_recipients"] == 0


def test_whoever_comes_onto_the_roll_is_refused_no_more():
    with Boundary() as roll, roll.policyd():
        roll.evidence("new", no="now()")
        roll.evidence("alias", no="now()")
        roll.evidence("later", no="now()")
        roll.followed()
        eventually(lambda: "(refused)" in roll.ask("new@smtp.test"), 5, "the refusal")
        roll.cli("user", "add", "new@smtp.test", "--alias", "alias@smtp.test", "--wait")
        assert roll.refused() == ["later"]
        for address in ("new@smtp.test", "alias@smtp.test"):
            assert ASK in roll.ask(address), "the mailbox may be there by now"
        roll.cli("user", "remove", "new@smtp.test", "--wait")
        assert ASK in roll.ask("new@smtp.test"), "the old refusal is over"
        # again, against the roll that was loaded anew
        roll.evidence("new", no="now()")
        roll.followed()
        roll.daemon.restart()
        roll.followed()
        eventually(lambda: "(refused)" in roll.ask("new@smtp.test") and "(refused)" in roll.ask("later@smtp.test"), 5,
                   "refusals after a restart")


def test_a_refusal_ends_accepting_at_once():
    with Boundary() as roll, roll.policyd():
        roll.cli("user", "add", "bob@smtp.test")
        roll.evidence("bob", yes="now() - interval '2 days'")
        roll.followed()
        eventually(lambda: "DUNNO" in roll.ask("bob@smtp.test"), 5, "accepted lately")
        roll.evidence("bob", no="now()")
        eventually(lambda: "(refused)" in roll.ask("bob@smtp.test"), 5, "one 5.1.1 ends that")
        roll.evidence("bob", yes="now() + interval '1 day'")
        eventually(lambda: "DUNNO" in roll.ask("bob@smtp.test"), 5, "the newest word counts")


def test_old_refusals_are_asked_about_again():
    with Boundary(refused_for="2h") as roll, roll.policyd():
        roll.evidence("old", no="now() - interval '5 hours'")
        roll.evidence("young", no="now()")
        roll.followed()
        eventually(lambda: "(refused)" in roll.ask("young@smtp.test"), 5, "the young one")
        assert ASK in roll.ask("old@smtp.test")


def test_a_dictionary_attack_is_not_passed_on():
    with Boundary(probe_limit="30", harvest_limit="20", inside_networks="192.0.2.0/24") as roll, roll.policyd():
        roll.cli("user", "add", "bob@smtp.test")
        roll.followed()
        ask = lambda local, client: roll.ask(f"{local}@smtp.test", client_address=client)
        answers = [ask(f"guess{i}", "198.51.100.1") for i in range(60)]
        assert sum(ASK in answer for answer in answers) == 20, answers
        assert all("DEFER_IF_PERMIT 4.3.0" in a and "(harvest)" in a for a in answers[20:]), answers[20:]
        assert ASK in ask("guess3", "198.51.100.1"), "Postfix knows that one"
        assert ASK in ask("bob", "198.51.100.1"), "who is on the roll is not held off"
        answers = [ask(f"more{i}", f"203.0.113.{i}") for i in range(20)]
        assert sum(ASK in answer for answer in answers) == 10 and "(probe-limit)" in answers[-1], answers
        assert "(probe-limit)" in ask("inside", "192.0.2.1")
        assert "(unlisted)" in roll.ask("x@panel.test", client_address="198.51.100.1"), "nobody is asked there"
        told = roll.metrics()
        assert told['rollcall_policy_answers_total{action="defer",rule="harvest"}'] == 40, told
        assert told['rollcall_policy_answers_total{action="defer",rule="probe-limit"}'] == 11, told


def test_refusals_are_bounded():
    """Bounded for each domain, in PostgreSQL and so on the gateways that load them."""
    with Boundary() as roll:
        roll.evidence("flood", no="now()", count=100300)
        assert roll.psql("select count(*) from refusal") == "100000"
        with roll.policyd():
            roll.followed()
            eventually(lambda: roll.metrics()["rollcall_replica_refusals"] == 100000, 20, "all refusals")


if __name__ == "__main__":
    main()

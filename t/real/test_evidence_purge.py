"""test_evidence_purge - changesets of evidence go when nobody needs them, and no gateway answers otherwise for it

A gateway that is live goes on where it was; one that was away goes on where its own changeset still is, and else reads
everything anew. Whatever it did, it then answers about every address as a gateway that has just read the whole roll.
"""
import datetime

from faults import DOMAIN, Watcher, drill, world
from harness import FULL, Failed, Rollcall, eventually, main, seeded

ASKED = "asked.test"
LOCALS = [f"person{n}" for n in range(20)] + [f"nobody{n}" for n in range(20)]  # on the roll, and refused by the server

REMEMBERED = {"verified_for": "60d", "refused_for": "30d"}  # so long evidence decides


class Observing:
    """A World whose second domain is in mode smtp, and what its server says, day by day, up to today."""

    def __init__(self, w, days=10):
        self.w, self.roll = w, w.roll
        self.day = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=days)
        people = ", ".join(f"('{local}')" for local in LOCALS if local.startswith("person"))
        self.roll.psql(f"""begin; do $$ begin perform roll_begin('asked'); end $$;
            insert into domain (name, customer_id, relay_check, loaded_at) select '{ASKED}', id, 'smtp', now() from customer;
            insert into recipient (domain_id, local_part, kind) select d.id, v.l, 'group' from domain d, (values {people}) v (l)
              where d.name = '{ASKED}'; commit""")

    def evidence(self, locals_):
        """One run of a collecting gateway: a changeset of evidence. Its version."""
        self.day += datetime.timedelta(days=1)
        yes = {local: local.startswith("person") and self.w.rng.random() < 0.7 for local in locals_}
        rows = ", ".join(f"('{local}', {f'timestamptz {str(self.day)!r}' if said else 'null::timestamptz'},"
                         f" {'null::timestamptz' if said else f'timestamptz {str(self.day)!r}'})" for local, said in yes.items())
        return int(self.roll.psql(f"""select observe_add('gw', array_agg('{self.day:%Y-%m-%d}'::date), array_agg(d.id), array_agg(v.l),
              array_agg(1), array_agg(1), array_agg(0), array_agg(0), array_agg(0), array_agg(v.y), array_agg(v.n))
            from (values {rows}) v (l, y, n), domain d where d.name = '{ASKED}';
            select version from changeset where mode = 'evidence' order by version desc limit 1""").split()[-1])

    def some(self):
        return self.evidence(self.w.rng.sample(LOCALS, self.w.rng.randint(1, 10)))

    def purge(self):
        """As if 60 days had passed. How many changesets of evidence went."""
        self.roll.psql("update changeset set created_at = created_at - interval '60 days'")
        before = self.roll.psql("select count(*) from roll"), self.roll.psql("select count(*) from refusal")
        gone = self.roll.json("db", "purge")["evidence"]
        assert (self.roll.psql("select count(*) from roll"), self.roll.psql("select count(*) from refusal")) == before
        assert self.roll.psql("""select count(*) from (select changed_by from recipient union all select changed_by from refusal
            union all select changed_by from domain) r where not exists (select from changeset c where c.id = r.changed_by)""") == "0"
        return gone

    def has(self, version):
        return self.roll.psql(f"select count(*) from changeset where version = {version}") == "1"

    def answers(self, roll):
        addresses = [f"{local}@{ASKED}" for local in LOCALS] + [f"{local}@{DOMAIN}" for local in sorted(self.w.everybody())]
        return {address: roll.ask(address) for address in addresses}

    def right(self):
        """Every answer is that of a gateway that comes new."""
        self.w.position_agrees()
        with Rollcall(self.roll.pg, self.roll.dbname, init=False, gateway_name="new", **REMEMBERED) as new:
            new.policyd()
            eventually(lambda: self.roll.psql("select count(*) from gateway g, roll_clock c where g.name = 'new'"
                                              " and g.version = c.version") == "1", 15, "the new gateway")
            ours, theirs = self.answers(self.roll), self.answers(new)
        self.roll.psql("delete from gateway where name = 'new'")
        differ = {address: (answer, theirs[address]) for address, answer in ours.items() if answer != theirs[address]}
        assert not differ, differ
        kinds = {answer.split()[0] for address, answer in ours.items() if address.endswith(ASKED)}
        assert kinds >= {"DUNNO", "550"}, f"evidence decides here: {kinds}"

    def more(self):
        """Somebody comes onto the roll; nobody leaves, since a tombstone that goes would make who was away read everything."""
        self.w.commit({f"more{self.w.rng.randrange(1 << 30)}": True})

    def away(self):
        """The gateway is gone for long, and knows of all who left before. Its version."""
        self.w.position_agrees()
        self.purge()
        version = int(self.roll.psql("select version from gateway"))
        self.roll.daemon.stop()
        self.roll.psql("update gateway set seen_at = now() - interval '60 days'")
        return version


def test_live_gateways_go_on():
    with world(seeded(), **REMEMBERED) as w:
        o = Observing(w, 30)
        with drill(w) as (_, writer):
            gone = 0
            for _ in range(3):
                for _ in range(10):
                    o.some()
                w.roll.followed()
                gone += o.purge()
                writer.wait_for(3)
        assert gone > 5, gone
        assert w.loads() == 1
        o.right()
        print(f"    {gone} of 30 changesets of evidence went")


def come_back(w, o, loads):
    """The gateway starts, catches up, and has read everything so many times more."""
    before = w.loads()
    w.roll.policyd()
    with Watcher(w):
        w.equal()
        o.right()
    assert w.loads() - before == loads, f"{w.loads() - before} full loads"


def test_its_own_version_is_gone():
    rng = seeded()
    for _ in range(10 if FULL else 2):
        with world(rng, **REMEMBERED) as w:
            o = Observing(w)
            o.some()
            o.some()
            version = o.away()
            o.more()
            o.evidence(LOCALS)
            o.some()
            assert o.purge() >= 2 and not o.has(version)
            come_back(w, o, 1)


def test_only_later_ones_are_gone():
    rng = seeded()
    for _ in range(10 if FULL else 2):
        with world(rng, **REMEMBERED) as w:
            o = Observing(w)
            o.some()
            o.more()
            version = o.away()
            for _ in range(6):
                o.some()
                o.more()
            o.evidence(LOCALS)
            assert o.purge() >= 6 and o.has(version)
            come_back(w, o, 0)


def test_what_stays():
    """The newest, though nothing stands by it; what a live gateway is at; all that has a history."""
    with world(seeded(), **REMEMBERED) as w:
        o = Observing(w)
        o.evidence(LOCALS)
        at = o.away()
        o.evidence(LOCALS)
        newest = o.evidence(["nobody1"])
        w.roll.psql("delete from refusal where local_part = 'nobody1'")
        w.roll.psql("update gateway set seen_at = now()")
        assert o.purge() == 0 and o.has(at) and o.has(newest), "a live gateway is there"
        w.roll.psql("update gateway set seen_at = now() - interval '60 days'")
        assert o.purge() == 1 and not o.has(at) and o.has(newest) and w.roll.version() == newest
        history = w.roll.psql("select count(*) from changeset where mode <> 'evidence'")
        for setting, mode in (("on", "settings"), ("off", "evidence")):
            try:
                w.roll.psql(f"begin; set local rollcall.purge = '{setting}'; delete from changeset where mode = '{mode}'; commit")
                raise AssertionError(f"{mode} was deleted")
            except Failed as refused:
                assert "keeps its version" in refused.err, refused.err
        assert w.roll.psql("select count(*) from changeset where mode <> 'evidence'") == history
        come_back(w, o, 1)


if __name__ == "__main__":
    main()

"""test_cluster - many gateways: one primary, its standby, four gateways, each on a host of its own; see cluster.py

Catches a gateway that stays with a dead primary, refuses somebody who is on the roll, loses a change that was
acknowledged, does not catch up after its cable was pulled, or believes a list from before a restore.
"""
import statistics
import time

from cluster import DATABASE, Cluster, Writer, since
from faults import DOMAIN
from harness import FULL, eventually, main, shared, shared_servers

BULK = 1_000_000 if FULL else 10_000


def cluster():
    if "cluster" not in shared:
        begun = time.monotonic()
        shared["cluster"] = shared_servers.enter_context(Cluster(BULK))
        print(f"    built in {since(begun):.1f} s")
    return shared["cluster"]


def live_everywhere(c, name, start, limit=20):
    """Seconds until each gateway answers so."""
    begun, seen = time.monotonic(), {}
    while len(seen) < len(c.gateways):
        for gateway in c.gateways:
            if gateway not in seen and gateway.ask(f"{name}@{DOMAIN}").startswith(start):
                seen[gateway] = since(begun)
        assert since(begun) < limit, f"{name} is not {start!r} on all gateways after {limit} s"
    return [seen[gateway] for gateway in c.gateways]


def test_a_change_is_live_within_a_second():
    c, rounds = cluster(), 200 if FULL else 30
    times = []
    with c.primary.session(DATABASE) as session:
        for number in range(rounds):
            there = number % 2 == 0
            c.world.commit({"quick": there}, session)
            times.append(live_everywhere(c, "quick", "DUNNO" if there else "550 5.1.1 "))
    for gateway, took in zip(c.gateways, zip(*times)):
        print(f"    {gateway.settings['gateway_name']}: {rounds} changes, live after {statistics.median(took) * 1000:.1f} ms, "
              f"at most {max(took) * 1000:.1f} ms")
    assert max(map(max, times)) < 1.0
    told = c.gateways[0].cli("user", "add", f"waited@{DOMAIN}", "--wait")
    assert "4 gateways" in told, told
    c.equal()


def fail_over(power_cut):
    c = cluster()
    loads = c.loads()
    with c.watched(), Writer(c) as writer:
        writer.wait_for(20)
        begun = time.monotonic()
        c.fail_over(power_cut)
        promoted = since(begun)
        writer.wait_for(1)
        c.world.commit({"after": True, "before": False})
        live_everywhere(c, "after", "DUNNO", 30)
        followed = since(begun)
        writer.wait_for(20)
    lost = writer.lost(c.world.truth())
    print(f"    promoted {promoted:.2f} s after the end of the primary, its changes live on all four after {followed:.2f} s; "
          f"{len(writer.acknowledged)} acknowledged, {len(lost)} of them lost, {len(writer.unknown)} under way")
    assert not lost, f"acknowledged and lost: {lost[:5]}"
    c.equal()
    assert c.loads() == loads, "nothing was lost: nothing had to be read anew"
    c.world.commit({"after": False})
    c.mend()
    c.world.commit({"mended": True})
    c.equal()


def test_the_primary_is_killed():
    fail_over(power_cut=False)


def test_the_primary_loses_its_power():
    """No connection is closed: who waits for an answer waits until its time is over."""
    fail_over(power_cut=True)


def test_a_gateway_is_cut_off():
    c, changes = cluster(), 3600 if FULL else 200
    cut, loads = c.gateways[1], c.loads()
    c.primary.psql(f"begin; do $$ begin perform roll_begin('limit'); end $$; update domain set stale_limit = 3, changed_by = "
                   f"roll_changeset() where name = '{DOMAIN}'; commit", DATABASE)
    c.settled()
    with c.watched():
        cut.place.unplug()
        with c.primary.session(DATABASE) as session:
            for number in range(changes):
                c.world.commit({f"cut{number % 1000}": number % 3 > 0, f"also{number % 700}": True}, session)
        c.world.commit({f"many{number}": True for number in range(5000)}, session=None)
        eventually(lambda: cut.ask(f"stranger1@{DOMAIN}").startswith("DEFER_IF_PERMIT 4.3.0 "), 15, "its list to be stale")
        assert cut.ask(f"anchor1@{DOMAIN}") == "DUNNO"
        others = [g for g in c.gateways if g is not cut]
        assert all(g.ask(f"many4999@{DOMAIN}") == "DUNNO" for g in others if g.answers(f"many4999@{DOMAIN}", "DUNNO"))
        assert not cut.ask(f"many4999@{DOMAIN}").startswith("DUNNO")
        cut.place.plug()
        begun = time.monotonic()
        cut.answers(f"many4999@{DOMAIN}", "DUNNO", 30)
        print(f"    {changes + 1} changes, caught up {since(begun):.2f} s after the cable was back")
    c.equal()
    assert c.loads() == loads, "it went on where it was"


def test_a_replica_from_before_a_restore():
    """One gateway is down while the database is restored from an older dump; its version is given out again."""
    c = cluster()
    asleep, loads = c.gateways[2], c.loads()
    with c.watched():
        dump = c.primary.dump(DATABASE)
        c.world.commit({"regretted": True})
        for number in range(5):
            c.world.commit({f"old{number}": True})
        c.equal()
        had = c.gateways[0].version()
        asleep.daemon.kill9()
        c.primary.restore(DATABASE, dump)
        while c.gateways[0].version() <= had:
            c.world.commit({f"new{had}": True, f"number{c.gateways[0].version()}": True})
        with asleep.place.inside():
            asleep.daemon.start()
        c.equal()
        assert live_everywhere(c, "regretted", "550 5.1.1 ")
    assert c.loads() == [count + 1 for count in loads]


if __name__ == "__main__":
    main()

"""cluster - a primary, a standby that is synchronous, four gateways and a customer's server, each on a host of its own

All of Rollcall's traffic crosses the bridge of network.py: gateways know PostgreSQL by two addresses, as they would in
earnest. Two of the gateways have a Postfix. The third prefers the standby, the fourth is told of the standby first.
"""
import collections
import contextlib
import random
import smtplib
import subprocess
import threading
import time

from faults import DOMAIN, Acknowledged, Watcher, World
from harness import Postfix, PostgreSQL, Rollcall, Scratch, eventually, free_port
from network import Host, Network

DATABASE = "roll"
BULK = """begin; do $$ begin perform roll_begin('bulk'); end $$;
insert into domain (name, customer_id, relay_check, loaded_at)
  select 'bulk' || n || '.test', (select min(id) from customer), 'panel', now() from generate_series(0, 9) n;
insert into recipient (domain_id, local_part, kind, changed_by)
  select d.id, 'u' || n, 'group', roll_changeset() from generate_series(0, {count} - 1) n
    join domain d on d.name = 'bulk' || n % 10 || '.test';
commit; analyze"""
IMPATIENT = """smtp_connect_timeout = 2s
minimal_backoff_time = 1s
maximal_backoff_time = 2s
queue_run_delay = 1s
transport_retry_time = 1s
"""
GATEWAYS = ("plain", "plain", "prefers the standby", "standby first")


class Server(PostgreSQL):
    """PostgreSQL on a host."""

    def __init__(self, host, data_from=None):
        self.host = host
        super().__init__([f"listen_addresses='{host.address}'", "synchronous_standby_names=''",
                          "wal_keep_size=1GB"], data_from=data_from)
        if data_from is not None:
            self.psql("alter system reset synchronous_standby_names")  # copied from the primary, which waits for us
            self.set("primary_conninfo", f"host={data_from.address} user=postgres connect_timeout=2")
            eventually(lambda: self.psql(f"select sender_host = '{data_from.address}' from pg_stat_wal_receiver where "
                                         "status = 'streaming'") == "t", 20, "the standby to stream")

    @property
    def address(self):
        return self.host.address

    def start(self):
        rules = self.data / "pg_hba.conf"
        with open(rules, "a") as conf:  # harmless when said again
            conf.write("host all all samenet trust\nhost replication all samenet trust\n")
        with self.host.inside():
            return super().start()


class Gateway(Rollcall):
    """rollcall-policyd on a host, perhaps with a Postfix; its command line speaks from that host too."""

    def __init__(self, cluster, number, init, postfix=None):
        self.place, self.postfix = cluster.gateway_hosts[number], postfix
        servers = [cluster.primary, cluster.standby]
        super().__init__(cluster.primary, DATABASE, servers[::-1] if GATEWAYS[number] == "standby first" else servers,
                         init=init, gateway_name=f"gw{number + 1}", poll_interval="200ms",
                         socket_path=postfix and postfix.policy_socket)
        self.options = []
        if GATEWAYS[number] == "prefers the standby":
            self.options = ["-o", f"database=host={self.host} dbname={DATABASE} user=rollcall_policyd "
                            "target_session_attrs=prefer-standby"]

    def run(self, *args, **more):
        with self.place.inside():
            return super().run(*args, **more)

    def policyd(self, *options, **more):
        with self.place.inside():
            return super().policyd(*self.options, *options, as_root=self.postfix is not None, **more)

    def http(self, path, timeout=5):
        with self.place.inside():
            return super().http(path, timeout)


class Cluster(Scratch):
    name = "cluster"

    def __init__(self, bulk, gateways=len(GATEWAYS), postfixes=2, cable=Host):
        super().__init__()
        self.bulk, self.cable, self.stack = bulk, cable, contextlib.ExitStack()
        try:
            self._build(gateways, postfixes)
        except BaseException:
            self.stack.close()
            raise

    def _build(self, gateways, postfixes):
        enter = self.stack.enter_context
        self.net = enter(Network(self.cable))
        hosts = [self.net.host(name) for name in ("db1", "db2")]
        self.gateway_hosts = [self.net.host(f"gw{number + 1}") for number in range(gateways)]
        self.primary = enter(Server(hosts[0]))
        self.standby = enter(Server(hosts[1], data_from=self.primary))
        self.primary.set("synchronous_standby_names", "*")
        hop = self._customer()
        self.postfixes = [enter(self._postfix(host, hop)) for host in self.gateway_hosts[:postfixes]]
        self.gateways = [enter(Gateway(self, n, n == 0, self.postfixes[n] if n < postfixes else None))
                         for n in range(gateways)]
        self.world = World(self.gateways[0], random.Random(1))
        self.primary.psql(BULK.format(count=self.bulk), DATABASE)
        for gateway in self.gateways:
            gateway.policyd()
        self.settled(120)

    def _customer(self):
        """Takes whatever comes."""
        host, port = self.net.host("mx"), free_port()
        with host.inside():
            sink = subprocess.Popen(["smtp-sink", "-u", "nobody", f"{host.address}:{port}", "100"],
                                    stderr=subprocess.DEVNULL)
        self.stack.callback(lambda: (sink.kill(), sink.wait()))
        return host.address, port

    def _postfix(self, host, hop):
        with host.inside():
            return Postfix.gateway({DOMAIN: hop[1]}, IMPATIENT, behind=hop[0], name=host.name.rpartition("-")[2])

    def settled(self, deadline=30):
        """Every gateway has told the primary that it is where the roll is, by version and uuid."""
        wanted = str(len(self.gateways))
        return eventually(lambda: self.primary.psql("""select count(*) from gateway g join roll_clock k on k.version = g.version
            join changeset c on c.version = g.version and c.uuid = g.uuid""", DATABASE) == wanted, deadline,
                          "every gateway to be at the newest version")

    def worlds(self):
        return [self.world.seen_from(gateway) for gateway in self.gateways]

    def equal(self):
        """Every gateway answers what the database says, and has as many recipients."""
        self.settled()
        for world in self.worlds():
            world.equal()
        counts = self.primary.psql("select string_agg(distinct g.recipients::text, ' ') || ' ' || (select count(*) "
                                   "from recipient where state in ('active', 'disabled')) from gateway g", DATABASE)
        assert len(set(counts.split())) == 1, f"recipients on the gateways, and in the database: {counts}"

    def loads(self):
        return [world.loads() for world in self.worlds()]

    def fail_over(self, power_cut):
        """The primary dies, its connections broken (as PostgreSQL killed) or silent (as a host without power), and the
        standby takes over."""
        if power_cut:
            self.primary.host.unplug()
        self.primary.kill9()
        self.standby.promote()
        self.primary, self.dead = self.standby, self.primary
        for gateway in self.gateways:
            gateway.pg = self.primary

    def mend(self):
        """The host that died comes back, as standby."""
        self.dead.host.plug()
        self.standby = self.stack.enter_context(Server(self.dead.host, data_from=self.primary))
        self.primary.set("synchronous_standby_names", "*")

    @contextlib.contextmanager
    def watched(self):
        """All gateways are asked without a pause, and mail flows through those that have a Postfix; nothing may be wrong."""
        with contextlib.ExitStack() as stack:
            for world in self.worlds():
                stack.enter_context(Watcher(world, every=0.02))
            yield [stack.enter_context(Mail(gateway)) for gateway in self.gateways if gateway.postfix]

    def stop(self):
        self.stack.close()

    def __exit__(self, kind, *more):
        if kind is not None:
            for scratch in (self.primary, self.standby, *self.gateways, *self.postfixes):
                scratch.show_logs(25)
        super().__exit__(kind, *more)


class Mail(threading.Thread):
    """Mail to those on the roll and to strangers, one conversation after the other; each accepted one must go on to the
    customer's server."""

    def __init__(self, gateway):
        super().__init__(daemon=True)
        self.gateway, self.done, self.wrong, self.replies = gateway, threading.Event(), [], collections.Counter()

    def run(self):
        rng = random.Random(2)
        with self.gateway.place.inside():
            while not self.done.wait(0.05):
                try:
                    self.one(rng.choice(World.anchors), rng.choice(World.strangers))
                except Exception as error:
                    self.wrong.append(repr(error))

    def one(self, anchor, stranger):
        with contextlib.closing(smtplib.SMTP("127.0.0.1", self.gateway.postfix.port, "client.example.net", 60)) as client:
            client.ehlo()
            client.mail("somebody@example.net")
            known, unknown = (client.rcpt(f"{name}@{DOMAIN}")[0] for name in (anchor, stranger))
            self.replies[f"{known} known"] += 1
            self.replies[f"{unknown} unknown"] += 1
            if known != 250 or unknown not in (550, 450):
                self.wrong.append(f"{anchor} {known}, {stranger} {unknown}")
            if known == 250:
                self.replies["mails"] += client.data("Subject: flow\r\n\r\nhello\r\n")[0] == 250
            client.quit()

    def relayed(self):
        return self.gateway.postfix.log.read_text(errors="replace").count("status=sent")

    def __enter__(self):
        self.before = self.relayed()
        self.start()
        return self

    def __exit__(self, kind, *_):
        self.done.set()
        self.join(60)
        print("    mail:", ", ".join(f"{word} {n}" for word, n in sorted(self.replies.items())))
        if kind is None:
            assert not self.wrong, f"{len(self.wrong)} wrong replies: {self.wrong[:5]}"
            assert self.replies["mails"] > 0
            eventually(lambda: self.relayed() - self.before >= self.replies["mails"], 60, "all accepted mail at the customer's")


def Writer(cluster):
    """Changes without a pause, whoever is primary."""
    return Acknowledged(cluster.world, lambda: cluster.primary.session(DATABASE))


def since(begun):
    return time.monotonic() - begun

"""measure - what t/bench/policy measures with: a private PostgreSQL with a large roll, the daemon, the limits beside it

Uses the servers of t/real/harness.py, with a release build. ROLLCALL_BUILD names the build directory.
"""
import contextlib
import json
import os
import pathlib
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

TREE = pathlib.Path(__file__).resolve().parents[2]
os.environ.setdefault("ROLLCALL_BUILD", str(TREE / "build"))
sys.path.insert(0, str(TREE / "t/real"))
import harness  # noqa: E402  (it reads ROLLCALL_BUILD)
from harness import Postfix, PostgreSQL, Rollcall, eventually, run  # noqa: E402,F401  (PostgreSQL: for policy)

SERVER_CORE, LOAD_CORE = 0, 1
POSTGRESQL = ("shared_buffers=512MB", "max_wal_size=16GB", "checkpoint_timeout=1h", "maintenance_work_mem=1GB",
              "work_mem=64MB", "autovacuum=off")
FILL = """\
begin;
do $$ begin perform roll_begin('bench'); end $$;
insert into customer (name) values ('Bench');
insert into domain (name, customer_id, relay_check, loaded_at)
  select 'd' || lpad(i::text, 3, '0') || '.test', (select id from customer), 'panel', now()
    from generate_series(0, {domains} - 1) i;
insert into recipient (domain_id, local_part, kind)
  select d.id, 'u' || lpad(i::text, 7, '0'), 'group'
    from generate_series(0, {users} - 1) i
    join domain d on d.name = 'd' || lpad((i % {domains})::text, 3, '0') || '.test';
commit;
"""


def say(text):
    """Progress, beside the tables on stdout."""
    print(text, file=sys.stderr, flush=True)


def tool(name):
    return harness.BUILD / "bin" / name


def measured(*command, core=None, timeout=900):
    """The JSON object that a bench program prints; its errors end the run."""
    pin_it = ["taskset", "-c", str(core)] if core is not None else []
    return json.loads(run(*pin_it, *command, timeout=timeout, cwd="/").stdout)


def pin(pid, core):
    """All threads of a process."""
    for task in os.listdir(f"/proc/{pid}/task"):
        os.sched_setaffinity(int(task), {core})


class Quiet:
    """What other programs take of the processors, and the patience to wait until they take little."""
    LITTLE = 0.05  # of all processors

    def __init__(self, patience):
        self.patience, self.most = patience, 0.0  # seconds left to wait; the largest share of others in a round

    @staticmethod
    def _busy():
        """Seconds that the processors worked, stolen time included."""
        fields = [int(n) for n in open("/proc/stat").readline().split()[1:9]]
        return (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")

    @staticmethod
    def _ours(pids):
        """Seconds of what this program started and has seen ending, and of the servers."""
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return (children.ru_utime + children.ru_stime
                + sum(time.clock_gettime(process_clock(pid)) for pid in pids))

    def wait(self):
        while self.patience > 0:
            begun, busy = time.monotonic(), self._busy()
            time.sleep(0.5)
            took = time.monotonic() - begun
            if self._busy() - busy < self.LITTLE * took * os.cpu_count():
                return
            self.patience -= took

    def watched(self, side, pids):
        """The result of side(), done again while others took more than a little and there is patience left."""
        while True:
            self.wait()
            begun, busy, ours = time.monotonic(), self._busy(), self._ours(pids)
            result = side()
            took = time.monotonic() - begun
            others = (self._busy() - busy - (self._ours(pids) - ours)) / (took * os.cpu_count())
            if others <= self.LITTLE or self.patience <= 0:
                self.most = max(self.most, others)
                return result
            self.patience -= took


def process_clock(pid):
    """The CPU clock of another process (clock_getcpuclockid(3))."""
    return ~pid << 3 | 2


def family_seconds(pid):
    """What a server and all its processes have used of the processors, those that ended included."""
    total, parents = 0, {}
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents[int(entry.name)] = int(fields[1]), [int(n) for n in fields[11:15]]
    for one, (_, times) in parents.items():
        ancestor = one
        while ancestor in parents and ancestor != pid:
            ancestor = parents[ancestor][0]
        total += sum(times) if ancestor == pid else 0
    return total / os.sysconf("SC_CLK_TCK")


def alternate(rounds, sides, quiet, pids=None):
    """
    Calls the sides {name: function(round)} in turn, the order reversed every other round; {name: [results]}. With
    `pids`, the servers that take part, rounds that other programs disturbed are repeated.
    """
    results = {name: [] for name in sides}
    for number in range(rounds):
        order = list(sides.items())
        for name, side in order if number % 2 == 0 else reversed(order):
            if pids is None:
                quiet.wait()
                results[name].append(side(number))
            else:
                results[name].append(quiet.watched(lambda: side(number), pids))
    return results


# ---- limits

missed = []


def judged(what, value, must, fine):
    """A measure beside its limit; one that misses it is remembered for end()."""
    if not fine:
        missed.append(f"{what}: {value}, must {must}")
    return f"**{value}** (must {must}{'' if fine else ': MISSED'})"


def end():
    """Ends the program: with 1 when a limit was missed."""
    for miss in missed:
        say(f"missed: {miss}")
    sys.exit(1 if missed else 0)


# ---- figures

def median(values):
    return statistics.median(values)


def ratios(results, over, under, key):
    """Round by round."""
    return [a[key] / b[key] for a, b in zip(results[over], results[under], strict=True)]


def spread(values, digits=2):
    """'median (least–most)'."""
    return f"{median(values):.{digits}f} ({min(values):.{digits}f}–{max(values):.{digits}f})"


class Roll(Rollcall):
    """A roll of that many users, and the daemon that follows it, measured with one worker on one core."""

    def __init__(self, pg, users):
        self.users, self.domains = users, min(1000, max(10, users // 100))
        super().__init__(pg, policy_workers="1", replica_cache="64M", poll_interval="1s",
                         gateway_interval="5s", database_timeout="60s")
        begun = time.monotonic()
        self.psql(FILL.format(users=users, domains=self.domains))
        self.psql("vacuum analyze recipient")
        say(f"  {users} recipients in {self.domains} domains put on the roll in {time.monotonic() - begun:.0f} s")
        self.changes = 0

    def psql(self, sql, check=True):
        """As the harness's, with the time that ten million rows take."""
        return run("psql", "-XAtq", "-v", "ON_ERROR_STOP=1", self.dsn, input=sql, check=check,
                   timeout=3600).stdout.strip()

    @property
    def dsn(self):
        return f"host={self.host} dbname={self.dbname} user=postgres"

    @property
    def address(self):
        return f"unix:{self.socket}"

    def command(self):
        """What starts the daemon; as root, it becomes POLICY_USER by itself."""
        return [tool("rollcall-policyd"), "-c", self.conf]

    def start(self, *options):
        """The daemon with the whole roll in memory; its process id."""
        self.policyd(*options)
        eventually(lambda: self.metrics()["rollcall_replica_in_memory"] == 1
                   and self.metrics()["rollcall_replica_recipients"] >= self.users, 600, "the roll in memory", every=0.1)
        return self.daemon.process.pid

    def some_recipient(self):
        number = self.users // 2
        return f"u{number:07}@d{number % self.domains:03}.test"

    def next_changes(self, count):
        self.changes += count
        return self.changes - count


@contextlib.contextmanager
def null_server(core=None):
    """The same server, which answers DUNNO without parsing or looking: (address, process id)."""
    directory = tempfile.mkdtemp(prefix="rc-null-", dir="/tmp")
    os.chmod(directory, 0o755)
    address = f"unix:{directory}/policy"
    process = subprocess.Popen([tool("bench-null"), address, "1"], preexec_fn=harness.die_with_parent)
    try:
        eventually(lambda: os.path.exists(f"{directory}/policy"), 10, "the null server")
        if core is not None:
            pin(process.pid, core)
        yield address, process.pid
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(directory, ignore_errors=True)


def ask_hard(address, pid, connections, roll, seconds, seed, *expectations):
    """Load from the other core; what bench-load tells."""
    return measured(tool("bench-load"), "--json", "-c", connections, "-s", seconds, "-w", 0.5, "-p", pid, "-n",
                    roll.users, "-d", roll.domains, "--seed", seed, *expectations, address, core=LOAD_CORE)


def memory_kib(pid, name="VmRSS"):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1])
    return 0


def disk_bytes(directory):
    return sum(p.stat().st_blocks * 512 for p in pathlib.Path(directory).rglob("*") if p.is_file())


def machine():
    """A line about where this was measured."""
    cpu = next(line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name"))
    memory = next(int(line.split()[1]) for line in open("/proc/meminfo") if line.startswith("MemTotal")) / 1048576
    postgres = run(harness.PG_BIN / "postgres", "--version").stdout.split()[2]
    return (f"{os.cpu_count()} × {cpu}, {memory:.0f} GiB, Linux {os.uname().release.split('-')[0]}, "
            f"PostgreSQL {postgres}, load before {os.getloadavg()[0]:.2f}")


def through_smtpd(roll, null_address):
    """Three gateways that differ only in how a recipient is looked up: {name: Postfix}."""
    common = """\
relay_domains = static:all
transport_maps = static:discard:
smtpd_relay_restrictions = reject_unauth_destination
parent_domain_matches_subdomains =
smtpd_client_connection_count_limit = 0
in_flow_delay = 0
local_recipient_maps =
"""
    restrictions = """\
smtpd_recipient_restrictions = reject_unauth_destination,
    check_policy_service {{ {address}, timeout=10s, default_action=DEFER }}
"""
    query = roll.dir / "recipients.cf"
    query.write_text(f"""\
hosts = postgresql://postgres@/{roll.dbname}?host={roll.host}
dbname = {roll.dbname}
query = select 1 from recipient r join domain d on d.id = r.domain_id
    where d.name = '%d' and r.local_part = lower('%u') and r.state = 'active'
""")
    query.chmod(0o644)
    return {
        "null": Postfix("null", common + restrictions.format(address=null_address)),
        "rollcall": Postfix("rollcall", common + restrictions.format(address=roll.address)),
        "pgsql": Postfix("pgsql", common + f"""\
smtpd_recipient_restrictions = reject_unauth_destination
relay_recipient_maps = proxy:pgsql:{query}
proxy_read_maps = $relay_recipient_maps
"""),
    }

"""booted_units - what test_package.py tries on a booted machine (booted.py): every unit of the packages, at its work"""
import json
import re
import sys

from booted import ANSWERED, REFUSED, SILENT, Asked, landlock_works
from harness import TREE, eventually, run

ROLES = ("policyd", "observe", "sync", "report", "panel", "quarantine", "admin")
DOMAIN = "booted.test"
EXAMPLES = "usr/share/doc/rollcall-gateway/examples"
DAEMONS = ("rollcall-policyd", "rollcall-quarantine", "rollcall-ldapsync-requests", "rollcall-report-send", "rollcall-panel")
JOBS = ("rollcall-observe-collect", "rollcall-observe-create", "rollcall-ldapsync", "rollcall-report-spam",
        "rollcall-quarantine-purge", "rollcall-db-purge")


def example(root, name):
    """An example of the documentation, which debhelper may have packed."""
    path = root / EXAMPLES / name
    return path.read_text() if path.exists() else run("gzip", "-dc", f"{path}.gz").stdout


def configure(root):
    """docs/install.md and existing-postfix.md, as far as they write files; the domain's server is Postfix itself."""
    etc = root / "etc"
    hba = etc / "postgresql/15/main/pg_hba.conf"
    hba.write_text("local rollcall all peer map=rollcall\n" + hba.read_text())
    with open(etc / "postgresql/15/main/pg_ident.conf", "a") as ident:
        ident.write("rollcall postgres postgres\nrollcall root rollcall_admin\n")
        ident.write("".join(f"rollcall rollcall rollcall_{role}\n" for role in ROLES))
    (etc / "rollcall/rollcall.conf").write_text(
        "observe_sources = journal\npanel_url = http://127.0.0.1:8025\n"
        "policy_listen = unix:/var/spool/postfix/private/rollcall, unix:/run/rollcall/policy\n")
    (etc / "postfix/main.cf").write_text(
        "compatibility_level = 3.6\nmyhostname = gateway.booted.test\nmydestination = localhost, $myhostname\n"
        "mynetworks = 127.0.0.0/8\nalias_maps =\nalias_database =\ninet_interfaces = 127.0.0.1\ninet_protocols = ipv4\n" + example(root, "main.cf.example"))
    (etc / "postfix/relay_domains").write_text(f"{DOMAIN} OK\n")
    (etc / "postfix/transport").write_text(f"{DOMAIN} discard:\n")
    own = [line for line in example(root, "master.cf.example").splitlines() if re.match(r"(127\.0\.0\.1|  -o)", line)]
    with open(etc / "postfix/master.cf", "a") as master:
        master.write("\n".join(own[:6]) + "\n")


def enable(machine):
    """Every unit there is, as docs/install.md has it; and a domain with one user."""
    machine("runuser", "-u", "postgres", "--", "createdb", "rollcall")
    machine("runuser", "-u", "postgres", "--", "rollcall", "-c", "/dev/null", "db", "init")
    machine("systemctl", "reload", "postgresql")
    told = re.findall(r"systemctl enable --now ([^#\n]*)", (TREE / "docs/install.md").read_text())
    units = [unit for line in told for unit in line.split()]
    units += ["rollcall-quarantine.service"]  # docs/filters.md
    machine("systemctl", "enable", "--now", *units)
    machine("systemctl", "restart", "postfix")
    admin(machine, "customer", "add", "Test")
    admin(machine, "domain", "add", DOMAIN, "--customer", "Test", "--relay-check", "panel", "--next-hop", "relay:[127.0.0.1]")
    admin(machine, "user", "add", f"alice@{DOMAIN}", "--wait")
    return units


def admin(machine, *command, **more):
    return machine("rollcall", *command, PGUSER="rollcall_admin", **more)


def every_unit_runs(machine, units):
    known = {path.name for path in machine.path("/lib/systemd/system").glob("rollcall-*") if "@" not in path.name}
    started = known - set(units) - {f"{job}.service" for job in JOBS}
    assert not started, f"{started} are named neither here nor in docs/install.md"
    for daemon in DAEMONS:
        machine.wait_active(f"{daemon}.service")
        told = machine.show(f"{daemon}.service", "Type", "NRestarts", "WatchdogUSec")
        assert told["Type"] == "notify" and told["NRestarts"] == "0" and told["WatchdogUSec"] == "30s", (daemon, told)
    due = machine.timers()
    for unit in units:
        assert not unit.endswith(".timer") or due.get(unit), f"{unit} is not due: {due}"
    for job in JOBS:
        machine("systemctl", "start", f"{job}.service")
        assert machine.show(f"{job}.service", "Result")["Result"] == "success", machine.log(f"{job}.service")
    failed = machine("systemctl", "list-units", "--failed", "--plain", "--no-legend", "rollcall*").stdout
    assert not failed, failed
    for unit in (*DAEMONS, *JOBS):
        partly = [line for line in machine.log(f"{unit}.service").splitlines() if "sandbox-partly" in line]
        assert not partly or not landlock_works(), (unit, partly)
    print(f"    {len(DAEMONS)} daemons run, {len(JOBS)} jobs did their work, {len(due)} timers are due")


RCPT = """import smtplib, sys
with smtplib.SMTP("127.0.0.1", 25, timeout=30) as s:
    s.ehlo(), s.mail("a@example.net")
    print(*(s.rcpt(name)[0] for name in sys.argv[1:]))"""


def it_answers(machine):
    codes = run("nsenter", f"--target={machine.leader}", "--net", sys.executable, "-c", RCPT, f"alice@{DOMAIN}",
                f"nobody@{DOMAIN}").stdout.split()
    assert codes == ["250", "550"], codes
    checks = json.loads(admin(machine, "doctor", "--json", check=False).stdout)
    bad = [line for line in checks if line["result"] == "bad" and line["check"] != "filing"]  # there is no filter
    assert len(checks) > 12 and not bad, bad
    shown = admin(machine, "status", check=False).stdout
    assert "/var/lib/postgresql/15/main" in shown and "next_run" in shown and "db-purge" in shown, shown


def restarts_lose_nobody(machine, rounds):
    with Asked(machine.path("/run/rollcall/policy"), f"alice@{DOMAIN}") as asked:
        for _ in range(rounds):
            machine("systemctl", "restart", "rollcall-policyd.service")
            machine.wait_active("rollcall-policyd.service")
        machine("systemctl", "kill", "--signal=KILL", "rollcall-policyd.service")
        eventually(lambda: machine.show("rollcall-policyd.service", "NRestarts")["NRestarts"] != "0", 20, "to be started again")
        machine.wait_active("rollcall-policyd.service")
        before = asked.counts[ANSWERED]
        eventually(lambda: asked.counts[ANSWERED] > before, 20, "an answer after it")
    print(f"    {rounds} restarts and a kill -9: {asked.counts}")
    assert asked.counts[REFUSED] == 0 and asked.counts[SILENT] == 0, asked.counts


def mails(machine):
    box = machine.path("/var/mail/root")
    return box.read_text(errors="replace") if box.exists() else ""


def a_daemon_that_hangs_is_started_again(machine):
    for daemon in DAEMONS:
        unit = f"{daemon}.service"
        machine.drop_in(unit, "WatchdogSec=1s\nTimeoutAbortSec=5s\nLimitCORE=0")
        machine("systemctl", "restart", unit)
        machine.wait_active(unit)
        pid = machine.show(unit, "MainPID")["MainPID"]
        machine("systemctl", "kill", "--kill-who=main", "--signal=STOP", unit)
        eventually(lambda: machine.show(unit, "MainPID")["MainPID"] not in ("0", pid), 60, f"{unit} to be started again")
        machine.wait_active(unit)
        assert "Watchdog timeout" in machine.log(unit), machine.log(unit)
        eventually(lambda: f"Subject: {unit} failed on" in mails(machine), 30, "the mail about it")
    print(f"    {len(DAEMONS)} daemons hung, were started again by the watchdog, and root was told")


def a_failure_is_mailed(machine):
    machine.drop_in("rollcall-ldapsync.service", "Environment=PGUSER=nobody_at_all")
    failed = machine("systemctl", "start", "rollcall-ldapsync.service", check=False)
    assert failed.returncode != 0
    eventually(lambda: "Subject: rollcall-ldapsync.service failed on" in mails(machine), 30, "the mail to root")
    told = mails(machine).split("Subject: rollcall-ldapsync.service failed on")[1]
    assert "Main process exited, code=exited, status=78/CONFIG" in told, told  # with the log's lines

"""test_observe_postfix - observation on real servers: a gateway whose log is collected, and a customer's server

Catches: what Postfix logs otherwise than believed; senders, recipients and headers that pass for deliveries.
"""
import contextlib
import datetime
import grp
import pathlib
import pwd
import re
import shutil
import smtplib
import subprocess

from harness import (BUILD, POLICY_USER, SANITIZER_WORDS, Postfix, Rollcall, eventually, main, own, rcpt, run, shared_postgresql,
                     smtp)
from observed import DAY, Observed, at


def without_policy(gateway, instead):
    """Has the gateway ask nobody, or Postfix's own verification."""
    path = gateway.etc / "main.cf"
    path.write_text(re.sub(r"(?<=reject_unauth_destination,\n)    check_policy_service .*", f"    {instead}",
                           path.read_text()))


@contextlib.contextmanager
def scene(mailboxes, main="", policyd=True, instead="permit", customer_main="", **settings):
    """A gateway whose log is collected, a customer's server, and the daemon (or `instead`) between them."""
    with Postfix.customer(mailboxes, customer_main) as customer, \
            Postfix.gateway({"c.test": customer.port}, start=False, main=f"""\
unverified_recipient_reject_reason = User unknown
default_transport = error:5.0.0 nothing leaves this machine
address_verify_map = lmdb:$data_directory/verify_cache
{main}""") as gateway, Rollcall(shared_postgresql(), socket_path=gateway.policy_socket, policy_socket_mode="0666") as roll:
        if not policyd:
            without_policy(gateway, instead)
        gateway.start()
        roll.__class__ = Observed
        roll.set(**{"observe_sources": gateway.log, "observe_directory": roll.dir / "observe",
                    "inside_networks": "192.0.2.0/24", "postfix_config_directory": gateway.etc,
                    "catch_all_probe": "no", **settings})
        roll.cli("customer", "add", "Test")
        roll.cli("domain", "add", "c.test", "--customer", "Test", "--relay-check", "smtp", "--next-hop",
                 f"[127.0.0.1]:{customer.port}")
        if policyd:
            roll.policyd(as_root=True)
            roll.followed()
        yield customer, gateway, roll


def collected(roll, want, columns="accepted, deliverable, refused"):
    """Collects until the counts are those wanted: the last line of a log may take a moment."""
    def look():
        roll.observe("collect")
        got = roll.counts(columns)
        assert got == want, got
        return True
    eventually(look, 30, f"counts {want}", every=0.2)


def deliver(gateway, recipient, **more):
    dialogue = smtp(gateway.port, recipient, body="Subject: x\r\n\r\nhello\r\n", **more)
    return dialogue.data[0] if dialogue.data else dialogue.replies[0][0]


def probes(customer):
    return len(re.findall(r"from=<double-bounce@|status=deliverable", customer.log.read_text()))


def without_mailbox(customer, address):
    """The customer's server forgets a mailbox."""
    main_cf = customer.etc / "main.cf"
    main_cf.write_text(main_cf.read_text().replace(f"{{ {address} = {address}/ }}, ", ""))
    customer.reload()
    eventually(lambda: rcpt(customer.port, address).startswith("550"), 10, "the mailbox to be gone")


def again_on(gateway, day, queue_id):
    """The lines of that message once more, on another day and under another number."""
    stamp = (DAY + datetime.timedelta(days=day)).strftime("%b %e 12:00:00")
    return "".join(stamp + line[15:].replace(queue_id, f"{day}ABCDEF01") + "\n" for line in gateway.log.read_text().splitlines()
                   if queue_id in line)


def test_the_whole_way():
    """Probe yes and no, three mails, the run, the user; her next mail without a probe, also while her server is away; her
    mailbox deleted: refused at once, retired on the second day."""
    with scene(["alice@c.test", "bob@c.test"], main="""\
address_verify_positive_refresh_time = 5s
address_verify_positive_expire_time = 5s
""") as (customer, gateway, roll):
        roll.observe("collect")
        assert rcpt(gateway.port, "nobody@c.test").startswith("550 5.1.1")
        for _ in range(3):
            assert deliver(gateway, "alice@c.test") == 250
        assert deliver(gateway, "bob@c.test") == 250
        collected(roll, [("alice", "3", "0"), ("bob", "1", "0"), ("nobody", "0", "1")], "accepted, refused")
        assert roll.psql("select bool_and(deliverable > accepted) from observation where refused = 0") == "t", "the probes' yes"
        roll.psql("update domain_observation set since = '2000-01-01'; update log_position set read_from = '2000-01-01'")
        tomorrow = at(2, "00:10:00")
        roll.observe("collect", "--now", tomorrow)
        roll.create(now=tomorrow)
        assert roll.users() == ["alice@c.test"], roll.users()
        roll.followed()
        # she was accepted today: no question is asked about her any more
        roll.observe("collect")
        asked = lambda: gateway.log.read_text().count("from=<double-bounce@")
        before = asked()
        assert deliver(gateway, "alice@c.test") == 250
        customer.stop()
        assert deliver(gateway, "alice@c.test") == 250, "her mail queues while the server is away"
        assert asked() == before, "no probe"
        eventually(lambda: "alice@c.test" in gateway.postqueue(), 10, "the queued message")
        customer.start()
        run("postqueue", "-c", gateway.etc, "-f")
        eventually(lambda: "alice@c.test" not in gateway.postqueue(), 20, "the queue to be empty")
        # her mailbox is deleted: the first mail still passes the boundary, and is the last that does
        without_mailbox(customer, "alice@c.test")
        assert deliver(gateway, "alice@c.test") == 250
        collected(roll, [("alice", "5", "1"), ("bob", "1", "0"), ("nobody", "0", "1")], "accepted, refused")
        roll.followed()
        assert "(refused)" in rcpt(gateway.port, "alice@c.test") and asked() == before, "refused without a question"
        assert roll.users() == ["alice@c.test"], "one day is not enough"
        bounced = [line for line in gateway.log.read_text().splitlines() if "status=bounced" in line and "alice@c.test" in line]
        roll.observe("collect", "--now", at(2, "13:00:00"), "-",
                     input=again_on(gateway, 2, re.search(r": (\w+): to=", bounced[-1])[1]))
        roll.observe("collect", "--now", at(3, "00:05:00"))
        roll.create(now=at(3, "00:05:00"))
        assert roll.users("retired") == ["alice@c.test"] and roll.users() == [], (roll.users("retired"), roll.users())
        roll.followed()
        # verify(8) believes its old yes until that expires, and then asks
        eventually(lambda: rcpt(gateway.port, "alice@c.test").startswith("550 5.1.1"), 30, "her address to be refused")
        assert asked() > before


def hostile_mail(form, accepted):
    with scene(["bob@c.test"], policyd=False, main=f"""\
header_checks = regexp:{{ {{/^X-Note:/ INFO}} }}
info_log_address_format = {form}
""") as (customer, gateway, roll):
        fake = f"victim@c.test>, relay=127.0.0.1[127.0.0.1]:{customer.port}, delay=0, delays=0/0/0/0, dsn=2.0.0, status=sent (250 ok)"
        hostile = [
            dict(sender=f'"> to=<{fake}"@b.test', rcpt="bob@c.test"),
            dict(sender="a@b.test", rcpt=f'"{fake}"@c.test'),
            dict(sender="a@b.test", rcpt="bob@c.test", helo=f"x: A1B2C3D4E5: to=<{fake}"),
            dict(sender="a@b.test", rcpt="nobody@c.test", helo="y status=sent (250 ok)"),
            dict(sender="a@b.test", rcpt="bob@c.test", header=f"X-Note: A1B2C3D4E5: to=<{fake}"),
            dict(sender="a@b.test", rcpt="bob@c.test", header=f"Message-ID: <x@y>: to=<{fake}"),
        ]
        for mail in hostile:
            with contextlib.closing(smtplib.SMTP("127.0.0.1", gateway.port, timeout=30)) as client:
                client.docmd("EHLO", mail.get("helo", "client.test"))
                client.docmd("MAIL", f"FROM:<{mail['sender']}>")
                if client.docmd("RCPT", f"TO:<{mail['rcpt']}>")[0] == 250:
                    client.data(mail.get("header", "X-A: b") + "\r\n\r\nhello\r\n")
        eventually(lambda: gateway.log.read_text().count("removed") >= 6, 20, "the queue to be empty")
        assert "status=sent (250 ok)" in gateway.log.read_text(), "what looks like a delivery is in the log"
        roll.observe("collect")
        eventually(lambda: roll.observe("collect") and roll.counts("accepted, deliverable", "local_part = 'bob'") ==
                   [("bob", accepted, "4")], 20, "bob's mail")
        assert roll.counts("accepted, deliverable", "local_part like '%victim%'") == []
        assert roll.counts("accepted", "accepted > 0") == [("bob", accepted)], roll.counts()


def test_hostile_mail():
    """Senders, recipients, HELOs and headers that look like deliveries."""
    hostile_mail("external", "4")


def test_hostile_mail_without_quotes():
    """The same where Postfix logs addresses without their quotes, so that a recipient looks like a whole delivery. What cannot be
    told apart from one counts for nobody: a message whose sender reads so either."""
    hostile_mail("internal", "3")


def test_rotated_by_postfix():
    """postfix logrotate compresses at once."""
    with scene(["bob@c.test"], policyd=False) as (customer, gateway, roll):
        deliver(gateway, "bob@c.test")
        collected(roll, [("bob", "1", "1", "0")])
        deliver(gateway, "bob@c.test")
        eventually(lambda: gateway.log.read_text().count(": removed") >= 2, 20, "both deliveries in the log")
        run("postfix", "-c", gateway.etc, "logrotate")
        eventually(lambda: list(gateway.dir.glob("mail.log.*.gz")), 10, "the rotated log")
        deliver(gateway, "bob@c.test")
        collected(roll, [("bob", "3", "3", "0")])


def test_catch_all_is_found():
    with scene(["bob@c.test"], policyd=False, catch_all_probe="yes",
               customer_main="local_recipient_maps =\n") as (customer, gateway, roll):
        roll.psql("update domain_observation set since = '2000-01-01'")
        held = lambda: roll.psql("select accepts_everything, probe_answered_at is not null from domain_observation")
        for _ in range(3):
            deliver(gateway, "bob@c.test")
        roll.observe("collect")
        eventually(lambda: roll.observe("collect") and held() == "f|t", 20, "the answer no")
        main_cf = customer.etc / "main.cf"
        main_cf.write_text(main_cf.read_text().replace("{ bob@c.test = bob@c.test/ }",
                                                       "{ bob@c.test = bob@c.test/ }, { @c.test = all/ }"))
        customer.reload()
        eventually(lambda: rcpt(customer.port, "whoever@c.test").startswith("250"), 10, "the catch-all")
        roll.psql("update domain_observation set probe_at = '2000-01-01'")
        roll.observe("collect")
        eventually(lambda: roll.observe("collect") and held() == "t|t", 20, "the answer yes")
        assert roll.counts("accepted", "local_part like 'rollcall-probe%'") == []
        roll.psql("update log_position set read_from = '2000-01-01'")
        roll.observe("collect", "--now", at(2, "00:05:00"), more=("-o", "catch_all_probe=no"))
        told = roll.create(now=at(2, "00:05:00")).stderr
        assert roll.users() == [] and "accepts everything" in told, told
        assert "accepts everything" in roll.observe("status", role="rollcall_sync").stdout


UNIT = pathlib.Path(__file__).resolve().parents[2] / "etc/systemd/rollcall-observe-collect.service"


def unit(name):
    return [line.split("=", 1)[1] for line in UNIT.read_text().splitlines() if line.startswith(f"{name}=")]


def sandboxed(gateway, writable, *command):
    """What the unit leaves its program: its user and groups, no new privileges, a root that is read-only but for the
    maildrop and its state, a user namespace that knows only itself; the instance stands at /etc/postfix."""
    user = pwd.getpwnam(POLICY_USER)
    groups = ",".join(str(grp.getgrnam(name).gr_gid) for name in unit("SupplementaryGroups")[0].split()
                      if name in {g.gr_name for g in grp.getgrall()})
    below = [gateway.queue / "maildrop", gateway.queue / "public", *writable]
    script = "".join(f"mount --bind {d} {d} && " for d in below) + f"""mount --bind {gateway.etc} /etc/postfix &&
        mount -o remount,bind,ro / && umask 077 &&
        exec setpriv --reuid={user.pw_uid} --regid={user.pw_gid} --groups={groups} --no-new-privs --bounding-set=-all \\
        --inh-caps=-all unshare --user --map-current-user "$@" """
    return ("unshare", "--mount", "--propagation", "private", "sh", "-ec", script, "sandbox", *command)


def allowed_calls():
    """The system calls that the unit's filter lets through."""
    names = set()
    for line in unit("SystemCallFilter"):
        for part in line.lstrip("~").split():
            more, seen = [part], set()
            while more:
                name = more.pop()
                if not name.startswith("@"):
                    seen.add(name)
                    continue
                told = run("systemd-analyze", "syscall-filter", name).stdout.splitlines()
                more += [word.strip() for word in told[1:] if word.strip() and not word.strip().startswith("#")]
            names = names - seen if line.startswith("~") else names | seen
    return names


def test_probe_as_the_unit_allows():
    """sendmail -bv without its setgid postdrop: the question is queued at once, by a member of the group, and answered."""
    with scene(["bob@c.test"], policyd=False, catch_all_probe="yes", postfix_config_directory="/etc/postfix") as (customer, gateway, roll):
        state = roll.dir / "observe"
        state.mkdir()
        own(state, POLICY_USER)
        gateway.log.chmod(0o640)
        shutil.chown(gateway.log, group="adm")
        roll.psql("update domain_observation set since = '2000-01-01'")
        answered = lambda: roll.psql("select probe is not null, probe_answered_at is not null, accepts_everything from domain_observation")
        done = run(*sandboxed(gateway, [state], BUILD / "bin/rollcall-observe", "-c", roll.conf, "-o",
                              f"database=host={roll.host} dbname={roll.dbname} user=rollcall_observe", "collect"),
                   env=roll.environment(), cwd="/")
        assert not [word for word in SANITIZER_WORDS if word in done.stderr], done.stderr
        eventually(lambda: roll.observe("collect") and answered() == "t|t|f", 20, "the answer")
        asker = re.search(r"pickup\[\d+\]: \w+: uid=(\d+) from=<double-bounce>", gateway.log.read_text())
        assert asker and int(asker[1]) == pwd.getpwnam(POLICY_USER).pw_uid, gateway.log.read_text()
        # and the calls that sendmail and postdrop make are among those that the filter lets through
        trace = state / "trace"
        run(*sandboxed(gateway, [state], "strace", "-f", "-qq", "-o", trace, "sendmail", "-C", "/etc/postfix", "-f",
                       "double-bounce", "-bv", "--", "second@c.test"), cwd="/")
        eventually(lambda: "to=<second@c.test>" in gateway.log.read_text(), 20, "the second question")
        made = set(re.findall(r"^\d+ +(?:<\.\.\. )?(\w+)(?:\(| resumed)", trace.read_text(), re.M))
        assert {"execve", "rename", "connect"} <= made and made <= allowed_calls(), made - allowed_calls()
        families = set(re.findall(r" socket\((\w+),", trace.read_text()))
        assert families and families <= set(unit("RestrictAddressFamilies")[0].split()), families


def test_who_reads_logs_runs_nothing():
    """The process that reads is in its sandbox, the one that has servers asked is not, and takes no program's rights."""
    with Rollcall(observe_directory=shared_postgresql().dir / "reader", catch_all_probe="yes") as roll:
        state = lambda pid: dict(re.findall(r"^(NoNewPrivs|Seccomp):\s+(\d)", pathlib.Path(f"/proc/{pid}/status").read_text(), re.M))
        children = lambda pid: pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        reader = subprocess.Popen([BUILD / "bin/rollcall-observe", "-c", roll.conf, "-o", "observe_sources=-", "collect"],
                                  stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=roll.environment(), cwd="/")
        try:
            eventually(lambda: state(reader.pid) == {"NoNewPrivs": "1", "Seccomp": "2"}, 20, "the sandbox")
            prober, = children(reader.pid)
            assert state(prober)["NoNewPrivs"] == "0", state(prober)
        finally:
            told = reader.communicate(timeout=30)[1].decode()
        assert reader.returncode == 0 and not [word for word in SANITIZER_WORDS if word in told], told
        assert not pathlib.Path(f"/proc/{prober}").exists(), "it ends with who asks"


def test_flush():
    """A mailbox that was refused and is there now, with an lmdb cache and with a locked btree."""
    with scene(["bob@c.test"], policyd=False, instead="reject_unverified_recipient") as (customer, gateway, roll):
        assert rcpt(gateway.port, "new@c.test").startswith("550")
        eventually(lambda: roll.observe("collect") and roll.psql("select count(*) from refusal where refused_at is not null")
                   == "1", 20, "the refusal")
        main_cf = customer.etc / "main.cf"
        main_cf.write_text(main_cf.read_text().replace("{ bob@c.test = bob@c.test/ }",
                                                       "{ bob@c.test = bob@c.test/ }, { new@c.test = new@c.test/ }"))
        customer.reload()
        eventually(lambda: rcpt(customer.port, "new@c.test").startswith("250"), 10, "the mailbox")
        assert rcpt(gateway.port, "new@c.test").startswith("550"), "Postfix remembers"
        told = roll.observe("flush", "New@c.test").stdout
        assert "1 refusal forgotten" in told and "lmdb:" in told, told
        told = roll.observe("flush", "c.test").stdout
        assert "negative answer" in told, told
        eventually(lambda: rcpt(gateway.port, "new@c.test").startswith("250"), 15, "new@ to be accepted")
        assert roll.psql("select count(*) from refusal where refused_at is not null") == "0"
        gateway_cf = gateway.etc / "main.cf"
        gateway_cf.write_text(gateway_cf.read_text().replace("lmdb:", "btree:"))
        gateway.reload()
        assert rcpt(gateway.port, "other@c.test").startswith("550")
        told = roll.observe("flush", "other@c.test", check=75).stderr
        assert "--reload" in told and "verify(8)" in told, told
        assert "has forgotten it" in roll.observe("flush", "--reload", "other@c.test").stdout
        assert "not served" in roll.observe("flush", "foreign.test", check=65).stderr


if __name__ == "__main__":
    main()

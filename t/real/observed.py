"""observed - what the tests of rollcall-observe share: a database and a log that is written line by line

Days are told with --now; the day before today (DAY, number 0) is the one that is worked.
"""
import datetime

from harness import BUILD, Rollcall, SANITIZER_WORDS, run, shared_postgresql

TODAY = datetime.datetime.now(datetime.timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0)
DAY = TODAY - datetime.timedelta(days=1)  # the day that is over
HOP = "mx.customer.test[192.0.2.25]:25"


def at(day, clock):
    """A time of a day from DAY on (0), RFC 3339."""
    hours, minutes, seconds = map(int, clock.split(":"))
    moment = DAY + datetime.timedelta(days=day, hours=hours, minutes=minutes, seconds=seconds)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def moment(seconds=0):
    return (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


class Observed(Rollcall):
    """A database with domain customer.test in mode smtp, observed for long, and a log."""
    name = "obs"

    def __init__(self, gateway="gateway", **settings):
        super().__init__(shared_postgresql())
        self.log = self.dir / "logs/mail.log"
        self.log.parent.mkdir()
        self.set(**{"observe_sources": self.log, "observe_directory": self.dir / "observe", "observe_time_zone": "UTC",
                    "gateway_name": gateway, "catch_all_probe": "no", **settings})
        self.cli("customer", "add", "Test")
        self.add_domain("customer.test")
        self.serial = 0

    def add_domain(self, name, *more, since=-10):
        self.cli("domain", "add", name, "--customer", "Test", "--relay-check", "smtp", "--next-hop",
                 "[mx.customer.test]:25", *more)
        self.since(name, at(since, "00:00:00"))

    def since(self, name, moment):
        self.psql(f"update domain_observation set since = '{moment}' where domain_id ="
                  f" (select id from domain where name = '{name}')")

    def observe(self, *args, role="rollcall_observe", check=True, input=None, more=()):
        database = f"host={self.host} dbname={self.dbname} user={role}"
        done = run(BUILD / "bin/rollcall-observe", "-c", self.conf, "-o", f"database={database}", *more, *args,
                   check=check, input=input, env=self.environment(), cwd="/", timeout=300)
        for word in SANITIZER_WORDS:
            assert word not in done.stderr, done.stderr
        return done

    def collect(self, *args, now=None, **more):
        return self.observe("collect", "--now", now or at(1, "00:05:00"), *args, **more)

    def create(self, *args, now=None, **more):
        return self.observe("create", "--now", now or at(1, "00:05:30"), *args, role="rollcall_sync", **more)

    def counts(self, columns="accepted", where="true"):
        rows = self.psql(f"select local_part, {columns} from observation where {where} order by 1, day")
        return [tuple(row.split("|")) for row in rows.splitlines()]

    def users(self, state="active"):
        return self.psql("select r.local_part || '@' || d.name from recipient r join domain d on d.id = r.domain_id"
                         f" where r.state = '{state}' order by 1").splitlines()

    # -- lines

    def write(self, text):
        with open(self.log, "a") as log:
            log.write(text)

    def line(self, moment, program, text):
        return f"{moment} gw postfix/{program}[1]: {text}\n"

    def message(self, moment, *recipients, status="sent", dsn="2.0.0", reply="250 ok", client="mail.test[192.0.2.9]",
                sender="a@b.test", relay=HOP):
        self.serial += 1
        queue_id = f"A{self.serial:09X}"
        text = self.line(moment, "smtpd", f"{queue_id}: client={client}")
        text += self.line(moment, "qmgr", f"{queue_id}: from=<{sender}>, size=1, nrcpt=1 (queue active)")
        for recipient in recipients:
            text += self.line(moment, "smtp", f"{queue_id}: to=<{recipient}>, relay={relay}, delay=1, delays=0/0/0/1, "
                              f"dsn={dsn}, status={status} ({reply})")
        return text + self.line(moment, "qmgr", f"{queue_id}: removed")

    def refusal(self, moment, recipient, status="undeliverable"):
        return self.message(moment, recipient, status=status, dsn="5.1.1", sender="double-bounce@gw",
                            reply=f"host {HOP[:-3]} said: 550 5.1.1 unknown (in reply to RCPT TO command)")

"""run - what etc/quickstart does once everything is installed and built: starts the servers, sends mail, prints the
table of what became of it
"""
import argparse
import concurrent.futures
import contextlib
import os
import pathlib
import re
import signal
import smtplib
import sys
import time

import sample
from servers import (DOMAINS, Postfix, PostgreSQL, Rollcall, Trouble, clean, eventually, make_customer, make_gateway,
                     stop_all)


def shortened(reply, width):
    """The reply with words left out in the middle: its reason code stands at the end."""
    code = re.search(r"( \([a-z-]+\))?$", reply)[0]
    return reply if len(reply) <= width else reply[:width - len(code) - 1] + "…" + code


class Table:
    """Each line is sent when it is asked for; the mailboxes are looked at when a group of lines ends."""
    WIDTHS = (37, 26, 9, 45)

    def __init__(self, gateway, customer):
        self.gateway, self.customer, self.open, self.sent, self.wrong = gateway, customer, [], 0, 0
        self._line("", "case", "recipient", "expected", "the gateway's reply", "delivered to")

    def _line(self, mark, *cells):
        cells = [cell.ljust(width) for cell, width in zip(cells, self.WIDTHS)] + [cells[-1]]
        print(f"{mark:6}" + "  ".join(cells).rstrip(), flush=True)

    def send(self, case, recipient, expected, mailbox=""):
        """One mail by SMTP. Refusals for now are tried again, as a mail server would, unless one is expected."""
        self.sent += 1
        token = f"quickstart-{self.sent}-{time.time_ns()}"
        end = time.monotonic() + 20
        while True:
            reply = self._conversation(recipient, case, token)
            if reply.startswith(expected) or not reply.startswith("4") or time.monotonic() > end:
                break
            time.sleep(0.2)
        self.open.append((case, recipient, expected, reply, token, mailbox))
        return reply

    def _conversation(self, recipient, case, token):
        with smtplib.SMTP("127.0.0.1", self.gateway.port, "client.example", 60) as client:
            client.ehlo()
            client.mail("sender@outside.example")
            code, text = client.rcpt(recipient)
            if code == 250:
                code, text = client.data(f"From: <sender@outside.example>\r\nTo: <{recipient}>\r\n"
                                         f"Subject: {case}\r\nX-Token: {token}\r\n\r\nRollcall quickstart\r\n")
        words = text.decode(errors="replace").replace("\n", " ")
        words = re.sub(r"<[^>]*>: (Recipient address rejected: )?", "", words)
        return f"{code} {re.sub(r': queued as .*', '', words)}"

    def _mailbox_of(self, token):
        for path in (self.customer.dir / "mail").glob("*/new/*"):
            if token in path.read_text(errors="replace"):
                return path.parent.parent.name
        return ""

    def settle(self):
        """Waits for the deliveries of the lines sent so far and prints them."""
        for case, recipient, expected, reply, token, mailbox in self.open:
            found = ""
            if mailbox and reply.startswith("250"):
                with contextlib.suppress(Trouble):
                    found = eventually(lambda: self._mailbox_of(token), 20, "the delivery")
            fine = reply.startswith(expected) and found == mailbox
            self.wrong += not fine
            shown = found or ("-" if not mailbox else f"NOT in {mailbox}")
            self._line("ok" if fine else "WRONG", case, recipient, expected, shortened(reply, self.WIDTHS[3]), shown)
        self.open = []


def add_customers(roll, customer):
    hop = f"[127.0.0.1]:{customer.port}"
    for name, domains in (("Clinic", ("clinic.example", "gone.example")), ("School", ("school.example",)),
                          ("Works", ("works.example",))):
        roll.cli("customer", "add", name)
        for domain in domains:
            roll.cli("domain", "add", domain, "--customer", name, "--relay-check", DOMAINS.get(domain, "panel"),
                     "--next-hop", hop)
    roll.cli("domain", "add", "clinic-group.example", "--customer", "Clinic", "--alias-of", "clinic.example")
    roll.cli("domain", "remove", "gone.example")
    roll.cli("user", "add", "alice@clinic.example", "--alias", "a.smith@clinic.example")
    roll.cli("user", "add", "bob@clinic.example")
    roll.cli("user", "disable", "bob@clinic.example")


def add_while_running(roll, table, case, address):
    """The address is refused, is added, and is accepted as soon as the command is back."""
    before = table.send(f"{case}: before", address, "550 5.1.1")
    roll.cli("user", "add", address, "--wait")
    added = time.monotonic()
    table.send(f"{case}: added", address, "250", address)
    took = time.monotonic() - added
    if before.startswith("550") and took > 1:
        print(f"      ({address} was accepted {took:.1f} s after 'user add --wait')")


def show_running(roll, table):
    alice = "alice@clinic.example"
    table.send("panel: user on the roll", alice, "250", alice)
    table.send("panel: the user's alias", "a.smith@clinic.example", "250", alice)
    table.send("panel: with a tag", "alice+news@clinic.example", "250", alice)
    table.send("panel: other case", "Alice@Clinic.EXAMPLE", "250", alice)
    table.send("panel: alias domain", "alice@clinic-group.example", "250", alice)
    table.send("panel: unknown user", "nobody@clinic.example", "550 5.1.1")
    table.send("panel: disabled user", "bob@clinic.example", "550 5.1.1")
    table.send("postmaster", "postmaster@clinic.example", "250", "postmaster@clinic.example")
    table.send("smtp: the customer's server says yes", "teacher@school.example", "250", "teacher@school.example")
    table.send("smtp: the customer's server says no", "nobody@school.example", "550 5.1.1")
    table.send("off: not on the roll", "anybody@works.example", "250", "anybody@works.example")
    table.send("foreign domain", "somebody@elsewhere.example", "554 5.7.1")
    table.send("subdomain left in relay_domains", "alice@ward.clinic.example", "550 5.7.1")
    table.send("removed domain left in relay_domains", "alice@gone.example", "450 4.3.0")
    add_while_running(roll, table, "while running", "carol@clinic.example")
    table.settle()


def show_outage(roll, table):
    alice = "alice@clinic.example"
    roll.pg.stop()
    table.send("PostgreSQL stopped: user on the roll", alice, "250", alice)
    table.send("PostgreSQL stopped: alias with a tag", "a.smith+x@clinic.example", "250", alice)
    table.send("PostgreSQL stopped: unknown user", "nobody@clinic.example", "550 5.1.1")
    table.send("PostgreSQL stopped: disabled user", "bob@clinic.example", "550 5.1.1")
    table.settle()
    roll.pg.start()
    add_while_running(roll, table, "PostgreSQL back", "dave@clinic.example")
    table.settle()


def show_addresses(roll, gateway, customer, password):
    state, command = roll.state, f"{os.path.relpath(roll.build)}/bin/rollcall -c {roll.conf}"
    if command.startswith(".."):
        command = f"{roll.build}/bin/rollcall -c {roll.conf}"
    print(f"""
It stays running:
  gateway            127.0.0.1:{gateway.port}, configuration {gateway.etc}, log {gateway.dir}/mail.log
  customer's server  127.0.0.1:{customer.port}, mailboxes {customer.dir}/mail, log {customer.dir}/mail.log
  rollcall-policyd   http://127.0.0.1:{roll.metrics_port}/metrics and /healthz, log {state}/policyd.log
  control panel      {roll.panel_url}  log {state}/panel.log
                     sign in as admin (operator), anna (administrator of the customer Clinic) or
                     alice@clinic.example (a user, with mail in quarantine)
                     each with the password {password}, to be changed at the first sign-in
  quarantine         LMTP 127.0.0.1:{roll.quarantine_port}, messages {state}/quarantine
  PostgreSQL         psql '{roll.pg.dsn()}'
Talk to it:
  {command} explain nobody@clinic.example
  {command} user add erin@clinic.example --wait
  {command} status
  {command} doctor
  swaks --server 127.0.0.1:{gateway.port} --from you@outside.example --to erin@clinic.example --quit-after RCPT
End it:
  etc/quickstart --stop{'' if str(state) == '/var/lib/rollcall-quickstart' else f' --state {state}'}""")


def start(state, build):
    begun = time.monotonic()
    if stop_all(state):
        print("ended what ran here before")
    clean(state)
    pg = PostgreSQL(state)
    gateway, customer = Postfix(state, "gateway", 2525), Postfix(state, "customer", 2526)
    roll = Rollcall(state, build, pg, gateway)
    make_gateway(gateway, customer)
    make_customer(customer)
    print(f"starting PostgreSQL, two Postfix instances and rollcall-policyd below {state} …", flush=True)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        for done in [pool.submit(step) for step in (pg.create, gateway.start, customer.start)]:
            done.result()
    roll.create()
    add_customers(roll, customer)
    roll.start()
    password = roll.start_panel()
    roll.start_jobs()
    print(f"ready after {time.monotonic() - begun:.1f} s; sending mail to 127.0.0.1:{gateway.port}\n", flush=True)
    table = Table(gateway, customer)
    show_running(roll, table)
    show_outage(roll, table)
    sample.fill(roll, "admin")
    print("\nWhy was nobody@clinic.example refused? rollcall explain says:")
    print(re.sub(r"^", "  ", roll.cli("explain", "nobody@clinic.example").rstrip(), flags=re.M))
    show_addresses(roll, gateway, customer, password)
    print(f"\n{table.sent} lines, {'all as expected' if not table.wrong else f'{table.wrong} NOT as expected'}, "
          f"in {time.monotonic() - begun:.1f} s")
    return 1 if table.wrong else 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--state", required=True, type=lambda text: pathlib.Path(text).resolve())
    parser.add_argument("--build", type=lambda text: pathlib.Path(text).resolve())
    parser.add_argument("--stop", action="store_true")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        if given.stop:
            print("stopped" if stop_all(given.state) else f"nothing runs below {given.state}")
            return 0
        return start(given.state, given.build)
    except Trouble as trouble:
        print(f"quickstart: {trouble}", file=sys.stderr)
        print(f"quickstart: the logs are below {given.state}; what was started is being stopped", file=sys.stderr)
    except BaseException:
        stop_all(given.state)
        raise
    with contextlib.suppress(Trouble):
        stop_all(given.state)
    return 69


if __name__ == "__main__":
    sys.exit(main())

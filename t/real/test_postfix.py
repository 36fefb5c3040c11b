"""test_postfix - the verdict table end to end: real mail through a real gateway to a real customer's server

One scene for all tests: a chrooted gateway, the customer's server, rollcall-policyd started as root with its socket
in the gateway's private/. Each row is an SMTP conversation; what is accepted must arrive in the right mailbox.
"""
import contextlib
import re
import smtplib
import threading
import time

from harness import (FULL, Postfix, Rollcall, eventually, free_port, main, rcpt, run, shared, shared_postgresql,
                     shared_servers, smtp)

UTF8_DOMAIN = "bücher.test"
SERVED = {  # name: its settings
    "panel.test": ["--relay-check", "panel"],
    "smtp.test": ["--relay-check", "smtp"],
    "either.test": ["--relay-check", "either"],
    "off.test": ["--relay-check", "off"],
    "silent.test": ["--relay-check", "smtp"],
    "shadow.test": ["--relay-check", "off", "--shadow", "panel"],
    "case.test": ["--relay-check", "panel", "--case-sensitive"],
    "dash.test": ["--relay-check", "panel", "--delimiter", "-"],
    "fresh.test": ["--relay-check", "panel"],
    "gone.test": ["--relay-check", "panel"],
    UTF8_DOMAIN: ["--relay-check", "panel"],
}
RELAYED = [*SERVED, "xn--bcher-kva.test", "alias.test", "sub.panel.test"]
MAILBOXES = [
    "alice@panel.test", "desk@panel.test", "bob@panel.test", "müller@panel.test", "postmaster@panel.test",
    "abuse@panel.test", "o'neil@panel.test", "alice@alias.test", "listed@smtp.test", "yes@smtp.test", "late@smtp.test",
    "listed@either.test", "yes@either.test", "postmaster@smtp.test", "anyone@off.test", "postmaster@off.test",
    "case@case.test", "kim-lee@dash.test", "kim@dash.test", "anyone@shadow.test", "known@shadow.test",
    "info@xn--bcher-kva.test", "late@either.test",
]


def scene():
    if "scene" not in shared:
        shared["scene"] = build_scene()
    return shared["scene"]


def build_scene():
    enter = shared_servers.enter_context
    customer = enter(Postfix.customer(MAILBOXES, "smtputf8_enable = yes\n"))
    hops = {domain: customer.port for domain in RELAYED} | {"silent.test": free_port()}
    gateway = enter(Postfix.gateway(hops, chroot=True, main="""\
unverified_recipient_reject_reason = User unknown
default_transport = error:5.0.0 nothing leaves this machine
smtputf8_enable = yes
"""))
    roll = enter(Rollcall(socket_path=gateway.policy_socket, policy_socket_owner="postfix", policy_socket_mode="0600"))
    roll.cli("customer", "add", "Test")
    for domain, settings in SERVED.items():
        roll.cli("domain", "add", domain, "--customer", "Test", "--next-hop", f"[127.0.0.1]:{hops[domain]}", *settings)
    roll.cli("domain", "add", "alias.test", "--customer", "Test", "--alias-of", "panel.test")
    roll.cli("domain", "remove", "gone.test")
    roll.cli("user", "add", "alice@panel.test", "--alias", "desk@panel.test")
    roll.cli("user", "add", "bob@panel.test", "müller@panel.test", '"a b"@panel.test', "o'neil@panel.test",
             "disabled@panel.test", "listed@smtp.test", "late@smtp.test", "listed@either.test", "disabled@smtp.test",
             "disabled@off.test", "disabled@either.test", "Case@case.test", "kim@dash.test", "known@shadow.test",
             f"info@{UTF8_DOMAIN}")
    roll.cli("user", "disable", "disabled@panel.test", "disabled@smtp.test", "disabled@off.test",
             "disabled@either.test")
    roll.policyd(as_root=True)
    roll.followed()
    return customer, gateway, roll


@contextlib.contextmanager
def conversation(port, utf8=False):
    with contextlib.closing(smtplib.SMTP("127.0.0.1", port, "client.example.net", 60)) as client:
        client.ehlo()
        client.command_encoding = "utf-8" if utf8 else "ascii"
        code, text = client.mail("somebody@example.net", ["SMTPUTF8", "BODY=8BITMIME"] if utf8 else [])
        assert code == 250, (code, text)
        yield client
        client.quit()


def reply(answer):
    return f"{answer[0]} {answer[1].decode(errors='replace')}"


def send(recipient, subject=None):
    """The reply to RCPT, or to DATA when that was accepted and there is a subject."""
    utf8 = not recipient.isascii()
    with conversation(scene()[1].port, utf8) as client:
        answer = client.rcpt(recipient)
        if answer[0] == 250 and subject:
            answer = client.data(f"Subject: {subject}\r\n\r\nhello\r\n")
        return reply(answer)


def arrived(mailbox, subject):
    return any(f"Subject: {subject}" in text for text in scene()[0].delivered(mailbox))


def wrong_rows(rows):
    """Sends a mail for each row (recipient, reply, mailbox or None), all at the same time as a busy gateway would
    have it; returns what came out otherwise than expected."""
    wrong, lock, _ = [], threading.Lock(), scene()

    def one(number, recipient, expected, mailbox):
        subject = f"row-{number}-{time.monotonic_ns()}"
        try:
            got = send(recipient, subject if mailbox else None)
            if got.startswith(expected) and mailbox:
                eventually(lambda: arrived(mailbox, subject), 20, f"{recipient} in {mailbox}")
        except Exception as error:
            got = repr(error)
        if not got.startswith(expected):
            with lock:
                wrong.append(f"{recipient}: expected {expected!r}, got {got!r}")

    threads = [threading.Thread(target=one, args=(n, *row)) for n, row in enumerate(rows)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return wrong


UNKNOWN = "550 5.1.1 "


def check(*rows):
    wrong = wrong_rows(rows)
    assert not wrong, "\n".join(wrong)


def test_panel():
    check(
        ("alice@panel.test", "250", "alice@panel.test"),
        ("desk@panel.test", "250", "desk@panel.test"),
        ("alice+tag@panel.test", "250", "alice@panel.test"),
        ("desk+a+b@panel.test", "250", "desk@panel.test"),
        ("ALICE+Tag@Panel.TEST", "250", "alice@panel.test"),
        ("alice@panel.test.", "250", None),
        ("o'neil@panel.test", "250", "o'neil@panel.test"),
        ("nobody@panel.test", UNKNOWN, None),
        ("nobody+alice@panel.test", UNKNOWN, None),
        ("+alice@panel.test", UNKNOWN, None),
        ("alice.@panel.test", UNKNOWN, None),
        ("a" * 65 + "@panel.test", UNKNOWN, None),
        ("disabled@panel.test", UNKNOWN, None),
        ("disabled+tag@panel.test", UNKNOWN, None),
        ("nobody@fresh.test", "450 4.3.0 ", None),
    )


def test_quoted_local_parts():
    # Postfix takes the quotes away before it asks; '"alice"' is alice
    check(
        ('"a b"@panel.test', "250", None),
        ('"A B"@panel.test', "250", None),
        ('"a b+tag"@panel.test', "250", None),
        ('"alice"@panel.test', "250", None),
        ('"a  b"@panel.test', UNKNOWN, None),
        ('"a@b"@panel.test', "554 5.7.1 ", None),  # Postfix itself takes that for an attempt to relay
        ('"a b"@off.test', "250", None),
        ('"\\"x\\\\y"@panel.test', UNKNOWN, None),
    )


def test_smtputf8():
    check(
        ("müller@panel.test", "250", "müller@panel.test"),
        ("MÜLLER@panel.test", "250", None),
        ("mu\u0308ller@panel.test", "250", None),  # decomposed: the same address in NFC
        ("möller@panel.test", UNKNOWN, None),
        ("info@bücher.test", "250", None),
        ("INFO@BÜCHER.test", "250", None),
        ("info@xn--bcher-kva.test", "250", "info@xn--bcher-kva.test"),
        ("nobody@bücher.test", UNKNOWN, None),
        ("nobody@xn--bcher-kva.test", UNKNOWN, None),
    )


def test_alias_domain_and_rules_of_domains():
    check(
        ("alice@alias.test", "250", "alice@alias.test"),
        ("alice+x@alias.test", "250", "alice@alias.test"),
        ("nobody@alias.test", UNKNOWN, None),
        ("disabled@alias.test", UNKNOWN, None),
        ("postmaster@alias.test", "250", None),
        ("Case@case.test", "250", "case@case.test"),
        ("case@case.test", UNKNOWN, None),
        ("Case@CASE.test", "250", "case@case.test"),
        ("PostMaster@case.test", "250", None),
        ("kim@dash.test", "250", "kim@dash.test"),
        ("kim-lee@dash.test", "250", None),
        ("kim+lee@dash.test", UNKNOWN, None),
    )


def test_role_addresses():
    check(
        ("postmaster@panel.test", "250", "postmaster@panel.test"),
        ("Postmaster@PANEL.test", "250", "postmaster@panel.test"),
        ("abuse@panel.test", "250", "abuse@panel.test"),
        ("postmaster@fresh.test", "250", None),
        ("postmaster@smtp.test", "250", "postmaster@smtp.test"),
        ("postmaster@silent.test", "250", None),
        ("postmaster@off.test", "250", "postmaster@off.test"),
    )


def test_what_is_not_ours():
    check(
        ("alice@elsewhere.test", "554 5.7.1 ", None),
        ("postmaster@elsewhere.test", "554 5.7.1 ", None),
        ("alice@sub.panel.test", "550 5.7.1 ", None),
        ("postmaster@sub.panel.test", "550 5.7.1 ", None),
        ("alice@gone.test", "450 4.3.0 ", None),
        ("postmaster@gone.test", "450 4.3.0 ", None),
    )


def test_smtp_and_either():
    check(
        ("listed@smtp.test", "250", "listed@smtp.test"),
        ("yes@smtp.test", "250", "yes@smtp.test"),
        ("no@smtp.test", UNKNOWN, None),
        ("disabled@smtp.test", UNKNOWN, None),
        ("silent@silent.test", "450 4.1.1 ", None),
        ("listed@either.test", "250", "listed@either.test"),
        ("yes@either.test", "250", "yes@either.test"),
        ("no@either.test", UNKNOWN, None),
        ("disabled@either.test", UNKNOWN, None),
    )


def probes(address):
    """How often the gateway has asked the customer's server about the address."""
    return len(re.findall(rf"to=<{re.escape(address)}>.* status=(un)?deliverable", scene()[1].log.read_text()))


def test_a_probes_answer_is_cached():
    check(("cached@smtp.test", UNKNOWN, None))
    eventually(lambda: probes("cached@smtp.test") == 1, 5, "the probe in the log")
    begun = time.monotonic()
    check(*[("cached@smtp.test", UNKNOWN, None)] * 5)
    assert probes("cached@smtp.test") == 1
    assert time.monotonic() - begun < 1, "the cache answers at once"


def test_off_and_shadow():
    _, _, roll = scene()
    check(
        ("anyone@off.test", "250", "anyone@off.test"),
        ("nobody@off.test", "250", None),
        ("disabled@off.test", UNKNOWN, None),
        ("anyone@shadow.test", "250", "anyone@shadow.test"),
        ("known@shadow.test", "250", "known@shadow.test"),
    )
    lines = [line for line in roll.daemon.log.read_text().splitlines() if "shadow: " in line]
    assert any("anyone@shadow.test" in line and "unlisted" in line for line in lines), lines
    assert not any("known@shadow.test" in line for line in lines), lines


def evidence(roll, address, change):
    """What the observation will write one day: the customer's server said yes or no."""
    local, domain = address.split("@")
    roll.psql(f"""begin; do $$ begin perform roll_begin('evidence'); end $$;
        update recipient r set {change}, changed_by = roll_changeset() from domain d
         where d.id = r.domain_id and d.name = '{domain}' and r.local_part = '{local}'; commit""")
    roll.followed()


def test_evidence_of_the_customers_server():
    """Verified lately: accepted at once though the customer's server is away, and delivered when it is back.
    Refused lately: refused without asking."""
    customer, gateway, roll = scene()
    evidence(roll, "late@smtp.test", "verified_on = (now() at time zone 'UTC')::date")
    evidence(roll, "listed@smtp.test", "refused_at = now()")
    before = probes("listed@smtp.test")
    check(("listed@smtp.test", "550 5.1.1 <listed@smtp.test>: Recipient address rejected: User unknown (refused)", None))
    assert probes("listed@smtp.test") == before, "asked the server all the same"
    customer.stop()
    try:
        assert send("late@smtp.test", "queued-while-away").startswith("250")
        assert send("late@either.test").startswith("450 4.1.1 "), "not on the roll, and nobody answers"
        assert send("alice@panel.test", "queued-too").startswith("250")
    finally:
        customer.start()
    for mailbox, subject in (("late@smtp.test", "queued-while-away"), ("alice@panel.test", "queued-too")):
        eventually(lambda: run("postqueue", "-c", gateway.etc, "-f") and arrived(mailbox, subject), 30, subject, every=0.2)
    evidence(roll, "listed@smtp.test", "refused_at = null")
    check(("listed@smtp.test", "250", "listed@smtp.test"))


def test_vrfy():
    _, gateway, _ = scene()
    with conversation(gateway.port) as client:
        answers = {address: client.verify(address)[0] for address in (
            "alice@panel.test", "alice+tag@panel.test", "postmaster@panel.test", "nobody@panel.test",
            "disabled@off.test", "anyone@off.test", "nobody@fresh.test", "alice@sub.panel.test")}
    assert answers == {"alice@panel.test": 252, "alice+tag@panel.test": 252, "postmaster@panel.test": 252,
                       "nobody@panel.test": 550, "disabled@off.test": 550, "anyone@off.test": 252,
                       "nobody@fresh.test": 450, "alice@sub.panel.test": 550}, answers


def test_several_recipients_of_one_mail():
    _, gateway, _ = scene()
    said = smtp(gateway.port, "alice@panel.test", "nobody@panel.test", "bob@panel.test", "nobody@fresh.test",
                "x@elsewhere.test", "desk@panel.test", body="Subject: many\n\nhello\n")
    assert [code for code, _ in said.replies] == [250, 550, 250, 450, 554, 250], said
    assert said.data[0] == 250, said
    eventually(lambda: all(arrived(box, "many") for box in ("alice@panel.test", "bob@panel.test", "desk@panel.test")), 20,
               "one mail in three mailboxes")


def test_refusals_tell_nothing_of_the_inside():
    _, gateway, _ = scene()
    for recipient in ("nobody@panel.test", "no@smtp.test", "disabled@panel.test", "alice@sub.panel.test"):
        text = rcpt(gateway.port, recipient)
        assert "127.0.0.1" not in text and "customer" not in text and "SQL" not in text, text
    assert rcpt(gateway.port, "nobody@panel.test") == \
        "550 5.1.1 <nobody@panel.test>: Recipient address rejected: User unknown (unlisted)"


def test_explain_says_what_the_daemon_does():
    """The same code on the same facts: action, rule and reply text of each kind of address."""
    _, _, roll = scene()
    for address in ("alice@panel.test", "Desk+x@panel.test", "nobody@panel.test", "disabled@panel.test", "nobody@smtp.test",
                    "listed@smtp.test", "disabled@smtp.test", "listed@either.test", "nobody@either.test", "x@off.test",
                    "disabled@off.test", "x@shadow.test", "Case@case.test", "case@case.test", "kim-lee@dash.test",
                    "alice@alias.test", "nobody@alias.test", "x@fresh.test", "x@gone.test", "x@elsewhere.test",
                    "x@sub.panel.test", "postmaster@panel.test", "abuse@smtp.test", "müller@panel.test",
                    f"info@{UTF8_DOMAIN}", '"a b"@panel.test'):
        said = roll.json("explain", address)
        asked = roll.ask(address.replace('"', ""))
        assert said["reply"] == asked, (address, said, asked)


def test_no_address_of_a_served_domain_slips_by():
    """What Postfix takes for an address and no roll can hold: relayed unless it is refused here."""
    _, gateway, roll = scene()
    for address in ('""@panel.test', '"" @panel.test', "@panel.test", "x" * 1900 + "@panel.test"):
        assert rcpt(gateway.port, f"<{address}>").startswith("550 5.1.1 "), address
    for domain in ("a_b.panel.test", "a_b.c_d.panel.test", "\U0001f600.panel.test"):
        assert roll.ask(f"alice@{domain}").startswith("550 5.7.1 "), domain


def test_added_while_running():
    """Refused, added, accepted: within a second on the gateway."""
    _, gateway, roll = scene()
    for n in range(20 if FULL else 5):
        address = f"new{n}@panel.test"
        assert rcpt(gateway.port, address).startswith(UNKNOWN)
        roll.cli("user", "add", address, "--wait")
        assert rcpt(gateway.port, address).startswith("250"), address
        roll.cli("user", "remove", address, "--wait")
        assert rcpt(gateway.port, address).startswith(UNKNOWN), address


def test_domain_removed_and_back():
    _, gateway, roll = scene()
    roll.cli("domain", "add", "gone.test", "--customer", "Test", "--relay-check", "off")
    roll.followed()
    check(("anyone@gone.test", "250", None))
    roll.cli("domain", "remove", "gone.test")
    roll.followed()
    check(("anyone@gone.test", "450 4.3.0 ", None))


def test_daemon_away_and_back():
    """No answer is never an answer: 450 while the daemon is away; a connection that outlived a restart works."""
    _, gateway, roll = scene()
    with conversation(gateway.port) as client:
        assert client.rcpt("alice@panel.test")[0] == 250
        roll.daemon.restart()
        assert client.rcpt("bob@panel.test")[0] == 250
        assert client.rcpt("nobody@panel.test")[0] == 550
        roll.daemon.kill9()
        assert client.rcpt("alice+x@panel.test")[0] in (450, 451)
        assert client.rcpt("nobody@panel.test")[0] in (450, 451)
        roll.daemon.start()
        assert client.rcpt("alice+y@panel.test")[0] == 250
        assert client.rcpt("nobody@panel.test")[0] == 550


def test_postgresql_away():
    """Over the whole way: PostgreSQL stops, mail goes on; it comes back, a new user works."""
    _, gateway, roll = scene()
    pg = shared_postgresql()
    pg.stop()
    try:
        check(("alice@panel.test", "250", "alice@panel.test"), ("nobody@panel.test", UNKNOWN, None),
              ("anyone@off.test", "250", None), ("yes@smtp.test", "250", "yes@smtp.test"))
        roll.daemon.restart()  # from the replica alone
        check(("alice@panel.test", "250", "alice@panel.test"), ("postmaster@panel.test", "250", None))
    finally:
        pg.start()
    roll.cli("user", "add", "after@panel.test", "--wait")
    check(("after@panel.test", "250", None), ("nobody@panel.test", UNKNOWN, None))


if __name__ == "__main__":
    main()

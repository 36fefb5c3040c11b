"""sample - what the panel of etc/quickstart has to show: people, changes, and mail that a filter held back

All of it goes the ways that real things go: lists through rollcall, mail through rollcall-quarantine's LMTP. Only when it
happened is moved afterwards, so that it does not all stand at one minute, and the hours of the day before are made up.
"""
import email.message
import smtplib

from servers import Trouble

GIVEN = ("Ada Alan Barbara Blaise Carl Donald Edsger Emmy Frances Grace Hedy Ida Joan Katherine Leslie Lise Margaret Niklaus"
         " Radia Shafi Sophie Tim Vint Whitfield").split()
FAMILY = ("Arden Bauer Castillo Dubois Evans Fischer Garcia Hoffmann Ibanez Jansen Keller Lefebvre Moreau Novak Olsen Petit"
          " Quinn Richter Schmitt Torres Urban Vogel Weber Zimmer").split()
MAILS = (  # sender, subject, what the filter says, recipients, hours ago
    ("Rewards Desk <win@prize-desk.example>", "You have won: confirm within 24 hours", "spam 17.4 BAYES_SPAM FORGED_SENDER", "alice", 1),
    ("Parcel Service <track@parcels-info.example>", "Your parcel is waiting – small fee due", "spam 12.9 PHISHING_URL SPF_FAIL", "alice carol", 2),
    ("Conference Weekly <news@conference-weekly.example>", "47 talks you should not miss this month", "bulk 6.2 BULK_LIST", "alice", 4),
    ("Accounts <billing@invoice-center.example>", "Invoice 2026-1187 (attached)", "virus 99.0 Win.Trojan.Agent", "alice dave", 6),
    ("Garden & Home <offers@garden-home.example>", "Ein Gruß aus dem Garten: 30 % auf Frühlingszwiebeln", "bulk 5.8 BULK_LIST", "alice carol dave", 9),
    ("IT Helpdesk <helpdesk@webmail-update.example>", "Your mailbox is almost full", "spam 15.1 PHISHING_URL", "alice carol dave", 13),
    ("L. Moreau <l.moreau@partner.example>", "Minutes of Tuesday's meeting", "content 7.0 ENCRYPTED_ARCHIVE", "alice", 20),
    ("Crypto Signals <alpha@moon-signals.example>", "This coin will do 40x 🚀", "spam 21.6 BAYES_SPAM URIBL_BLOCK", "alice", 26),
    ("Medical Supplies <sales@clinic-supplies.example>", "Gloves, masks, syringes: price list 2027", "bulk 6.6 BULK_LIST", "carol", 31),
    ("Lena Fischer <lena.fischer@partner.example>", "Photos of the summer party", "content 7.5 LARGE_ARCHIVE", "dave", 38),
    ("Bank Security <security@bank-alert.example>", "Unusual sign-in: confirm your identity", "spam 18.8 PHISHING_URL DMARC_FAIL", "alice dave", 45),
    ("Language Club <hello@language-club.example>", "Tu lección de español te espera", "bulk 5.1 BULK_LIST", "alice", 53),
    ("Unknown <x4f@random-host.example>", "", "spam 11.2 NO_SUBJECT RDNS_NONE", "carol", 60),
    ("Scanner <scan@copier-office.example>", "Scan_20261128_0912.zip", "virus 99.0 Zip.Malware.Generic", "carol", 70),
)
HEADERS = {  # as filters write them: quarantine_rules and quarantine_reasons in rollcall.conf(5)
    "spam": {}, "bulk": {"Precedence": "bulk"}, "virus": {"X-Virus-Status": "Infected ({symbols})"},
    "content": {"X-Amavis-Alert": "BANNED, {symbols}"},
}


def people(count, domain, start):
    """Lines of a list: address, name, alias."""
    lines = ["address,name,aliases"]
    for i in range(start, start + count):
        given, family = GIVEN[i % len(GIVEN)], FAMILY[(i * 7 + i // len(GIVEN)) % len(FAMILY)]
        alias = f"{given[0]}{family}@{domain}".lower() if i % 3 == 0 else ""
        lines.append(f"{given}.{family}@{domain}".lower() + f",{given} {family},{alias}")
    return "\n".join(lines) + "\n"


def fill_roll(roll):
    """Lists, one of them with bad lines; a change undone, one held; rules for senders."""
    roll.cli("user", "import", "-", "--domain", "clinic.example", input=people(40, "clinic.example", 0))
    roll.cli("user", "import", "-", "--domain", "works.example", input=people(24, "works.example", 11))
    roll.cli("user", "add", "reception@clinic.example", "--name", "Reception", "--alias", "info@clinic.example")
    roll.cli("user", "add", "trainee@clinic.example", "--name", "Trainee")
    roll.cli("change", "undo", roll.psql("select max(id) from changeset"))
    roll.cli("user", "import", "-", "--replace", "--domain", "works.example", input=people(5, "works.example", 11), fine=(0, 1))
    roll.cli("sender", "allow", "partner.example", "--domain", "clinic.example")
    roll.cli("sender", "block", "*.moon-signals.example", "--user", "alice@clinic.example")


def message(sender, subject, verdict, recipients):
    kind, score, *symbols = verdict.split()
    mail = email.message.EmailMessage()
    mail["From"], mail["To"] = sender, ", ".join(recipients)
    if subject:
        mail["Subject"] = subject
    for name, value in HEADERS[kind].items():
        mail[name] = value.format(symbols=" ".join(symbols))
    mail["X-Spam-Status"] = f"Yes, score={score} required=6.0 tests={','.join(symbols)}"
    mail.set_content(f"{subject or 'Hello'}\n\nThis is a sample message of Rollcall's quickstart.\nIt came from {sender}.\n")
    if kind == "bulk":
        mail.add_alternative(f"<h1>{subject}</h1><p>This is a <b>sample message</b> of Rollcall's quickstart.</p>"
                             "<p><a href='https://www.example/'>Read on</a></p>", subtype="html")
    return mail.as_bytes()


def fill_quarantine(roll):
    with smtplib.LMTP("127.0.0.1", roll.quarantine_port, timeout=30) as client:
        client.ehlo("gateway.example")
        for sender, subject, verdict, names, _ in MAILS:
            recipients = [f"{name}@clinic.example" for name in names.split()]
            client.mail(sender[sender.index("<") + 1:-1])
            for recipient in recipients:
                client.rcpt(recipient)
            client.docmd("DATA")
            client.send(message(sender, subject, verdict, recipients).replace(b"\n", b"\r\n") + b"\r\n.\r\n")
            replies = [client.getreply() for _ in recipients]  # LMTP: one for each
            if any(code != 250 for code, _ in replies):
                raise Trouble(f"rollcall-quarantine does not take a message: {replies}; see {roll.state}/quarantine.log")


def move_times(roll, admin):
    """Into the hours and days before; and the customer's administrator and a user, with the password of the first."""
    hours = ", ".join(str(hours) for *_, hours in MAILS)
    roll.psql(f"""\
with times as (select id, now() - (array[{hours}])[row_number() over (order by id)] * interval '61 minutes' as at
  from quarantine_message)
update quarantine_message m set received_at = at from times t where t.id = m.id;
update quarantine_recipient r set received_at = m.received_at from quarantine_message m where m.id = r.message_id;
update changeset set created_at = created_at - ((select max(c.id) from changeset c) - changeset.id + 1)
  * interval '5 hours 7 minutes';
insert into gateway_hour (gateway, hour, answers, refused, deferred)
  select g.name, h, a, a * (18 + extract(hour from h)::int % 7) / 100, a * (1 + extract(hour from h)::int % 3) / 100
    from gateway g, generate_series(date_trunc('hour', now()) - interval '23 hours', date_trunc('hour', now()) - interval '1 hour',
      interval '1 hour') h,
    lateral (select (260 + 240 * sin((extract(hour from h) - 7) * pi() / 12) + 37 * (extract(hour from h)::int % 4))::int as a) x
  on conflict do nothing;
insert into account (login, password, role, customer_id, must_change)
  select 'anna', password, 'admin', (select id from customer where name = 'Clinic'), must_change from account where login = '{admin}';
insert into user_password (user_id, hash, confirmed_at, must_change)
  select r.user_id, a.password, now(), true from account a, recipient r join domain d on d.id = r.domain_id
    where a.login = '{admin}' and r.local_part = 'alice' and d.name = 'clinic.example';
""")


def fill(roll, admin):
    fill_roll(roll)
    fill_quarantine(roll)
    move_times(roll, admin)

"""directories - real LDAP servers for the tests: slapd, Samba as an Active Directory, and a proxy that makes trouble

Each has its own directory and its own address or port, is started here and stopped by its process id.
"""
import contextlib
import os
import pathlib
import socket
import subprocess
import threading
import time
import urllib.parse

from harness import Failed, Scratch, die_with_parent, eventually, free_port, run

SUFFIX = "dc=example,dc=test"
READER, READER_PASSWORD = f"cn=reader,{SUFFIX}", "lesen geheim!"
ADMIN, ADMIN_PASSWORD = f"cn=admin,{SUFFIX}", "secret"


class Authority(Scratch):
    """A certificate authority and what it signs."""
    name = "ca"

    def __init__(self):
        super().__init__()
        self._openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout",
                      "ca.key", "-out", "ca.crt", "-days", "30", "-subj", "/CN=Test CA")
        self.ca = self.dir / "ca.crt"

    def _openssl(self, *arguments):
        run("openssl", *arguments, cwd=self.dir)

    def certificate(self, name, names="DNS:localhost,IP:127.0.0.1", days=("-days", "30")):
        """(certificate, key) for these names; days: also ("-not_after", …) as x509(1) takes them."""
        self._openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout",
                      f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        (self.dir / f"{name}.ext").write_text(f"subjectAltName={names}\n")
        self._openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial",
                      *days, "-out", f"{name}.crt", "-extfile", f"{name}.ext")
        os.chmod(self.dir / f"{name}.key", 0o600)
        return self.dir / f"{name}.crt", self.dir / f"{name}.key"

    def expired(self, name):
        """A certificate of yesterday."""
        self.certificate(name)
        (self.dir / "index.txt").write_text("")
        (self.dir / "serial").write_text("1000\n")
        (self.dir / "ca.conf").write_text(f"""[ca]\ndefault_ca=x\n[x]\ndatabase={self.dir}/index.txt
new_certs_dir={self.dir}\nserial={self.dir}/serial\ndefault_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n""")
        self._openssl("ca", "-batch", "-config", "ca.conf", "-cert", "ca.crt", "-keyfile", "ca.key", "-in", f"{name}.csr",
                      "-out", f"{name}.crt", "-notext", "-extfile", f"{name}.ext", "-startdate", "20200101000000Z",
                      "-enddate", "20200201000000Z")
        return self.dir / f"{name}.crt", self.dir / f"{name}.key"


SLAPD_CONF = """\
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
include /etc/ldap/schema/nis.schema
include /etc/ldap/schema/misc.schema
attributetype ( 1.3.6.1.4.1.99999.1 NAME 'proxyAddresses' EQUALITY caseExactMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )
attributetype ( 1.3.6.1.4.1.99999.2 NAME 'nsAccountLock' EQUALITY caseIgnoreMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )
attributetype ( 1.3.6.1.4.1.99999.3 NAME 'mailAlternateAddress' EQUALITY caseIgnoreMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )
attributetype ( 1.3.6.1.4.1.99999.4 NAME 'rawAddress' EQUALITY octetStringMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.40 )
pidfile {dir}/slapd.pid
modulepath /usr/lib/ldap
moduleload back_mdb
TLSCACertificateFile {ca}
TLSCertificateFile {crt}
TLSCertificateKeyFile {key}
sockbuf_max_incoming_auth 33554432
{limits}
database config
rootdn cn=config
database mdb
suffix {suffix}
rootdn {admin}
rootpw {password}
directory {dir}/db
maxsize 4294967296
dbnosync
index objectClass,entryUUID eq
access to attrs=userPassword by anonymous auth by * none
access to * by users read by anonymous auth
"""
LIMITS = "security simple_bind=128\nsizelimit size.soft=500 size.hard=500 size.pr=100 size.prtotal=unlimited"


class Slapd(Scratch):
    """OpenLDAP; the limits are as strict as the sample's unless others are given."""
    name = "slapd"

    def __init__(self, authority, limits=LIMITS, certificate=None, suffix=SUFFIX):
        super().__init__()
        self.suffix, self.process, self.authority = suffix, None, authority
        (self.dir / "db").mkdir()
        self.port, self.tls_port = free_port(), free_port()
        crt, key = certificate or authority.certificate("ldap")
        self.conf = self.dir / "slapd.conf"
        self.conf.write_text(SLAPD_CONF.format(dir=self.dir, ca=authority.ca, crt=crt, key=key, limits=limits,
                                               suffix=suffix, admin=ADMIN, password=ADMIN_PASSWORD))
        self.load(f"""dn: {suffix}\nobjectClass: dcObject\nobjectClass: organization\no: Example\ndc: example\n
dn: ou=people,{suffix}\nobjectClass: organizationalUnit\nou: people\n
dn: ou=away,{suffix}\nobjectClass: organizationalUnit\nou: away\n
dn: ou=groups,{suffix}\nobjectClass: organizationalUnit\nou: groups\n
dn: {READER}\nobjectClass: person\ncn: reader\nsn: reader\nuserPassword: {READER_PASSWORD}\n""")

    @property
    def ldaps(self):
        return f"ldaps://127.0.0.1:{self.tls_port}"

    @property
    def ldap(self):
        return f"ldap://127.0.0.1:{self.port}"

    @property
    def ldapi(self):
        return "ldapi://" + urllib.parse.quote(f"{self.dir}/ldapi", safe="")

    def load(self, ldif):
        """While it is stopped."""
        path = self.dir / "load.ldif"
        path.write_text(ldif)
        run("slapadd", "-q", "-f", self.conf, "-b", self.suffix, "-l", path, timeout=300)

    def start(self):
        with open(self.dir / "slapd.log", "a") as log:
            self.process = subprocess.Popen(["slapd", "-f", self.conf, "-d", "none", "-h", f"{self.ldap} {self.ldaps} {self.ldapi}"],
                                            stdout=log, stderr=log, preexec_fn=die_with_parent, cwd="/")
        for port in (self.port, self.tls_port):
            eventually(lambda: socket.create_connection(("127.0.0.1", port), 1).close() is None, 20, "slapd")
        return self

    def stop(self):
        if self.process is not None:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(15)
            if self.process.poll() is None:
                self.kill9()
        self.process = None

    def kill9(self):
        self.process.kill()
        self.process.wait()
        self.process = None

    def modify(self, ldif, check=True):
        """ldapmodify; entries without changetype are added."""
        return run("ldapmodify", "-x", "-a", "-H", self.ldaps, "-D", ADMIN, "-w", ADMIN_PASSWORD, input=ldif, check=check,
                   env={**os.environ, "LDAPTLS_CACERT": str(self.authority.ca)})

    def __enter__(self):
        return self if self.process else self.start()


def person(uid, *lines, ou="people", suffix=SUFFIX):
    """LDIF of an inetOrgPerson; lines: 'mail: a@b'."""
    classes = "".join(f"objectClass: {name}\n" for name in ("inetOrgPerson", "extensibleObject"))
    return f"dn: uid={uid},ou={ou},{suffix}\n{classes}uid: {uid}\ncn: {uid}\nsn: {uid}\n" + "".join(f"{line}\n" for line
                                                                                                  in lines) + "\n"


class Samba(Scratch):
    """An Active Directory domain controller on an address of its own within 127/8, since its ports are fixed."""
    name = "samba"
    realm, base = "AD.EXAMPLE.TEST", "DC=ad,DC=example,DC=test"
    administrator, password = "administrator@ad.example.test", "Passw0rd!x"

    def __init__(self, authority):
        super().__init__()
        self.process, self.authority = None, authority
        pid = os.getpid()
        self.address = f"127.{100 + pid // 62500 % 100}.{1 + pid // 250 % 250}.{1 + pid % 250}"
        self.ldaps, self.ldap = f"ldaps://{self.address}", f"ldap://{self.address}"
        self.target = self.dir / "dc"
        run("samba-tool", "domain", "provision", f"--realm={self.realm}", "--domain=ADTEST", f"--adminpass={self.password}",
            "--server-role=dc", "--dns-backend=NONE", "--use-rfc2307", f"--targetdir={self.target}", "--host-name=dc1",
            f"--host-ip={self.address}", "--option=interfaces=lo", "--option=bind interfaces only=yes", timeout=120)
        crt, key = authority.certificate("dc1", f"DNS:dc1.ad.example.test,IP:{self.address}")
        for directory in ("run", "ncalrpc"):
            (self.dir / directory).mkdir(mode=0o755)
        conf = self.target / "etc/smb.conf"
        own = f"""[global]
        server services = ldap, cldap, kdc
        tls enabled = yes
        tls cafile = {authority.ca}
        tls certfile = {crt}
        tls keyfile = {key}
        pid directory = {self.dir}/run
        ncalrpc dir = {self.dir}/ncalrpc
        interfaces = {self.address}/8
        bind interfaces only = yes
        log file = {self.dir}/samba.log
        logging = file
        log level = 1
        ldap server require strong auth = allow_sasl_over_tls
"""
        mine = {line.split("=")[0].strip() for line in own.splitlines()[1:]}
        kept = [line for line in conf.read_text().splitlines() if line.split("=")[0].strip() not in mine]
        at = kept.index("[global]")
        conf.write_text("\n".join([*kept[:at], *own.rstrip().splitlines(), *kept[at + 1:]]) + "\n")
        self.conf = conf

    def start(self):
        with open(self.dir / "start.log", "a") as log:
            self.process = subprocess.Popen(["samba", "-s", self.conf, "-M", "single", "-i", "-l", self.dir], stdout=log,
                                            stderr=log, stdin=subprocess.PIPE, preexec_fn=die_with_parent, cwd="/")
        for port in (389, 636):
            eventually(lambda: socket.create_connection((self.address, port), 1).close() is None, 30, "samba")
        return self

    def stop(self):
        if self.process is not None:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(10)
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            self.process.stdin.close()
        self.process = None

    def kerberos(self):
        """Environment of a client that reads as the administrator by a keytab, and knows no other realm."""
        keytab, conf = self.dir / "client.keytab", self.dir / "krb5.conf"
        if not keytab.exists():
            run("samba-tool", "domain", "exportkeytab", keytab, "--principal=administrator", "-s", self.conf, timeout=120)
        conf.write_text(f"""[libdefaults]
            default_realm = {self.realm}
            dns_lookup_kdc = false
            dns_lookup_realm = false
            dns_canonicalize_hostname = false
            rdns = false
            [realms]
            {self.realm} = {{
              kdc = {self.address}
            }}
            [domain_realm]
            {self.address} = {self.realm}
            """)
        return {"KRB5_CONFIG": str(conf), "KRB5_CLIENT_KTNAME": str(keytab), "KRB5CCNAME": f"FILE:{self.dir}/tickets"}

    def ldb(self, tool, ldif):
        return run(tool, "-H", self.target / "private/sam.ldb", input=ldif, timeout=60)

    def add(self, ldif):
        """Straight into its database, below the server; seen at once."""
        self.ldb("ldbadd", ldif)

    def modify(self, ldif):
        self.ldb("ldbmodify", ldif)

    def rename(self, old, new):
        run("ldbrename", "-H", self.target / "private/sam.ldb", old, new)

    def __enter__(self):
        return self if self.process else self.start()


class Proxy:
    """Passes TCP on to a server, and may delay, cut or stall what the server sends."""

    def __init__(self, port, host="127.0.0.1"):
        self.target = (host, port)
        self.delay = 0.0         # seconds before each piece that the server sends
        self.answer_delay = 0.0  # seconds before the first piece after something was asked
        self.cut_after = None    # bytes of the server after which the connection is cut
        self.stall_after = None  # … after which nothing more comes
        self.on_bytes = None     # called with the count so far
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.ended, self.sockets = False, []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while not self.ended:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self.target, 5)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            self.sockets += [client, server]
            asked = threading.Event()
            threading.Thread(target=self._up, args=(client, server, asked), daemon=True).start()
            threading.Thread(target=self._down, args=(server, client, asked), daemon=True).start()

    @staticmethod
    def _shut(*sockets):
        for one in sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _up(self, client, server, asked):
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                asked.set()
                server.sendall(data)
        self._shut(client, server)

    def _down(self, server, client, asked):
        count = 0
        with contextlib.suppress(OSError):
            while data := server.recv(65536):
                if self.delay:
                    time.sleep(self.delay)
                if self.answer_delay and asked.is_set():
                    asked.clear()
                    time.sleep(self.answer_delay)
                if self.cut_after is not None and count + len(data) > self.cut_after:
                    client.sendall(data[:max(0, self.cut_after - count)])
                    break
                if self.stall_after is not None and count + len(data) > self.stall_after:
                    while not self.ended and self.stall_after is not None:
                        time.sleep(0.02)
                    break
                client.sendall(data)
                count += len(data)
                if self.on_bytes:
                    self.on_bytes(count)
        self._shut(client, server)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.ended = True
        self.listener.close()
        self._shut(*self.sockets)
        for one in self.sockets:
            one.close()


__all__ = ["LIMITS", "Authority", "Slapd", "Samba", "Proxy", "person", "Failed", "pathlib"]

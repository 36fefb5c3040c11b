"""test_grants - who may do what in PostgreSQL is what SECURITY.md says, and nobody may more than that

Catches a grant that nobody wrote down, a function with its owner's rights that everybody may call or that trusts the
caller's search_path, and a role that reads secrets or writes history. After a change of sql/roles.sql:

    python3 t/real/test_grants.py --write        # writes SECURITY.md's tables anew; read the difference
"""
import re
import sys

from harness import TREE, Rollcall, main, shared, shared_servers

PAGE = TREE / "SECURITY.md"
ROLES = ("policyd", "observe", "sync", "report", "panel", "quarantine", "admin")
GRANTS = """select c.relname, substr(r.rolname, 10),
  string_agg(distinct case g.privilege_type when 'SELECT' then 'r' when 'INSERT' then 'a' when 'UPDATE' then 'w'
    when 'DELETE' then 'd' else '!' || g.privilege_type end || g.part, ',')
 from (select oid, relname, relacl as acl, '' as part from pg_class where relkind in ('r', 'v', 'p', 'm')
         and relnamespace = 'public'::regnamespace
       union all select c.oid, c.relname, a.attacl, '*' from pg_class c join pg_attribute a on a.attrelid = c.oid
         where a.attacl is not null and c.relnamespace = 'public'::regnamespace) c
 cross join lateral (select grantee, privilege_type, c.part from aclexplode(c.acl)) g
 join pg_roles r on r.oid = g.grantee where r.rolname like 'rollcall\\_%' group by 1, 2"""
FUNCTIONS = """select p.proname, string_agg(distinct substr(r.rolname, 10), ' ')
 from pg_proc p cross join lateral aclexplode(p.proacl) g join pg_roles r on r.oid = g.grantee
 where p.pronamespace = 'public'::regnamespace and p.prosecdef and r.rolname like 'rollcall\\_%' group by 1"""


def database():
    if "grants" not in shared:
        shared["grants"] = shared_servers.enter_context(Rollcall())
    return shared["grants"]


def rows(sql):
    return [line.split("|") for line in database().psql(sql).splitlines()]


def letters(text):
    """'r,a,w*' as 'raw*'; a right to the whole table makes one to columns of it pointless."""
    given = text.split(",")
    assert not [right for right in given if right.startswith("!")], f"truncate, references, trigger: {text}"
    return "".join(right for letter in "rawd" for right in (letter, letter + "*") if right in given
                   and not (right.endswith("*") and letter in given))


def tables():
    cells = {(table, role): letters(rights) for table, role, rights in rows(GRANTS)}
    unknown = {role for _, role in cells} - set(ROLES)
    assert not unknown, f"roles that SECURITY.md does not know: {unknown}"
    lines = ["| table | " + " | ".join(ROLES) + " |", "|---" * (len(ROLES) + 1) + "|"]
    for table in sorted({table for table, _ in cells}):
        lines.append(f"| `{table}` | " + " | ".join(cells.get((table, role), "") for role in ROLES) + " |")
    lines += ["", "| function | may be called by |", "|---|---|"]
    lines += [f"| `{name}` | {roles} |" for name, roles in sorted(rows(FUNCTIONS))]
    return "\n".join(re.sub(r" +\|", " |", line) for line in lines)


def written():
    found = re.search(r"<!-- grants -->\n(.*?)\n<!-- /grants -->", PAGE.read_text(), re.S)
    return found[1]


def test_the_page_tells_all_grants():
    page, real = written().splitlines(), tables().splitlines()
    differences = [f"- {line}" for line in page if line not in real] + [f"+ {line}" for line in real if line not in page]
    assert not differences, "SECURITY.md differs (test_grants.py --write):\n" + "\n".join(differences)


def test_nobody_may_too_much():
    nothing = {
        "a role that is more than a user": "select rolname from pg_roles where rolname like 'rollcall\\_%' and "
        "(rolsuper or rolcreaterole or rolcreatedb or rolbypassrls and rolname <> 'rollcall_sync' or rolreplication)",
        "a policy that rollcall_sync passes by": "select polrelid::regclass, polname from pg_policy where "
        "(polroles && array[0::oid, 'rollcall_sync'::regrole::oid]) and (not polpermissive or "
        "coalesce(pg_get_expr(polqual, polrelid), 'true') <> 'true' or "
        "coalesce(pg_get_expr(polwithcheck, polrelid), 'true') <> 'true')",
        "a table that a program owns": "select relname from pg_class c join pg_roles r on r.oid = c.relowner "
        "where r.rolname like 'rollcall\\_%'",
        "a table that everybody may use": "select relname from pg_class c cross join lateral aclexplode(c.relacl) g "
        "where g.grantee = 0 and c.relnamespace = 'public'::regnamespace",
        "a function with its owner's rights that everybody may call": "select p.proname from pg_proc p where p.prosecdef and "
        "p.prorettype <> 'trigger'::regtype and p.pronamespace = 'public'::regnamespace and "
        "has_function_privilege('public', p.oid, 'execute')",
        "a function with its owner's rights that looks where the caller says": "select p.proname from pg_proc p where "
        "p.prosecdef and p.pronamespace = 'public'::regnamespace and not exists "
        "(select from unnest(p.proconfig) s where s like 'search_path=%')",
        "history that a program may delete": "select r.rolname, t from pg_roles r, unnest(array['changeset', 'change', "
        "'audit', 'domain_change', 'user_change']) t where r.rolname like 'rollcall\\_%' and "
        "has_table_privilege(r.rolname, t, 'delete, truncate')",
        "an audit that a program may change": "select r.rolname from pg_roles r where r.rolname like 'rollcall\\_%' and "
        "has_any_column_privilege(r.rolname, 'audit', 'update')",
        "directory passwords that others than the synchronisation read": "select r.rolname from pg_roles r where "
        "r.rolname like 'rollcall\\_%' and r.rolname <> 'rollcall_sync' and "
        "has_column_privilege(r.rolname, 'ldap_source', 'secret', 'select')",
        "a gateway's program that changes the roll": "select r, t from unnest(array['rollcall_policyd', 'rollcall_observe', "
        "'rollcall_quarantine']) r, unnest(array['customer', 'domain', 'users', 'recipient', 'recipient_source', 'changeset']) t "
        "where has_any_column_privilege(r, t, 'insert, update') or has_table_privilege(r, t, 'delete')",
    }
    found = {what: rows(sql) for what, sql in nothing.items() if rows(sql)}
    assert not found, found


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        with shared_servers:
            begin, end = "<!-- grants -->\n", "\n<!-- /grants -->"
            PAGE.write_text(PAGE.read_text().replace(begin + written() + end, begin + tables() + end))
    else:
        main()

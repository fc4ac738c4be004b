"""Role postgresql: the server, its role and database, and who may come."""

import pytest

from deploy import logins

GROUP = "database"


@pytest.fixture
def accepted(fleet, host):
    """The logins that the inventory accepts: two while the password is renewed."""
    return logins.names(fleet, host.name, "postgresql")


def sql(host, statement, database="postgres"):
    return host.check_output("sudo -u postgres psql -AtX -d %s -c %s", database, statement)


def test_server_runs_and_comes_back_at_boot(host, value):
    assert host.service("postgresql@17-main").is_running
    assert host.service("postgresql").is_enabled
    assert host.socket(f"tcp://0.0.0.0:{value('postgresql_port')}").is_listening


def test_service_owns_its_database_and_has_no_privilege(host, value):
    name, user = value("postgresql_database"), value("postgresql_user")
    assert sql(host, f"SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname='{name}'") == user
    rights = sql(host, f"SELECT rolsuper, rolcreatedb, rolcreaterole FROM pg_roles WHERE rolname='{user}'")
    assert rights == "f|f|f"


def test_service_sees_open_transactions_and_sets_when_a_lock_is_looked_into(host, value):
    """What preflight tells of long transactions, and what lets a short migration pass an autovacuum."""
    user = value("postgresql_user")
    assert sql(host, f"SELECT pg_has_role('{user}', 'pg_read_all_stats', 'USAGE'), "
                     f"has_parameter_privilege('{user}', 'deadlock_timeout', 'SET')") == "t|t"


def test_passwords_are_kept_as_scram(host, accepted):
    names = ",".join(f"'{name}'" for name in accepted)
    kept = sql(host, f"SELECT DISTINCT left(rolpassword, 13) FROM pg_authid WHERE rolname IN ({names})")
    assert kept == "SCRAM-SHA-256"


def test_nobody_else_logs_in_for_the_service_and_whoever_does_acts_as_its_role(host, value, accepted):
    user = value("postgresql_user")
    found = sql(host, f"SELECT rolname FROM pg_roles WHERE rolcanlogin AND rolname ~ '^{user}(_[0-9]+)?$'").split()
    assert sorted(found) == sorted(accepted)
    for name in set(accepted) - {user}:
        assert sql(host, f"SELECT rolconfig FROM pg_roles WHERE rolname='{name}'") == f"{{role={user}}}"
        assert sql(host, f"SELECT pg_has_role('{name}', '{user}', 'USAGE')") == "t"


def test_settings_in_force_are_the_declared_ones(host, value):
    assert sql(host, "SHOW max_connections") == str(value("postgresql_max_connections"))
    assert sql(host, "SHOW shared_buffers") == f"{value('postgresql_shared_buffers_mib')}MB"
    assert sql(host, "SHOW ssl") == "on"
    assert sql(host, "SELECT count(*) FROM pg_settings WHERE pending_restart") == "0"


def test_only_application_hosts_may_come_and_only_over_tls(host, fleet, accepted):
    rules = sql(host, "SELECT type, array_to_string(user_name, ','), address FROM pg_hba_file_rules "
                      "WHERE type <> 'local'").splitlines()
    clients = {address for group in ("web", "workers") for each in fleet.group(group) for address in each.addresses}
    assert {tuple(rule.split("|")) for rule in rules} == {
        ("hostssl", ",".join(accepted), address) for address in clients
    }


def test_configuration_has_no_error(host):
    assert sql(host, "SELECT count(*) FROM pg_file_settings WHERE error IS NOT NULL") == "0"
    assert sql(host, "SELECT count(*) FROM pg_hba_file_rules WHERE error IS NOT NULL") == "0"


def test_the_server_runs_in_a_sandbox(exposure):
    assert exposure("postgresql@17-main.service") <= 2.6


def test_one_that_was_killed_starts_again(host):
    assert host.check_output("systemctl show --property Restart --value postgresql@17-main.service") == "on-failure"

"""Role rabbitmq: a broker over TLS for one user, whom nobody else reaches."""

import json

from deploy import logins

GROUP = "broker"


def ctl(host, *words):
    """The answer of a rabbitmqctl command that can tell it as JSON."""
    return json.loads(host.check_output("rabbitmqctl --quiet --formatter json " + " ".join(words)))


def listeners(host):
    """{port: addresses} of everything of the broker that listens: Erlang's processes and its port mapper."""
    found = {}
    for line in host.check_output("ss -Hltnp").splitlines():
        local, process = line.split()[3], line.split()[-1]
        if any(name in process for name in ("beam", "epmd", "systemd")):
            address, _, port = local.rpartition(":")
            found.setdefault(int(port), set()).add(address.strip("[]"))
    return found


def test_broker_runs_and_comes_back_at_boot(host):
    assert host.service("rabbitmq-server").is_running
    assert host.service("rabbitmq-server").is_enabled


def test_broker_listens_over_tls_alone_on_the_hosts_own_addresses(host, fleet, value):
    found, port = listeners(host), value("rabbitmq_port")
    assert found.pop(port) == {"127.0.0.1", *fleet.hosts[host.name].addresses}
    found.pop(22, None)
    assert {address for addresses in found.values() for address in addresses} <= {"127.0.0.1"}
    assert 5672 not in found
    assert {4369, 25672} <= set(found), "the control: the port mapper and the distribution are seen"


def test_who_knows_the_authority_knows_the_broker_and_old_protocols_are_refused(host, value):
    authority, port = f"{value('pki_directory')}/ca.pem", value("rabbitmq_port")
    asked = f"openssl s_client -connect {host.name}:{port} -CAfile {authority} -verify_hostname {host.name} -brief"
    answered = host.run(f"{asked} -verify_return_error </dev/null")
    assert answered.rc == 0, answered.stderr
    assert "TLSv1.3" in answered.stderr
    assert host.run(f"{asked} -tls1_2 </dev/null").rc == 0
    assert host.run(f"{asked} -tls1_1 </dev/null").rc != 0


def test_the_services_user_is_the_only_one_and_its_virtual_host_too(host, fleet, value):
    users, vhost = sorted(logins.names(fleet, host.name, "rabbitmq")), value("rabbitmq_vhost")
    assert sorted(ctl(host, "list_users"), key=str) == [{"user": user, "tags": []} for user in users]
    assert ctl(host, "list_vhosts") == [{"name": vhost}]
    rights = ctl(host, "list_permissions", "--vhost", vhost)
    every = {"configure": ".*", "write": ".*", "read": ".*"}
    assert sorted(rights, key=str) == [{"user": user, **every} for user in users]


def test_password_is_kept_as_a_salted_hash(host):
    found = host.file("/etc/rabbitmq/definitions.json")
    assert (found.user, found.group, found.mode) == ("root", "rabbitmq", 0o640)
    for user in json.loads(found.content_string)["users"]:
        assert user["hashing_algorithm"] == "rabbit_password_hashing_sha256"
        assert "password" not in user


def test_memory_and_disk_are_bounded_as_declared(host, value):
    status = ctl(host, "status")
    assert status["vm_memory_high_watermark_setting"]["absolute"] == value("rabbitmq_memory_mib") * 1024 * 1024
    assert status["disk_free_limit"] == value("rabbitmq_disk_free_mib") * 1024 * 1024
    assert status["alarms"] == []


def test_broker_has_no_plugin(host):
    assert ctl(host, "status")["active_plugins"] == []


def test_the_broker_and_its_port_mapper_run_in_a_sandbox(exposure):
    assert exposure("rabbitmq-server.service") <= 2.0
    assert exposure("epmd.service") <= 2.0

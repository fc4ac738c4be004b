"""Role redis: a cache over TLS that nobody reaches without its password."""

GROUP = "cache"


def test_server_runs_over_tls_only(host, value):
    assert host.service("redis-server").is_running
    assert host.service("redis-server").is_enabled
    port, folder = value("redis_port"), value("pki_directory")
    answered = host.run(f"redis-cli -p {port} --tls --cacert {folder}/ca.pem -h {host.name} ping").stdout
    assert "NOAUTH" in answered
    assert host.run(f"redis-cli -p {port} ping").stdout.strip() != "PONG"


def test_memory_is_bounded_and_nothing_is_written(host, value):
    settings = host.file("/etc/redis/redis.conf").content_string.splitlines()
    assert f"maxmemory {value('redis_maxmemory_mib')}mb" in settings
    assert "maxmemory-policy allkeys-lru" in settings
    assert 'save ""' in settings


def test_password_is_readable_by_the_server_alone(host):
    found = host.file("/etc/redis/redis.conf")
    assert (found.user, found.mode) == ("redis", 0o640)


def test_the_service_runs_in_a_sandbox(exposure):
    assert exposure("redis-server.service") <= 2.0


def test_password_is_kept_as_a_hash(host):
    lines = host.file("/etc/redis/redis.conf").content_string.splitlines()
    (user,) = [line for line in lines if line.startswith("user ")]
    words = user.split()
    assert words[:3] == ["user", "default", "on"]
    assert all(word.startswith("#") and len(word) == 65 for word in words[3:-3])
    assert not [line for line in lines if line.startswith("requirepass")]

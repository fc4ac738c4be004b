"""Role haproxy: TLS, and only web servers that answer."""

GROUP = "loadbalancers"


def test_balancer_runs_with_a_valid_configuration(host):
    assert host.service("haproxy").is_running
    assert host.service("haproxy").is_enabled
    assert host.run("haproxy -c -q -f /etc/haproxy/haproxy.cfg").rc == 0


def test_it_listens_in_both_families(host, value):
    for port in (value("haproxy_http_port"), value("haproxy_https_port")):
        assert host.socket(f"tcp://0.0.0.0:{port}").is_listening
        assert host.socket(f"tcp://:::{port}").is_listening


def test_every_web_server_is_in_rotation(host, fleet):
    rows = host.check_output("echo 'show stat -1 4 -1' | socat - /run/haproxy/admin.sock || "
                             "python3 -c \"import socket;s=socket.socket(socket.AF_UNIX);"
                             "s.connect('/run/haproxy/admin.sock');s.sendall(b'show stat -1 4 -1\\n');"
                             "print(b''.join(iter(lambda:s.recv(65536),b'')).decode())\"").splitlines()
    states = {row.split(",")[1]: row.split(",")[17] for row in rows if row and not row.startswith("#")}
    assert states == {each.name: "UP" for each in fleet.group("web")}


def test_http_is_redirected(host, value):
    answer = host.check_output(
        f"curl -s -o /dev/null -w '%{{http_code}} %{{redirect_url}}' -H 'Host: {value('loadbalancer_domain')}' "
        f"http://127.0.0.1:{value('haproxy_http_port')}/x"
    )
    assert answer == f"301 https://{value('loadbalancer_domain')}/x"


def test_old_protocols_are_refused(host, value):
    port = value("haproxy_https_port")
    assert host.run(f"curl -sk --tls-max 1.1 https://127.0.0.1:{port}/").rc != 0
    assert host.run(f"curl -sk --tlsv1.2 --tls-max 1.2 https://127.0.0.1:{port}/ -o /dev/null").rc == 0


def test_private_key_is_private(host):
    assert host.file("/etc/haproxy/certs").mode == 0o700
    assert host.file("/etc/haproxy/certs/site.pem").mode == 0o600

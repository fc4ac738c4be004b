"""The balancer's certificate: by whom it was issued, and renewed without a dropped connection."""

from tests.fleet.load import Load


def test_certificate_was_issued_by_the_acme_authority(fleet, on):
    """Trust in its root is what every client of these tests verifies; this names the issuer."""
    name = fleet.group("loadbalancers")[0].name
    issuer = on(name, "openssl s_client -connect 127.0.0.1:443 </dev/null 2>/dev/null | openssl x509 -noout -issuer")
    assert "Pebble Intermediate CA" in issuer.stdout


def test_renewal_swaps_the_certificate_without_a_dropped_connection(fleet, on, soak):
    name = fleet.group("loadbalancers")[0].name

    def serial():
        return on(name, "openssl s_client -connect 127.0.0.1:443 </dev/null 2>/dev/null "
                        "| openssl x509 -noout -serial").stdout.strip()

    with Load(fleet, rate=50) as load:
        for _ in range(10 if soak else 2):
            before = serial()
            done = on(name, "REQUESTS_CA_BUNDLE=/etc/letsencrypt/acme-ca.pem certbot renew --quiet --force-renewal "
                            "--no-random-sleep-on-renew")
            assert done.returncode == 0, done.stderr
            assert serial() not in ("", before)
        load.wait_for(len(load.results) + 50)
    assert load.failures == []


def test_balancer_restarted_instead_of_reloaded_drops_connections(fleet, on):
    """The control of the test above: the same load notices when the balancer is taken away."""
    name = fleet.group("loadbalancers")[0].name
    with Load(fleet, rate=50) as load:
        on(name, "systemctl restart haproxy.service")
        load.wait_for(len(load.results) + 100)
    assert load.failures

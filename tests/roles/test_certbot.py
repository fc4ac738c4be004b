"""Role certbot: the public certificate and its renewal."""

GROUP = "loadbalancers"
LIVE = "/etc/letsencrypt/live/site"


def test_certificate_is_for_every_name(host, value):
    names = host.check_output(f"openssl x509 -in {LIVE}/cert.pem -noout -ext subjectAltName")
    for name in [value("loadbalancer_domain"), *value("loadbalancer_extra_domains")]:
        assert f"DNS:{name}" in names


def test_balancer_serves_the_certificate_that_was_issued(host, value):
    port, name = value("haproxy_https_port"), value("loadbalancer_domain")
    served = host.check_output(
        f"openssl s_client -connect 127.0.0.1:{port} -servername {name} </dev/null 2>/dev/null "
        "| openssl x509 -noout -serial"
    )
    assert served == host.check_output(f"openssl x509 -in {LIVE}/cert.pem -noout -serial")


def test_key_is_of_the_declared_kind(host, value):
    said = host.check_output(f"openssl x509 -in {LIVE}/cert.pem -noout -text")
    assert ("id-ecPublicKey" in said) == (value("certbot_key_type") == "ecdsa")


def test_renewal_runs_by_timer_and_hands_the_certificate_on(host):
    assert host.service("certbot.timer").is_enabled
    assert host.service("certbot.timer").is_running
    renewal = host.file("/etc/letsencrypt/renewal/site.conf").content_string
    assert "renew_hook = /usr/local/sbin/certbot-install" in renewal
    assert "authenticator = manual" in renewal


def test_certificate_is_not_about_to_expire(host):
    assert host.run(f"openssl x509 -in {LIVE}/cert.pem -noout -checkend {20 * 86400}").rc == 0


def test_renewal_runs_in_a_sandbox(exposure):
    assert exposure("certbot.service") <= 2.0

"""Role pki: the internal authority and the host's certificate."""

import pytest

GROUP = "all"


@pytest.fixture
def folder(value):
    return value("pki_directory")


def test_certificate_is_signed_by_the_authority_for_this_host(host, folder):
    verify = f"openssl verify -CAfile {folder}/ca.pem -verify_hostname {host.name} {folder}/cert.pem"
    assert host.run(verify).rc == 0
    assert host.run(verify.replace(host.name, "stranger")).rc != 0


def test_certificate_bears_every_address_of_the_host(host, fleet, folder):
    for address in fleet.hosts[host.name].addresses:
        assert host.run(f"openssl verify -CAfile {folder}/ca.pem -verify_ip {address} {folder}/cert.pem").rc == 0


def test_certificate_lasts_longer_than_its_renewal_asks(host, folder, value):
    days = value("pki_renew_days")
    assert host.run(f"openssl x509 -in {folder}/cert.pem -noout -checkend {days * 86400}").rc == 0


def test_key_fits_the_certificate_and_is_private(host, folder):
    key = host.file(f"{folder}/key.pem")
    assert (key.user, key.group, key.mode) == ("root", "ssl-cert", 0o640)
    public = host.check_output(f"openssl pkey -in {folder}/key.pem -pubout")
    assert public == host.check_output(f"openssl x509 -in {folder}/cert.pem -noout -pubkey")


def test_authority_key_is_on_no_host(host, folder):
    assert not host.file(f"{folder}/ca.key").exists
    assert host.check_output(f"grep -l 'PRIVATE KEY' -r {folder}") == f"{folder}/key.pem"

"""Role nginx: the web server in front of the application."""

from deploy.release.verify import tag

GROUP = "web"


def test_server_runs_with_a_valid_configuration(host, value):
    assert host.service("nginx").is_running
    assert host.service("nginx").is_enabled
    assert host.run("nginx -t -q").rc == 0
    assert host.socket(f"tcp://0.0.0.0:{value('nginx_port')}").is_listening
    assert host.socket(f"tcp://:::{value('nginx_port')}").is_listening


def test_packages_own_site_is_gone(host):
    assert not host.file("/etc/nginx/sites-enabled/default").exists
    assert "default_server" not in host.check_output("nginx -T 2>/dev/null")


def test_application_answers_behind_it(host, value):
    answer = host.check_output(
        f"curl -s -o /dev/null -w '%{{http_code}}' -H 'Host: {value('loadbalancer_domain')}' "
        f"-H 'X-Forwarded-Proto: https' http://127.0.0.1:{value('nginx_port')}/readyz"
    )
    assert answer == "200"


def test_version_is_not_told(host, value):
    assert "nginx/" not in host.check_output(f"curl -sI http://127.0.0.1:{value('nginx_port')}/")


def test_answers_tell_which_host_gave_them_and_no_name(host, value):
    for path in ("/readyz", "/nothing"):
        answer = host.check_output(
            f"curl -s -D - -o /dev/null -H 'Host: {value('loadbalancer_domain')}' -H 'X-Forwarded-Proto: https' "
            f"http://127.0.0.1:{value('nginx_port')}{path}"
        )
        assert f"X-Served-By: {tag(host.name)}" in answer.splitlines(), path
        assert host.name not in answer, path


def test_the_service_runs_in_a_sandbox(exposure):
    assert exposure("nginx.service") <= 2.6


def test_one_that_was_killed_starts_again(host):
    assert host.check_output("systemctl show --property Restart --value nginx.service") == "on-failure"

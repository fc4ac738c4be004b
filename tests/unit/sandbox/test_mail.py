"""The mail server for tests: it accepts what a provider's would, keeps all of it, and fails as it is told to."""

from __future__ import annotations

import json
import os
import smtplib
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from pathlib import Path

import pytest

from lab import outside
from tests.fleet.outside import Mailbox

ROOT = Path(__file__).resolve().parents[3]
GUEST, OWNER, SERVICE = "guest@example.org", "owner@example.org", "bookings@booking.test"


@contextmanager
def running(folder: Path, *options: str) -> Iterator[int]:
    """The server as a person starts it; its port."""
    with subprocess.Popen(
        [sys.executable, "-m", "lab.outside.mail", "--port", "0", "--mailbox", str(folder), *options],
        cwd=ROOT, stdout=subprocess.PIPE, text=True,
    ) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mail") / "box"


@pytest.fixture(scope="module")
def port(folder: Path) -> Iterator[int]:
    with running(folder, "--plain") as number:
        yield number


@pytest.fixture
def mailbox(folder: Path, port: int) -> Iterator[Mailbox]:
    yield (found := Mailbox(folder))
    found.clear()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    outside.draw(folder)
    return folder


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory, certificates: Path) -> Iterator[tuple[int, Mailbox]]:
    folder = tmp_path_factory.mktemp("secured")
    with running(folder, "--certificate", str(certificates / "server.pem"), "--key", str(certificates / "server.key"),
                 "--auth-required", "--host", "::") as number:
        yield number, Mailbox(folder)


def message(subject: str = "Your stay", text: str = "Two nights in Lalibela, ሰላም.") -> EmailMessage:
    made = EmailMessage()
    made["From"], made["To"], made["Subject"], made["Message-ID"] = SERVICE, GUEST, subject, "<1@booking.test>"
    made.set_content(text)
    return made


def send(port: int, mail: EmailMessage | None = None, *recipients: str, timeout: float = 10) -> None:
    with smtplib.SMTP("127.0.0.1", port, timeout=timeout) as client:
        client.send_message(mail or message(), SERVICE, recipients or (GUEST,))


def begun(port: int) -> smtplib.SMTP:
    return smtplib.SMTP("127.0.0.1", port, timeout=10)


def trusting(certificates: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificates / "ca.pem"))


def soon(check: Callable[[], object], seconds: float = 5) -> None:
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


def test_what_was_sent_is_kept_with_its_envelope(port: int, mailbox: Mailbox) -> None:
    send(port, message(), GUEST, OWNER)
    (kept,) = mailbox.messages()
    assert (kept.sender, kept.recipients, kept.login) == (SERVICE, (GUEST, OWNER), "")
    assert (kept.subject, kept.message["Message-ID"]) == ("Your stay", "<1@booking.test>")
    assert kept.text.strip() == "Two nights in Lalibela, ሰላም."


def test_it_is_on_the_disk_when_the_server_has_answered(port: int, mailbox: Mailbox) -> None:
    with begun(port) as client:
        client.sendmail(SERVICE, [GUEST], b"Subject: one\r\n\r\n.\r\nline\r\n")
        assert len(mailbox.messages()) == 1
    assert mailbox.messages()[0].text == ".\nline\n"


def test_messages_are_in_the_order_of_their_coming(port: int, mailbox: Mailbox) -> None:
    for number in range(12):
        send(port, message(str(number)))
    assert [kept.subject for kept in mailbox.messages()] == [str(number) for number in range(12)]


def test_message_of_one_recipient_is_found_by_the_envelope_alone(port: int, mailbox: Mailbox) -> None:
    send(port, message("to the owner"), OWNER)  # its To: names the guest
    assert [kept.subject for kept in mailbox.by_recipient(OWNER)] == ["to the owner"]
    assert mailbox.by_recipient(GUEST) == []


def test_what_is_sent_twice_is_there_twice(port: int, mailbox: Mailbox) -> None:
    send(port)
    send(port)
    assert [kept.message["Message-ID"] for kept in mailbox.messages()] == ["<1@booking.test>"] * 2


def test_any_user_and_password_are_right(port: int, mailbox: Mailbox) -> None:
    with begun(port) as client:
        client.login("booking", "whatever")
        client.send_message(message())
    assert mailbox.messages()[0].login == "booking"


# --- as a provider's port 587


def test_name_and_authority_are_verified_under_starttls(secured: tuple[int, Mailbox], certificates: Path) -> None:
    port, mailbox = secured
    mailbox.clear()
    with begun(port) as client:
        client._host = "mail.test"  # type: ignore[attr-defined] # the name that the certificate must be for
        client.starttls(context=trusting(certificates))
        client.login("booking", "whatever")
        client.send_message(message())
    assert mailbox.messages()[0].login == "booking"


def test_certificate_for_another_name_would_be_noticed(secured: tuple[int, Mailbox], certificates: Path) -> None:
    with begun(secured[0]) as client:
        client._host = "other.test"  # type: ignore[attr-defined] # as above
        with pytest.raises(ssl.SSLCertVerificationError, match=r"other\.test"):
            client.starttls(context=trusting(certificates))


def test_nothing_is_accepted_before_starttls(secured: tuple[int, Mailbox]) -> None:
    with begun(secured[0]) as client:
        client.ehlo()
        assert client.has_extn("starttls")
        assert not client.has_extn("auth"), "a password must not be asked for in the clear"
        with pytest.raises(smtplib.SMTPSenderRefused) as caught:
            client.sendmail(SERVICE, [GUEST], b"Subject: x\r\n\r\n")
    assert caught.value.smtp_code == 530


def test_login_can_be_required(secured: tuple[int, Mailbox], certificates: Path) -> None:
    with begun(secured[0]) as client:
        client._host = "mail.test"  # type: ignore[attr-defined] # as above
        client.starttls(context=trusting(certificates))
        with pytest.raises(smtplib.SMTPSenderRefused) as caught:
            client.sendmail(SERVICE, [GUEST], b"Subject: x\r\n\r\n")
    assert caught.value.smtp_code == 530


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_it_listens_on_both_families(secured: tuple[int, Mailbox], address: str) -> None:
    with socket.create_connection((address, secured[0]), timeout=5) as connection:
        assert connection.recv(4) == b"220 "


# --- what goes wrong, on demand


@pytest.mark.parametrize("code", [451, 550])
def test_recipients_can_be_refused_for_now_or_for_good(port: int, mailbox: Mailbox, code: int) -> None:
    mailbox.refuse(code)
    for _ in range(2):
        with pytest.raises(smtplib.SMTPRecipientsRefused) as caught:
            send(port)
        assert caught.value.recipients[GUEST][0] == code
    mailbox.accept()
    send(port)
    assert len(mailbox.messages()) == 1


@pytest.mark.parametrize("code", [452, 554])
def test_message_can_be_refused_after_it_was_sent(port: int, mailbox: Mailbox, code: int) -> None:
    mailbox.refuse(code, at="data")
    with pytest.raises(smtplib.SMTPDataError) as caught:
        send(port)
    assert caught.value.smtp_code == code
    assert mailbox.messages() == []


def test_refusals_can_be_counted_out(port: int, mailbox: Mailbox) -> None:
    mailbox.refuse(451, times=2)
    for _ in range(2):
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            send(port)
    send(port)
    assert len(mailbox.messages()) == 1


def test_one_of_two_recipients_can_be_refused(port: int, mailbox: Mailbox) -> None:
    mailbox.refuse(550, times=1)
    send(port, message(), GUEST, OWNER)
    assert mailbox.messages()[0].recipients == (OWNER,)


def test_message_can_be_kept_and_the_answer_lost(port: int, mailbox: Mailbox) -> None:
    """Was it sent? Only the mailbox knows."""
    mailbox.lose(times=1)
    with pytest.raises(smtplib.SMTPServerDisconnected):
        send(port)
    assert len(mailbox.messages()) == 1
    send(port)
    assert len(mailbox.messages()) == 2


def test_answer_can_be_slow(port: int, mailbox: Mailbox) -> None:
    mailbox.slow(0.5, times=1)
    began = time.monotonic()
    send(port)
    assert time.monotonic() - began >= 0.5
    assert len(mailbox.messages()) == 1


def test_client_that_does_not_wait_for_a_slow_answer_has_sent_nothing(port: int, mailbox: Mailbox) -> None:
    mailbox.slow(1, times=1)
    with pytest.raises(smtplib.SMTPServerDisconnected, match="timed out"):
        send(port, timeout=0.3)
    time.sleep(1.2)
    assert mailbox.messages() == []


def test_slow_message_keeps_no_other_waiting(port: int, mailbox: Mailbox) -> None:
    mailbox.slow(1.5, times=1)
    waiting = threading.Thread(target=send, args=(port, message("slow")))
    waiting.start()
    soon(lambda: not (mailbox.folder / "behaviour.json").exists())
    send(port, message("quick"))
    assert [kept.subject for kept in mailbox.messages()] == ["quick"]
    waiting.join()
    assert len(mailbox.messages()) == 2


@pytest.mark.parametrize(("text", "said"), [
    ("{", "cannot be understood"), ('{"kind": "explode"}', "must be refuse, slow or lose"),
    ('{"kind": "refuse", "code": 250}', "from 400 to 599"), ('{"kind": "slow", "for": 3}', "unexpected keyword"),
    ('{"kind": "slow", "seconds": -1}', "must not be negative"), ('{"kind": "lose", "times": 0}', "1 or more"),
    ("[]", "must be a mapping"),
])
def test_behaviour_that_makes_no_sense_is_told(port: int, mailbox: Mailbox, text: str, said: str) -> None:
    (mailbox.folder / "behaviour.json").write_text(text)
    with pytest.raises(smtplib.SMTPRecipientsRefused) as caught:
        send(port)
    code, answer = caught.value.recipients[GUEST]
    assert code == 451
    assert said in answer.decode()


def test_what_is_asked_of_the_server_belongs_to_the_server(port: int, mailbox: Mailbox) -> None:
    mailbox.refuse(451, times=2)
    asked = mailbox.folder / "behaviour.json"
    assert asked.stat().st_uid == mailbox.folder.stat().st_uid
    assert json.loads(asked.read_text())["times"] == 2


# --- how it is run


def test_mailbox_is_made_where_there_is_an_empty_folder_already(tmp_path: Path) -> None:
    with running(tmp_path, "--plain") as number:
        send(number)
    assert len(Mailbox(tmp_path).messages()) == 1


def test_it_ends_when_told_to_and_what_it_had_is_kept(tmp_path: Path) -> None:
    with running(tmp_path, "--plain") as number:
        send(number)
    with running(tmp_path, "--plain") as number:
        send(number)
    assert len(Mailbox(tmp_path).messages()) == 2


def test_without_a_certificate_it_says_what_is_missing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "lab/outside/mail", "--mailbox", str(tmp_path)], cwd=ROOT, check=False, capture_output=True,
        text=True, env=dict(os.environ),
    )
    assert (done.returncode, "--certificate and --key" in done.stderr) == (2, True)

"""A mail server that accepts everything and delivers nothing: what applications send ends in a mailbox for tests.

`python -m lab.outside.mail --port 0 --mailbox DIR --plain` listens on 127.0.0.1 without TLS and prints its port as the
first line. Needs aiosmtpd (Debian: python3-aiosmtpd). With a certificate it speaks as a provider's submission port
does (RFC 6409): nothing but STARTTLS is accepted before TLS. Any user and password are right; `--auth-required` makes
them necessary.

DIR is a Maildir, so that its owner reads it as files, without the network: one file a message in `new`, as it came,
under three headers of the server's own: X-Envelope-From, X-Envelope-To (comma-separated) and
X-Envelope-Login (absent without a login). A message that is accepted is on the disk before the
answer. The same message sent twice is there twice; telling them apart is the reader's business, by Message-ID.

`DIR/behaviour.json` says what goes wrong, and is read at every message; no such file, and all is well:

- `{"kind": "refuse", "code": 451, "at": "rcpt"}`: answer with that code (400 to 599), at RCPT TO or ("data") after the
  message;
- `{"kind": "slow", "seconds": 5}`: answer so much later. A client that goes away before has sent nothing;
- `{"kind": "lose"}`: keep the message, then close the connection without an answer.

With `"times": N` it holds for the next N refusals, delays or losses, and the file is gone afterwards. Write it beside
and rename it. A file that cannot be understood is refused with 451 and says why.
"""

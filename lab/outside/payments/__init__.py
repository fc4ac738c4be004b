"""A stand-in for Chapa's payment API, with failures on demand. Standard library alone, Python 3.11 or newer.

`python -m lab.outside.payments --port 0 --plain`, or by its path where the project's own tools are missing
(`python lab/outside/payments --port 0 --plain`), listens on 127.0.0.1 without TLS and prints its port as the first
line. Everything is kept in memory and ends with the process: a restart is an empty Chapa.

What it answers is Chapa's API v1, by these pages as published in November 2026:

- https://developer.chapa.co/integrations/accept-payments: `POST /v1/transaction/initialize`, the checkout page, the
  redirect to `return_url` after success, and the GET of `callback_url` with trx_ref, ref_id and status;
- https://developer.chapa.co/integrations/verify-payments: `GET /v1/transaction/verify/<tx_ref>`;
- https://developer.chapa.co/refund: `POST /v1/refund/<tx_ref or Chapa's reference>`, JSON or form, all fields
  optional (amount, reason, reference, meta), and `GET /v1/refund/<ref_id>/verify`;
- https://developer.chapa.co/integrations/responses: messages and codes of all these;
- https://developer.chapa.co/integrations/webhooks: events, bodies, both signatures; only the answer 200 is an
  acknowledgement, anything else is tried again every 10 minutes, 10 attempts in all.

Where the pages leave a gap: validation rules other than `validation.required` are named in its form; a payment is
refunded once; a refund is done at once, not in 1-3 business days, and in test mode too (Chapa refunds live payments
alone); "Cancel" leads to a page with a link back, because `return_url` is for success; a payment has no reference of
Chapa's before somebody has paid or cancelled.

The control interface, for tests, without a key, on the same port. Bodies and answers are JSON:

- `GET /control/transactions`: every transaction, as verify would show it, with its checkout id and refund;
- `GET /control/calls`: every call received outside /control/, oldest first: at, endpoint, method, path, body (text),
  status (null: dropped without an answer);
- `POST /control/fail {"endpoint", "kind", "times"?: 1, "seconds"?: 30}`: the next calls of an endpoint (initialize,
  verify, refund, verify-refund, checkout, pay, or any) go wrong. Kinds: "500" (nothing done), "drop" (connection
  closed, nothing done), "hang" (done, answered after `seconds`), "lost" (done, then the connection closed),
  "unpaid" (404 "Payment not paid yet", as verify may say of what it has not heard of yet);
- `POST /control/down`, `POST /control/up`: every call is dropped until `up`;
- `GET /control/webhooks`: the settings, and every delivery: at, event, tx_ref, attempt, status (null: no answer),
  error;
- `POST /control/webhooks {"mode"?, "url"?, "late_seconds"?, "retry_seconds"?, "attempts"?}`. Modes: "on", "off"
  (neither webhooks nor callbacks), "twice", "late" (after `late_seconds`), "forged" (wrong signatures),
  "refund-first" (a success waits until its refund has been told), "failed-after" (a success is followed by the
  failure of an earlier attempt);
- `POST /control/resend {"tx_ref"}`: the latest event of a transaction again, whatever the mode, rightly signed;
- `POST /control/reset`: forget everything; settings as at the start. Calls that hang are let go.
"""

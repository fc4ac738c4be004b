"""What a customer sees: plain HTML that needs no script. Whatever comes from the merchant is escaped."""

from __future__ import annotations

from html import escape

from .ledger import Transaction

POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'"
STYLE = (
    "body{font:1.1rem/1.5 sans-serif;max-width:32rem;margin:2rem auto;padding:0 1rem}"
    "button{font:inherit;padding:.5rem 1.5rem;margin-right:1rem}"
)
SETTLED = {
    "success": "This payment has been made.",
    "failed": "This payment was cancelled. Nothing was charged.",
    "refunded": "This payment was given back.",
}


def checkout(transaction: Transaction) -> str:
    """The checkout page: who asks for how much, and the customer's two answers; or that it is settled."""
    custom = transaction.customization
    title = str(custom["title"] or "Payment")
    amount = f"{transaction.amount:,.2f} {transaction.currency}"
    name = f"{transaction.text('first_name')} {transaction.text('last_name')}".strip()
    lines = [f"<p>{escape(str(custom['description']))}</p>" if custom["description"] else ""]
    lines += [f"<p>Amount: <strong>{escape(amount)}</strong></p>", f"<p>Paid by: {escape(name)}</p>" if name else ""]
    if transaction.status == "pending":
        lines += [
            '<form method="post">',
            '<button name="outcome" value="success">Pay</button>',
            '<button name="outcome" value="failed">Cancel</button>',
            "</form>",
        ]
    else:
        lines.append(f'<p role="status">{SETTLED[transaction.status]}</p>')
        if back := transaction.text("return_url"):
            lines.append(f'<p><a href="{escape(back)}">Back to the merchant</a></p>')
    return page(title, lines)


def page(title: str, lines: list[str]) -> str:
    """A whole page; *lines* are HTML, *title* is text."""
    return "\n".join([
        "<!doctype html>", '<html lang="en">', "<head>", '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width">', f"<title>{escape(title)}</title>",
        f"<style>{STYLE}</style>", "</head>", "<body>", "<main>", f"<h1>{escape(title)}</h1>",
        *(line for line in lines if line),
        "<p><small>A stand-in for Chapa: no money moves.</small></p>", "</main>", "</body>", "</html>", "",
    ])

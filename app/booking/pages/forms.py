"""What people fill in."""

from typing import Any

from django import forms

from booking.accounts.models import Role

DAY = forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")


class Search(forms.Form):
    """What to look for; everything may be left out."""

    search = forms.CharField(required=False, max_length=120, label="Words")
    place = forms.CharField(required=False, max_length=120, label="Town")
    check_in = forms.DateField(required=False, widget=DAY, label="From")
    check_out = forms.DateField(required=False, widget=DAY, label="Until")
    guests = forms.IntegerField(required=False, min_value=1, max_value=1000, label="Guests")
    price_max = forms.DecimalField(
        required=False, min_value=0, max_digits=10, decimal_places=2, label="At most a night"
    )

    def clean(self) -> dict[str, Any]:
        """One date asks for the other, and the second comes after the first."""
        check_in, check_out = (self.cleaned_data.get(name) for name in ("check_in", "check_out"))
        if (
            (check_in or check_out)
            and not self.errors
            and not (check_in and check_out and check_in < check_out)
        ):
            self.add_error("check_out", "Give both dates, the second after the first.")
        return self.cleaned_data


class Stay(forms.Form):
    """The nights to book, and for how many."""

    check_in = forms.DateField(widget=DAY, label="Check-in")
    check_out = forms.DateField(widget=DAY, label="Check-out")
    guests = forms.IntegerField(min_value=1, max_value=2**15 - 1, initial=1, label="Guests")


class Registration(forms.Form):
    """A new account."""

    name = forms.CharField(max_length=120, widget=forms.TextInput(attrs={"autocomplete": "name"}))
    email = forms.EmailField(
        max_length=254, label="E-mail", widget=forms.EmailInput(attrs={"autocomplete": "email"})
    )
    password = forms.CharField(
        max_length=128, strip=False, widget=forms.PasswordInput(attrs={"autocomplete": "new-password"})
    )
    role = forms.ChoiceField(
        choices=[(Role.GUEST, "book places"), (Role.HOST, "book, and offer places")],
        label="I want to",
        widget=forms.RadioSelect,
        initial=Role.GUEST,
    )


def add_errors(form: forms.Form, fields: dict[str, list[str]], message: str) -> None:
    """Puts a service's refusal where it belongs: at its fields, else above the form."""
    known: dict[str, Any] = {name: texts for name, texts in fields.items() if name in form.fields}
    form.add_error(None, known or message)

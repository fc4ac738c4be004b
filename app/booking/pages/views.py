"""The pages: server-rendered, whole without a script."""

import math
from datetime import date, timedelta
from typing import Any

from django.contrib import messages
from django.contrib.auth import login
from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import LoginView
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.http import urlencode
from django.utils.safestring import mark_safe
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from booking.accounts.models import User
from booking.accounts.services import user_register
from booking.accounts.throttles import LoginThrottle, Registrations
from booking.bookings.models import HOLDING, Booking, Status
from booking.bookings.selectors import booking_list, nights_taken
from booking.bookings.services import booking_cancel, booking_create
from booking.core.errors import ApplicationError
from booking.listings.cache import kept
from booking.listings.models import Listing
from booking.listings.selectors import ListingFilter, listing_list
from booking.pages import calendar
from booking.pages.forms import Registration, Search, Stay, add_errors
from booking.pages.selectors import host_report
from booking.payments.services import payment_open, payment_settle

PLACES_A_PAGE = 24
STAYS_SHOWN = 100
MONTHS_SHOWN = 2
DAYS_AHEAD = 550  # how far a calendar can be turned


def user_of(request: HttpRequest) -> User:
    """Who is signed in; views that ask this are login_required."""
    assert isinstance(request.user, User)
    return request.user


@require_safe
def places(request: HttpRequest) -> HttpResponse:
    """What is on offer, newest first; `before` is the last one of the page before."""
    form, found = Search(request.GET), listing_list()
    if form.is_valid():
        wanted = ListingFilter(
            {key: value for key, value in form.cleaned_data.items() if value not in (None, "")},
            queryset=found,
        )
        if wanted.is_valid():
            found = wanted.qs
        for field, texts in wanted.errors.items():
            form.add_error(field if field in form.fields else None, texts)
    asked = {key: request.GET[key] for key in form.fields if request.GET.get(key)}
    before = request.GET.get("before", "")
    if before.isdecimal() and len(before) < 19:
        found = found.filter(pk__lt=int(before))
    else:
        before = ""

    def drawn() -> bytes:
        return cards(found, asked=asked)

    # What is free changes with every booking.
    dated = "check_in" in asked or "check_out" in asked
    what = f"cards {urlencode(asked)} before {before}"
    shown = b"" if form.errors else drawn() if dated else kept(what, drawn)
    context = {"form": form, "cards": mark_safe(shown.decode())}
    return render(request, "pages/places.html", context, status=400 if form.errors else 200)


def cards(found: QuerySet[Listing], *, asked: dict[str, str]) -> bytes:
    """The part of the page that shows a page of `found`; the same for whoever asks."""
    page = list(found.order_by("-pk")[: PLACES_A_PAGE + 1])
    more = urlencode(asked | {"before": str(page[PLACES_A_PAGE - 1].pk)}) if len(page) > PLACES_A_PAGE else ""
    dates = {key: value for key, value in asked.items() if key in ("check_in", "check_out", "guests")}
    context = {"places": page[:PLACES_A_PAGE], "more": more, "dates": urlencode(dates)}
    return render_to_string("pages/_cards.html", context).encode()


@require_http_methods(["GET", "HEAD", "POST"])
def place(request: HttpRequest, pk: int) -> HttpResponse:
    """A place with its calendar; a POST books it."""
    reader = request.user if isinstance(request.user, User) else None
    found = get_object_or_404(listing_list(reader=reader), pk=pk)
    if request.method == "POST":
        form = Stay(request.POST)
        if reader is None:
            chosen = urlencode({key: request.POST.get(key, "") for key in form.fields})
            return redirect(f"{request.path}?{chosen}", permanent=False)
        if form.is_valid() and (booked := book(form, found, reader)):
            return redirect("stay", pk=booked.pk)
        return show_place(request, found, form, status=400)
    return show_place(request, found, Stay(initial=request.GET.dict()))


def book(form: Stay, listing: Listing, guest: User) -> Booking | None:
    """The booking that the form asks for; None, and the form says why, where it is refused.

    A form that was sent twice finds the first one's booking.
    """
    dates = {key: form.cleaned_data[key] for key in ("check_in", "check_out")}
    try:
        return booking_create(guest=guest, listing=listing.pk, guests=form.cleaned_data["guests"], **dates)
    except ApplicationError as error:
        if error.code == "dates_taken":
            mine = booking_list(guest=guest).filter(listing=listing, status__in=HOLDING, **dates).first()
            if mine:
                return mine
        add_errors(form, error.fields, str(error))
        return None


def show_place(request: HttpRequest, listing: Listing, form: Stay, status: int = 200) -> HttpResponse:
    """The page of a place; the month and the picked days are in the query."""
    today = timezone.localdate()
    picked = {key: day_of(form[key].value()) for key in ("check_in", "check_out")}
    last = today + timedelta(days=DAYS_AHEAD)
    first = min(max(day_of(request.GET.get("month")) or picked["check_in"] or today, today), last).replace(
        day=1
    )
    end = first
    for _ in range(MONTHS_SHOWN):
        end = calendar.month_after(end)
    taken = nights_taken(listing=listing, first=first, last=end + timedelta(days=7))
    months = calendar.months(first=first, count=MONTHS_SHOWN, today=today, taken=taken, **picked)
    before = (first - timedelta(days=1)).replace(day=1)
    context = {
        "place": listing,
        "form": form,
        "months": months,
        "earlier": before if before >= today.replace(day=1) else None,
        "later": calendar.month_after(first) if end < last else None,
        **picked,
    }
    return render(request, "pages/place.html", context, status=status)


def day_of(value: Any) -> date | None:
    """A day as a form or a query holds it; None where it is none."""
    if isinstance(value, date):
        return value
    try:
        return date.fromisoformat(str(value))
    except ValueError:
        return None


@require_safe
@login_required
def stays(request: HttpRequest) -> HttpResponse:
    """The guest's own bookings, the newest ones."""
    found = booking_list(guest=user_of(request)).order_by("-pk")[:STAYS_SHOWN]
    return render(request, "pages/stays.html", {"stays": found})


@require_safe
@login_required
def stay(request: HttpRequest, pk: int) -> HttpResponse:
    """One of them. Who comes back from the provider has paid before its message has arrived: it is asked."""
    guest = user_of(request)
    found = get_object_or_404(booking_list(guest=guest), pk=pk)
    if "paid" in request.GET:
        for payment in found.payments.filter(status="open"):
            try:
                payment_settle(reference=payment.reference)
            except ApplicationError as error:
                messages.warning(request, str(error))
        found = get_object_or_404(booking_list(guest=guest), pk=pk)
    context: dict[str, Any] = {
        "stay": found,
        "payments": found.payments.order_by("pk"),
        "history": found.audit.order_by("pk"),
    }
    ahead = found.status in HOLDING and found.check_out > timezone.localdate()
    context |= {"payable": found.status == Status.PENDING, "cancellable": ahead}
    return render(request, "pages/stay.html", context)


@require_POST
@login_required
def pay(request: HttpRequest, pk: int) -> HttpResponse:
    """To the provider's page."""
    found = get_object_or_404(booking_list(guest=user_of(request)), pk=pk)
    try:
        return redirect(payment_open(booking=found).checkout_url)
    except ApplicationError as error:
        messages.error(request, str(error))
        return redirect("stay", pk=pk)


@require_POST
@login_required
def cancel(request: HttpRequest, pk: int) -> HttpResponse:
    """Gives the dates back, and what was paid."""
    guest = user_of(request)
    get_object_or_404(booking_list(guest=guest), pk=pk)
    try:
        booking_cancel(guest=guest, booking=pk)
        messages.success(request, "The booking is cancelled.")
    except ApplicationError as error:
        messages.error(request, str(error))
    return redirect("stay", pk=pk)


@require_safe
@login_required
def report(request: HttpRequest) -> HttpResponse:
    """A host's nights, revenue and occupancy by month: `year`, this one unless asked."""
    host = user_of(request)
    if not host.is_host:
        raise PermissionDenied
    asked, today = request.GET.get("year", ""), timezone.localdate()
    year = int(asked) if asked.isdecimal() and 2000 <= int(asked[:5]) <= today.year + 5 else today.year
    rows = host_report(host=host, first=date(year, 1, 1), last=date(year + 1, 1, 1))
    return render(request, "pages/report.html", {"rows": rows, "year": year})


def too_often(request: HttpRequest, limit: LoginThrottle | Registrations) -> HttpResponse | None:
    """The answer to who has tried too often; None for others. The attempt is counted."""
    if limit.allow_request(request, None):
        return None
    message = f"That was too often. Try again in {math.ceil((limit.wait() or 0) / 60)} minutes."
    answer = render(request, "pages/error.html", {"message": message}, status=429)
    answer["Retry-After"] = str(math.ceil(limit.wait() or 0))
    return answer


@require_http_methods(["GET", "HEAD", "POST"])
def register(request: HttpRequest) -> HttpResponse:
    """A new account, signed in at once."""
    if request.method == "POST" and (refusal := too_often(request, Registrations())):
        return refusal
    form = Registration(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            user = user_register(**form.cleaned_data)
        except ApplicationError as error:
            add_errors(form, error.fields, str(error))
        else:
            login(request, user)
            return redirect("places")
    return render(request, "pages/register.html", {"form": form}, status=400 if form.errors else 200)


class Login(LoginView):
    """By e-mail address and password."""

    template_name = "pages/login.html"

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """One attempt, within the limits that the API's logins have."""
        return too_often(request, LoginThrottle()) or super().post(request, *args, **kwargs)

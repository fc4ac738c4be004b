"""Every path that the service answers."""

from csp.constants import SELF
from csp.decorators import csp_replace
from django.urls import include, path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from booking.core.health import Healthz, Readyz
from booking.graphql.views import GraphQL

api = [
    path("", include("booking.accounts.urls")),
    path("listings/", include("booking.listings.urls")),
    path("bookings/", include("booking.bookings.urls")),
]

# Swagger UI's page has one style in it, and icons in its style sheet; tests/test_security.py has the digest.
STYLE = "'sha256-MMpT0iDxyjALd9PdfepImGX3DBfJPXZ4IlDWdPAgtn0='"
docs = csp_replace({"style-src": [SELF, STYLE], "img-src": [SELF, "data:"]})(
    SpectacularSwaggerSplitView.as_view(url_name="schema")
)

urlpatterns = [
    path("healthz", Healthz.as_view(), name="healthz"),
    path("readyz", Readyz.as_view(), name="readyz"),
    path("api/v1/", include(api)),
    path("graphql", GraphQL.as_view(), name="graphql"),
    path("api/schema/", SpectacularAPIView.as_view(), name="schema"),
    path("api/docs/", docs, name="docs"),
]

handler400 = "booking.core.errors.bad_request"
handler403 = "booking.core.errors.permission_denied"
handler404 = "booking.core.errors.page_not_found"
handler500 = "booking.core.errors.server_error"

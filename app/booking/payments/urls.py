"""Paths of payments."""

from django.urls import path

from booking.payments.views import ChapaWebhook

urlpatterns = [path("chapa/webhook/", ChapaWebhook.as_view(), name="chapa-webhook")]

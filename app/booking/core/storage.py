"""Static files under hashed names, with the manifest kept by the release instead of beside the files."""

from typing import Any

from django.conf import settings
from django.contrib.staticfiles.storage import ManifestStaticFilesStorage
from django.core.files.storage import FileSystemStorage


class ReleaseStaticFilesStorage(ManifestStaticFilesStorage):
    """Writes `staticfiles.json` into the code's directory.

    The files of several releases lie in one directory that the web server serves; a manifest there would be
    the newest release's, while an older one that is still running needs its own.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, manifest_storage=FileSystemStorage(location=settings.BASE_DIR), **kwargs)

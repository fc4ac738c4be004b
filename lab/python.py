"""The hosts' Python for the controller: the image's own, in a folder that belongs to one command."""

from __future__ import annotations

from lab import image
from lab.state import Lab

# The present folder appears at the same path inside, and nothing else of the machine does. The namespace
# goes with the command, so that nothing stays mounted, whatever ends it.
WRAPPER = """\
#!/bin/sh
# Runs the Python of this sandbox's hosts in the present folder: python3.13 ARGUMENTS...
[ "$(id -u)" = 0 ] || exec sudo -- "$0" "$@"
exec unshare --mount --propagation private sh -c '
    set -e
    here=$PWD scratch=$1
    shift
    mount -t tmpfs none "$scratch"
    mkdir "$scratch/upper" "$scratch/work" "$scratch/root"
    mount -t overlay none -o "lowerdir={image},upperdir=$scratch/upper,workdir=$scratch/work" "$scratch/root"
    mkdir -p "$scratch/root$here"
    mount --bind "$here" "$scratch/root$here"
    mount -t proc none "$scratch/root/proc"
    mount --bind /dev "$scratch/root/dev"
    exec chroot "$scratch/root" sh -c "cd \\"\\$0\\" && exec python3.13 \\"\\$@\\"" "$here" "$@"
' sh {scratch} "$@"
"""


def write_wrapper(lab: Lab) -> None:
    """Write `<lab>/python3.13`, the command that the inventory names as `release_python`."""
    scratch = lab.directory / "scratch"
    scratch.mkdir(exist_ok=True)
    wrapper = lab.directory / "python3.13"
    wrapper.write_text(WRAPPER.format(image=image.path(lab.image), scratch=scratch))
    wrapper.chmod(0o755)

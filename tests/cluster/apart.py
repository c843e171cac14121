"""A part of the machine for one test alone (mounts, or a network), gone without a trace when its processes are."""

import os
import subprocess
import sys


def run_apart(*kinds):
    """Runs this program again where --mount or --net of `unshare` is its own, as root or as a user who may be root in a
    user namespace of its own. Returns there; where the machine allows neither, returns the reason, for a skip."""
    if os.environ.get("POTLUCK_TEST_APART"):
        return None
    reason = "unshare is not here"
    for whom in ([], ["--map-root-user"]):
        apart = ["unshare", *whom, *kinds]
        try:
            tried = subprocess.run([*apart, "true"], capture_output=True, text=True)
        except OSError as error:
            return str(error)
        if tried.returncode == 0:
            os.environ["POTLUCK_TEST_APART"] = "1"
            os.execvp("unshare", [*apart, sys.executable, *sys.argv])
        reason = tried.stderr.strip()
    return reason

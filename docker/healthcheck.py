"""Whether the service of this container is ready: exit code 0 or 1, and why."""

import os
import sys
import urllib.request

try:
    port = int(os.environ.get("LOYAL_PORT", "8000"))
    # Of this container: past any proxy that its environment names.
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    direct.open(f"http://127.0.0.1:{port}/readyz", timeout=2)
except (OSError, ValueError) as error:  # not there, not ready (503), or no port
    sys.exit(f"not ready: {error}")

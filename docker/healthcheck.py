"""Whether the service of this container lives and is ready: exit code 0 or 1, and why."""

import os
import sys
import urllib.request

try:
    port = int(os.environ.get("LOYAL_PORT", "8000"))
    # Of this container: past any proxy that its environment names.
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for path in ("/livez", "/readyz"):  # a model's scheduler that hangs shows in the first alone
        direct.open(f"http://127.0.0.1:{port}{path}", timeout=1)
except (OSError, ValueError) as error:  # not there, not alive or ready (503), or no port
    sys.exit(f"not ready: {error}")

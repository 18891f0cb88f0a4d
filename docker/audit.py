"""Ask a database of advisories about all that the images install.

Exit code 1 if something is known to be vulnerable. Without network nobody knows: that is said, and
is no failure.
"""

import argparse
import json
import subprocess
import sys
import sysconfig
from pathlib import Path

LOCKS = sorted(Path(__file__).parent.glob("*.lock"))
UNREACHABLE = ("ConnectionError", "Timeout", "ProxyError", "SSLError", "Server Error")
"""How pip-audit says that nobody answered: no network, a proxy, a service that is down."""
ACCEPTED: dict[str, str] = {}
"""Advisory -> why it does not concern this service."""


def main() -> int:
    """Audit the locks that are named, or all."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("locks", type=Path, nargs="*", help="default: docker/*.lock")
    parser.add_argument("--advisories", metavar="URL", help="instead of the database of osv.dev")
    options = parser.parse_args()
    return max(audit(lock, options.advisories) for lock in options.locks or LOCKS)


def audit(lock: Path, advisories: str | None) -> int:
    """Print what is known about the packages of a lock; 1 if there is something."""
    command = [Path(sysconfig.get_path("scripts"), "pip-audit"), "--requirement", lock]
    command += ["--disable-pip", "--vulnerability-service", "osv"]
    command += ["--osv-url", advisories] if advisories else []
    command += ["--format", "json", "--progress-spinner", "off"]
    command += [f"--ignore-vuln={advisory}" for advisory in ACCEPTED]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        packages = json.loads(result.stdout)["dependencies"]
    except ValueError:
        reason = (result.stderr.strip().splitlines() or ["no output"])[-1]
        if not any(fault in reason for fault in UNREACHABLE):
            print(f"{lock.name}: pip-audit failed: {reason}", file=sys.stderr)
            return 1
        print(f"{lock.name}: not audited, the advisories cannot be reached")
        return 0
    found = [(one, flaw) for one in packages for flaw in one["vulns"]]
    for package, flaw in found:
        fixed = ", ".join(flaw["fix_versions"]) or "nothing yet"
        name = f"{package['name']} {package['version']}"
        print(f"{lock.name}: {name}: {flaw['id']}, fixed by {fixed}", file=sys.stderr)
    print(f"{lock.name}: {len(packages)} packages, {len(found)} known vulnerabilities")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

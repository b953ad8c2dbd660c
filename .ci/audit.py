"""Known vulnerabilities of what is installed, as `pip-audit` tells them: `make audit`.

Exit code 1 where one is found, with the package and the version that mends it. Where nothing could
be asked (no network, or an index without advisories), one line says so, and that is no failure:
pip-audit itself then calls every package skipped and says that nothing was found.
"""

import json
import subprocess
import sys

TIMEOUT_S = 300
OURS = "fractaljax"  # is on no index before it is released


def main() -> int:
    words = ["pip_audit", "--format", "json", "--progress-spinner", "off", "--timeout", "20"]
    try:
        done = subprocess.run(
            [sys.executable, "-m", *words], capture_output=True, text=True, timeout=TIMEOUT_S
        )
        found = json.loads(done.stdout)["dependencies"]
    except (subprocess.TimeoutExpired, ValueError, KeyError) as error:
        return unreachable(type(error).__name__)
    asked = [one for one in found if "skip_reason" not in one]
    if not asked:
        return unreachable(f"{len(found)} packages, none of them known there")
    bad = [(one, v) for one in asked for v in one["vulns"]]
    for one, v in bad:
        mended = ", ".join(v["fix_versions"]) or "no version yet"
        print(f"{one['name']} {one['version']}: {v['id']}, mended in {mended}")
    skipped = sorted(one["name"] for one in found if "skip_reason" in one and one["name"] != OURS)
    note = f"; not known there: {', '.join(skipped)}" if skipped else ""
    print(f"audit: {len(asked)} packages, {len(bad)} known vulnerabilities{note}")
    return 1 if bad else 0


def unreachable(why: str) -> int:
    print(f"audit: the service of advisories cannot be reached from here ({why}); nothing checked")
    return 0


if __name__ == "__main__":
    sys.exit(main())

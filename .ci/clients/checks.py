"""Runs checks one by one and tells how each went."""

import sys
import traceback


def run(title, checks):
    """Runs the checks; ends the program with 1 if one of them fails."""
    print(title)
    failed = 0
    for check in checks:
        name = check.__name__.replace("_", " ")
        try:
            check()
            print(f"  ok      {name}")
        except Exception:
            failed += 1
            print(f"  FAILED  {name}")
            traceback.print_exc(file=sys.stdout)
    print(f"{len(checks) - failed} passed, {failed} failed")
    sys.exit(1 if failed else 0)

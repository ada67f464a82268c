"""Turns bytes of a database at many places that the check finds; each is recovered from."""

import random
import sys
import time

from bench.safety_common import world


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    with world() as installed:
        from mobilesd.backups import recovery
        from tests.safety.world import A_DAY, a_day

        a_day(installed)
        installed.close()
        whole = installed.file.read_bytes()
        drawn, failed = random.Random(4), 0
        seconds: list[float] = []
        while len(seconds) < count:
            installed.file.write_bytes(whole)
            offset = drawn.randrange(len(whole))
            installed.flip(offset)
            if not recovery.assess():
                continue
            began = time.perf_counter()
            installed.start()
            right = installed.states() == A_DAY
            failed += not right
            seconds.append(time.perf_counter() - began)
            installed.close()
            print(f"{offset:>9} {seconds[-1]:5.1f} s {'right' if right else 'WRONG'}", flush=True)
        print(f"{count} recoveries, {failed} wrong, median {sorted(seconds)[count // 2]:.1f} s")
        sys.exit(bool(failed))


if __name__ == "__main__":
    main()

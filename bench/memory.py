"""Memory of everything idle, with the lanes of two servers and without the demo, as PSS."""

import time

import psutil

from bench.common import installation, params, tell_and_exit, verdict, wait_until


def main() -> None:
    with installation() as started:
        fakes = [started.fake(alias, seconds=0.1) for alias in ("one", "two")]
        for alias in ("one", "two"):
            body = {"generation_params": params(1), "target_server_alias": alias}
            started.api.post("/api/v2/generate", json=body).raise_for_status()
        wait_until(lambda: all(fake.log.runs() for fake in fakes), 60)
        time.sleep(5)  # both lanes linger now; nothing else is going on
        assert started.up is not None
        processes = [psutil.Process(started.up.pid), *started.children()]
        total = 0.0
        for process in processes:
            pss = process.memory_full_info().pss / 2**20
            total += pss
            print(f"  {pss:6.1f} MB  {' '.join(process.cmdline()[1:])[:90]}")
        print(
            f"Memory idle, two lanes: {total:.0f} MB PSS in {len(processes)} processes"
            f" (wanted ≤ 450 MB): {verdict(total <= 450)}"
        )


if __name__ == "__main__":
    main()
    tell_and_exit()

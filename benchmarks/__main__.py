"""`python -m benchmarks [NAME …]`: those named, or those that need neither a GPU nor hours."""

from __future__ import annotations

import sys
import warnings

from benchmarks import archive, fuzz, gpu, memory, mismatch, speed, training

ALL = {
    "archive": archive.main,
    "gpu": gpu.main,
    "speed": speed.main,
    "transforms": speed.transforms,
    "mismatch": mismatch.main,
    "mismatch-every-rate": mismatch.every_rate,
    "mismatch-paper": lambda: mismatch.main(paper=True),
    "fuzz": fuzz.main,
    "memory": memory.main,
    "training": training.main,
    "memory-mbt2018": lambda: memory.main("mbt2018"),
    "memory-paper": lambda: memory.main("paper"),
}


def main() -> None:
    warnings.filterwarnings("ignore", message="`torch.jit")
    arguments = sys.argv[1:]
    if {"-h", "--help"} & set(arguments):
        print(f"{__doc__}\n\nNAME: {', '.join(ALL)}.")
        return
    if arguments[:1] == ["memory-one"]:
        memory.one(int(arguments[1]), arguments[2], arguments[3])
    elif arguments[:1] == ["fuzz-worker"]:
        fuzz.worker(int(arguments[1]), int(arguments[2]))
    else:
        for name in arguments or ["speed", "transforms", "mismatch", "mismatch-every-rate", "fuzz", "memory"]:
            if name not in ALL:
                raise SystemExit(f"There is no benchmark {name!r}: take {', '.join(ALL)}.")
            ALL[name]()


if __name__ == "__main__":
    main()

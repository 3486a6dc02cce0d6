"""What every peer script shares: arguments as JSON and repeats on the command line, one JSON line on stdout."""
import gc
import json
import sys
import time


class Timed:
    """What run(state) may give in place of a check: a check, and the seconds that count, where the call's are not."""

    def __init__(self, check, seconds):
        self.check, self.seconds = check, seconds


def told(state):
    print("{}", flush=True)
    for turn in sys.stdin:
        state["turn"] = int(turn)
        yield
        print("{}", flush=True)


def bench(run, setup=None, facts=None, uncounted=True, version=None):
    """Call run(state) once uncounted, then REPEATS times by the clock, and print seconds and the last check.

    Where REPEATS is "turns" it is called for each number that comes on stdin, which stands in state["turn"]; a line says
    that the side is ready, and one that a turn was taken.

    The state is setup(arguments), or the arguments themselves; facts(state) may add what cannot be compared by
    equality, such as accuracies. The version told is that of the imported library that the script is called with.
    """
    arguments = json.loads(sys.argv[-2])
    state = setup(arguments) if setup else arguments
    check, seconds = run(state) if uncounted else None, []
    for _ in told(state) if sys.argv[-1] == "turns" else range(int(sys.argv[-1])):
        check = None
        gc.collect()
        began = time.perf_counter()
        check = run(state)
        seconds.append(check.seconds if isinstance(check, Timed) else time.perf_counter() - began)
    library = sys.modules.get(sys.argv[1].split("_")[0])
    result = {"seconds": seconds, "check": check.check if isinstance(check, Timed) else check, "version": version or getattr(library, "__version__", None)}
    if facts:
        result["facts"] = facts(state)
    print(json.dumps(result), flush=True)

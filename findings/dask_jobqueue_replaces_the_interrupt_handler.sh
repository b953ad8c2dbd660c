#!/bin/sh
# dask-jobqueue 0.9.0, with distributed 2026.8.0 and Python 3.11.
#
# Expected: importing a library leaves what Ctrl-C does to the program that imports it:
# KeyboardInterrupt, exit status 130 of a shell or -SIGINT.
# Seen: `import dask_jobqueue` sets a handler of SIGINT for the whole process (its module `runner`,
# which only its MPI-like runners need). It calls sys.exit() without a status: a program that is
# interrupted afterwards raises no KeyboardInterrupt and ends with status 0, as if it had succeeded.
# In any other thread than the main one, where no handler may be set, the import itself fails.
#
# Output seen (29 November 2026):
#   before: default_int_handler
#   after: <lambda> of dask_jobqueue.runner
#   interrupted: SystemExit, status 0
#   in a thread: ValueError
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet dask-jobqueue==0.9.0 distributed==2026.8.0 dask==2026.8.0
cat > "$place/seen.py" <<'PYTHON'
import signal
import sys
import threading

if sys.argv[1] == "thread":

    def imported():
        try:
            import dask_jobqueue

            print("in a thread: no error")
        except ValueError as error:
            print("in a thread:", type(error).__name__)

    thread = threading.Thread(target=imported)
    thread.start()
    thread.join()
    sys.exit()

print("before:", signal.getsignal(signal.SIGINT).__name__)
import dask_jobqueue

handler = signal.getsignal(signal.SIGINT)
print("after:", handler.__name__, "of", handler.__module__)
try:
    signal.raise_signal(signal.SIGINT)
except BaseException as error:
    print("interrupted:", f"{type(error).__name__}, status {error.code or 0}")
PYTHON
"$place/venv/bin/python" "$place/seen.py" here | tee "$place/output"
"$place/venv/bin/python" "$place/seen.py" thread | tee -a "$place/output"
diff "$place/output" - <<'SEEN'
before: default_int_handler
after: <lambda> of dask_jobqueue.runner
interrupted: SystemExit, status 0
in a thread: ValueError
SEEN

"""Runs one job and watches it: seconds, peak memory of host and card, steps of a training."""

import math
import os
import pty
import re
import shutil
import signal
import subprocess
import termios
import threading
import time
from dataclasses import dataclass
from pathlib import Path

POLL_S = 0.1
WARM_STEPS = 3
"""First steps that are not timed: kernels are chosen and memory is taken."""
STEP = re.compile(r"(\d+)/\d+ \[")
"""Steps done, in the line of progress that a training shows."""
WATCH = "nvidia-smi --query-gpu=memory.used,utilization.gpu --format=csv,noheader,nounits -lms 200"


class Card:
    """Memory and use of the first visible GPU, read five times a second; nothing without one."""

    def __init__(self) -> None:
        """Starts to watch."""
        self._readings: list[tuple[float, float]] = []
        self._process = None
        if shutil.which("nvidia-smi"):
            visible = os.environ.get("CUDA_VISIBLE_DEVICES") or "0"
            command = [*WATCH.split(), f"--id={visible.split(',')[0]}"]
            self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            self._thread = threading.Thread(target=self._read, daemon=True)
            self._thread.start()

    def _read(self) -> None:
        for line in self._process.stdout:
            # A slice of a GPU (MIG) does not say how busy it is: "[N/A]".
            mib, busy = (math.nan if "[" in part else float(part) for part in line.split(","))
            self._readings.append((mib, busy))

    def take(self) -> dict[str, float]:
        """Peak `card_gb` and mean `busy` share of time since the last call."""
        readings, self._readings = self._readings, []
        if not readings:
            return {}
        mib, busy = zip(*readings, strict=True)
        return {"card_gb": max(mib) / 1024, "busy": sum(busy) / len(busy) / 100}

    def close(self) -> None:
        """Stops watching."""
        if self._process is not None:
            self._process.terminate()


@dataclass(frozen=True)
class Done:
    """A job that has ended.

    Attributes:
        seconds: Of wall time, the start included.
        host_gb: Peak memory of the process.
        finished: Whether it ended by itself, or by `timed_s`; not by the limit.
        stopped: Whether it was asked to stop, by `timed_s`.
        steps: Steps of a training seen after the first ones.
        steps_s: Seconds they took.
    """

    seconds: float
    host_gb: float
    finished: bool
    stopped: bool = False
    steps: int = 0
    steps_s: float = 0.0


def steady(seen: list[tuple[float, int]]) -> tuple[int, float]:
    """Steps and seconds between the first reading past the warm-up and the last one.

    Args:
        seen: Readings of (seconds, steps done), in order.
    """
    past = [(at, step) for at, step in seen if step >= WARM_STEPS]
    if not past:
        return 0, 0.0
    # When a step is first seen is when it was done; later readings of it only wait.
    first = next(at for at, step in past if step == past[0][1])
    last = next(at for at, step in past if step == past[-1][1])
    return past[-1][1] - past[0][1], last - first


def enough(seen: list[tuple[float, int]], timed_s: float) -> bool:
    """Whether steady steps, two at least, were watched for so many seconds."""
    steps, _ = steady(seen)
    past = [at for at, step in seen if step >= WARM_STEPS]
    return steps >= 2 and seen[-1][0] - past[0] >= timed_s


class Screen:
    """A terminal for a job: only there does a training show its progress."""

    def __init__(self, log: Path) -> None:
        """Opens the terminal; what it shows goes to a log."""
        self._log, self.steps = log, 0
        self._ours, self.theirs = pty.openpty()
        os.set_blocking(self._ours, False)
        termios.tcsetwinsize(self._ours, (24, 100))  # without a width nothing is shown

    def read(self) -> int:
        """Takes what has come; gives the steps done so far."""
        try:
            text = os.read(self._ours, 1 << 16).decode("utf-8", "replace")
        except OSError:  # nothing new, or the job has ended
            return self.steps
        with self._log.open("a", encoding="utf-8") as file:
            file.write(text)
        if found := STEP.findall(text):
            self.steps = int(found[-1])
        return self.steps

    def close(self) -> None:
        """Takes the last and closes."""
        self.read()
        os.close(self._ours)
        os.close(self.theirs)


def run_job(
    command: list[str], folder: Path, log: Path, limit_s: float, timed_s: float | None = None
) -> Done:
    """Runs a command to its end.

    Args:
        command: Program and arguments.
        folder: Where it runs.
        log: What it prints.
        limit_s: When it is killed.
        timed_s: Of a training: it is asked to stop (SIGTERM) once so many seconds of steady
            steps were seen.

    Raises:
        RuntimeError: It failed; with the end of its log.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    started, seen, asked, killed = time.perf_counter(), [], False, False
    log.write_text("", encoding="utf-8")
    screen = Screen(log)
    process = subprocess.Popen(command, cwd=folder, stdout=screen.theirs, stderr=screen.theirs)
    try:
        while not (ended := os.wait4(process.pid, os.WNOHANG))[0]:
            now = time.perf_counter() - started
            steps = screen.read()
            if timed_s is not None and not asked:
                seen.append((now, steps))
                if asked := enough(seen, timed_s):
                    process.send_signal(signal.SIGTERM)
            if now > limit_s and not killed:
                process.kill()
                killed = True
            time.sleep(POLL_S)
    except BaseException:
        process.kill()  # a run that is broken off leaves nothing behind
        raise
    finally:
        screen.close()
    _, status, usage = ended
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode and not killed and not asked:
        end = log.read_text(encoding="utf-8")[-2000:]
        raise RuntimeError(f"{' '.join(command[:4])} failed; {log} ends with:\n{end}")
    seconds = time.perf_counter() - started
    return Done(seconds, usage.ru_maxrss / 1024**2, not killed, asked, *steady(seen))

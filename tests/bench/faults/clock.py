"""A clock that jumps for one process only: a library, preloaded, that shifts what the system says the time is.

Setting the machine's clock would disturb everything else on it, and a time namespace cannot shift the time of day. Monotonic clocks
stay: a jump of the real clock leaves them alone, too.
"""

import shutil
import struct
import subprocess
from pathlib import Path
from typing import Final

_SOURCE: Final = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>

static long long shift(void) {
  static volatile long long *shared;
  if (!shared) {
    const char *path = getenv("FAULTS_CLOCK");
    int file = path ? open(path, O_RDONLY) : -1;
    void *page = file < 0 ? MAP_FAILED : mmap(0, 8, PROT_READ, MAP_SHARED, file, 0);
    if (page == MAP_FAILED) return 0;
    shared = page;
  }
  return *shared;
}
int clock_gettime(clockid_t clock, struct timespec *now) {
  static int (*real)(clockid_t, struct timespec *);
  if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
  int code = real(clock, now);
  if (!code && clock == CLOCK_REALTIME) now->tv_sec += shift();
  return code;
}
int gettimeofday(struct timeval *restrict now, void *restrict zone) {
  struct timespec exact;
  int code = clock_gettime(CLOCK_REALTIME, &exact);
  now->tv_sec = exact.tv_sec;
  now->tv_usec = exact.tv_nsec / 1000;
  return code;
}
time_t time(time_t *out) {
  struct timespec exact;
  clock_gettime(CLOCK_REALTIME, &exact);
  if (out) *out = exact.tv_sec;
  return exact.tv_sec;
}
"""


class JumpingClock:
    """The clock of a trainer that is started with `environment`."""

    def __init__(self, library: Path, file: Path) -> None:
        self._file = file
        self.environment = {"LD_PRELOAD": str(library), "FAULTS_CLOCK": str(file)}
        file.write_bytes(struct.pack("q", 0))

    def jump(self, seconds: int) -> None:
        """Be `seconds` ahead of the machine, or behind it."""
        with self._file.open("r+b") as file:
            file.write(struct.pack("q", seconds))


def build_library(folder: Path) -> Path | None:
    """The library; None without a C compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        return None
    source, library = folder / "clock.c", folder / "clock.so"
    source.write_text(_SOURCE)
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"], check=True)
    return library

/* Preloaded into the bridge: while the file named by FAILING_SYNC exists, nothing reaches the disk for sure. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static int failing(void) {
  const char *path = getenv("FAILING_SYNC");
  return path && access(path, F_OK) == 0;
}

#define SYNC(name)                                             \
  int name(int fd) {                                           \
    static int (*real)(int);                                   \
    if (failing()) return errno = EIO, -1;                     \
    if (!real) real = (int (*)(int))dlsym(RTLD_NEXT, #name);   \
    return real(fd);                                           \
  }

SYNC(fsync)
SYNC(fdatasync)
SYNC(syncfs)

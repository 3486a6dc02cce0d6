/* spill.c - see spill.h. */
#include "base/spill.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static pthread_mutex_t naming = PTHREAD_MUTEX_INITIALIZER;
static char folder[PATH_MAX] = ".";
static _Thread_local int refusal; /* errno of this thread's last block, 0 when it was granted */

static const char advice[] = "make room there, name another folder in RECSYS_CACHE, or raise the limit (data.memory)";

/* A file of no name in 'place'; -1 with errno. File systems without such files get one whose name is taken away. */
static int nameless(const char *place) {
  int fd = open(place, O_TMPFILE | O_RDWR | O_EXCL | O_CLOEXEC, 0600);
  if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL)) return fd;
  char path[PATH_MAX + 16];
  snprintf(path, sizeof path, "%s/spill.XXXXXX", place);
  fd = mkostemp(path, O_CLOEXEC);
  if (fd >= 0) unlink(path);
  return fd;
}

rs_status rs_spill_into(const char *place) {
  if (strlen(place) >= sizeof folder) return rs_fail(RS_EIO, "the name of the cache folder is too long");
  int fd = nameless(place);
  if (fd < 0) return rs_fail(RS_EIO, "cannot keep memory in the folder %s: %s; %s", place, strerror(errno), advice);
  close(fd);
  pthread_mutex_lock(&naming);
  strcpy(folder, place);
  pthread_mutex_unlock(&naming);
  return RS_OK;
}

/* Reserve the bytes and map them; NULL with errno. */
static void *map_file(int fd, size_t bytes) {
  int reserved;
  do reserved = posix_fallocate(fd, 0, (off_t)bytes);
  while (reserved == EINTR);
  if (reserved != 0) {
    errno = reserved;
    return NULL;
  }
  void *block = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  return block == MAP_FAILED ? NULL : block;
}

void *rs_spill_alloc(size_t bytes) {
  char place[PATH_MAX];
  pthread_mutex_lock(&naming);
  strcpy(place, folder);
  pthread_mutex_unlock(&naming);
  int fd = nameless(place);
  void *block = fd < 0 ? NULL : map_file(fd, bytes);
  refusal = block ? 0 : errno;
  if (fd >= 0) close(fd);
  return block;
}

void rs_spill_free(void *block, size_t bytes) { munmap(block, bytes); }

bool rs_spill_failed(void) { return refusal != 0; }

rs_status rs_spill_failure(const char *what, size_t bytes) {
  int why = refusal;
  refusal = 0;
  return rs_fail(RS_ENOMEM, "%s: %zu bytes are beyond the memory limit, and the folder %s does not take them: %s; %s",
                 what, bytes, folder, strerror(why), advice);
}

/* file.c - see file.h. */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"

static rs_status refused(const char *verb, const char *path) {
  return rs_fail(RS_EIO, "cannot %s %s: %s", verb, path, strerror(errno));
}

/* Open a regular file for reading and learn its size; -1 with a message in *status. A pipe without a writer is
 * refused like any other, not waited for (O_NONBLOCK, which regular files do not know). */
static int open_regular(const char *path, size_t *size, rs_status *status) {
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  struct stat info;
  if (fd < 0 || fstat(fd, &info) != 0) {
    *status = refused("open", path);
    if (fd >= 0) close(fd);
    return -1;
  }
  if (!S_ISREG(info.st_mode)) {
    *status = rs_fail(RS_EIO, "cannot read %s: it is not a regular file", path);
    close(fd);
    return -1;
  }
  *size = (size_t)info.st_size;
  return fd;
}

static rs_status read_all(rs_buffer *out, int fd, const char *path, size_t size) {
  rs_status status = rs_buffer_reserve(out, size);
  while (status == RS_OK && size > 0) {
    ssize_t got = read(fd, out->data + out->size, size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return refused("read", path);
    if (got == 0) break;
    out->size += (size_t)got;
    size -= (size_t)got;
  }
  return status;
}

rs_status rs_file_read(rs_buffer *out, const char *path, size_t limit) {
  rs_status status = RS_OK;
  size_t size = 0;
  int fd = open_regular(path, &size, &status);
  if (fd < 0) return status;
  if (size > limit)
    status = rs_fail(RS_EFORMAT, "%s holds %zu bytes; at most %zu are read here", path, size, limit);
  else
    status = read_all(out, fd, path, size);
  close(fd);
  return status;
}

rs_status rs_mapping_open(rs_mapping *map, const char *path) {
  rs_status status = RS_OK;
  size_t size = 0;
  *map = (rs_mapping){0};
  int fd = open_regular(path, &size, &status);
  if (fd < 0) return status;
  if (size > 0) {
    void *data = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (data == MAP_FAILED)
      status = refused("map", path);
    else
      *map = (rs_mapping){data, size};
  }
  close(fd);
  return status;
}

void rs_mapping_close(rs_mapping *map) {
  if (!map || !map->data) return;
  munmap((void *)map->data, map->size);
  *map = (rs_mapping){0};
}

static void forget(rs_writer *w) {
  rs_free(w->path);
  rs_free(w->temporary);
  *w = (rs_writer){0};
}

rs_status rs_writer_open(rs_writer *w, const char *path) {
  rs_buffer name = {0};
  *w = (rs_writer){0};
  rs_status status = rs_buffer_printf(&name, "%s.XXXXXX", path);
  if (status != RS_OK) return status;
  status = rs_buffer_append(&name, "", 1);
  w->path = rs_strdup(path);
  w->temporary = name.data;
  if (status != RS_OK || !w->path) {
    forget(w);
    return rs_nomem("file", name.size);
  }
  int fd = mkostemp(w->temporary, O_CLOEXEC);
  mode_t mask = umask(0);
  umask(mask);
  if (fd < 0 || fchmod(fd, 0666 & ~mask) != 0 || !(w->stream = fdopen(fd, "wb"))) {
    status = refused("write", path);
    if (fd >= 0) {
      unlink(w->temporary);
      close(fd);
    }
    forget(w);
  }
  return status;
}

rs_status rs_writer_write(rs_writer *w, const void *bytes, size_t n) {
  return fwrite(bytes, 1, n, w->stream) == n ? RS_OK : refused("write", w->path);
}

/* Flush the folder of 'path', so that a rename in it survives a power cut. */
static rs_status sync_folder(const char *path) {
  char *folder = rs_strdup(path);
  if (!folder) return rs_nomem("file", strlen(path));
  char *slash = strrchr(folder, '/');
  const char *name = !slash ? "." : slash == folder ? "/" : folder;
  if (slash && slash != folder) *slash = 0;
  int fd = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  rs_status status = fd < 0 || fsync(fd) != 0 ? refused("flush", name) : RS_OK;
  if (fd >= 0) close(fd);
  rs_free(folder);
  return status;
}

rs_status rs_writer_commit(rs_writer *w) {
  rs_status status = RS_OK;
  if (fflush(w->stream) != 0 || (!w->later && fsync(fileno(w->stream)) != 0)) status = refused("write", w->path);
  if (fclose(w->stream) != 0 && status == RS_OK) status = refused("write", w->path);
  if (status == RS_OK && rename(w->temporary, w->path) != 0) status = refused("replace", w->path);
  if (status != RS_OK)
    unlink(w->temporary);
  else if (!w->later)
    status = sync_folder(w->path);
  forget(w);
  return status;
}

void rs_writer_abort(rs_writer *w) {
  if (!w || !w->stream) return;
  fclose(w->stream);
  unlink(w->temporary);
  forget(w);
}

/* file.c - see file.h. */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
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

/* Mappings. */

static rs_status map_file(rs_mapping *map, int fd, size_t size, const char *path) {
  if (size == 0) return RS_OK;
  void *data = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
  if (data == MAP_FAILED) return refused("map", path);
  map->data = data;
  map->size = size;
  return RS_OK;
}

rs_status rs_mapping_open(rs_mapping *map, const char *path) {
  rs_status status = RS_OK;
  size_t size = 0;
  *map = (rs_mapping){0};
  int fd = open_regular(path, &size, &status);
  if (fd < 0) return status;
  status = map_file(map, fd, size, path);
  close(fd);
  return status;
}

void rs_mapping_close(rs_mapping *map) {
  if (!map) return;
  if (map->data) munmap((void *)map->data, map->size);
  if (map->kept) close(map->kept - 1);
  *map = (rs_mapping){0};
}

/* Copies. */

static int unnamed_in(const char *folder) { return open(folder, O_TMPFILE | O_RDWR | O_EXCL | O_CLOEXEC, 0600); }

static bool has_size(int fd, size_t size) {
  struct stat info;
  return fstat(fd, &info) == 0 && (size_t)info.st_size >= size;
}

/* A file beside the one at 'path' that shares its extents; -1: that cannot be. */
static int shared_copy(int from, size_t size, const char *path) {
  rs_buffer folder = {0};
  const char *slash = strrchr(path, '/');
  int fd = -1;
  if (rs_buffer_printf(&folder, "%.*s", slash ? (int)(slash - path) + 1 : 1, slash ? path : ".") == RS_OK)
    fd = unnamed_in(folder.data);
  rs_buffer_free(&folder);
  if (fd < 0 || (ioctl(fd, FICLONE, from) == 0 && has_size(fd, size))) return fd;
  close(fd);
  return -1;
}

/* Copy what lies in 'from' to the new file 'to'; false with errno, which is 0 when there is less. */
static bool copy_bytes(int to, int from, size_t size) {
  off_t at = 0;
  while ((size_t)at < size) {
    errno = 0;
    ssize_t n = copy_file_range(from, &at, to, NULL, size - (size_t)at, 0);
    if (n < 0 && errno != EINTR && errno != ENOSPC && errno != EIO) n = sendfile(to, from, &at, size - (size_t)at);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
  }
  return true;
}

/* A folder is not filled up for a copy: it must have room for two. */
static bool has_room(int fd, size_t size) {
  struct statvfs room;
  return fstatvfs(fd, &room) == 0 && room.f_bavail >= 2 * (size / room.f_frsize + 1);
}

/* A file of the first 'size' bytes of 'from' that nobody else knows; -1 with a message in *status. */
static int private_copy(int from, size_t size, const char *path, rs_status *status) {
  const char *const folders[] = {getenv("TMPDIR"), "/tmp", "/var/tmp"};
  int fd = shared_copy(from, size, path);
  if (fd >= 0) return fd;
  for (size_t i = 0; i <= sizeof folders / sizeof *folders; i++) {
    bool in_memory = i == sizeof folders / sizeof *folders;
    fd = in_memory ? memfd_create("copy", MFD_CLOEXEC) : folders[i] ? unnamed_in(folders[i]) : -1;
    if (fd < 0) continue;
    if ((in_memory || has_room(fd, size)) && copy_bytes(fd, from, size)) return fd;
    int reason = errno;
    close(fd);
    errno = reason;
    if (!has_size(from, size)) break;
  }
  if (!has_size(from, size))
    *status = rs_fail(RS_EIO, "%s was cut short while it was copied: replace a file by a rename, do not write into it",
                      path);
  else
    *status = refused("copy", path);
  return -1;
}

rs_status rs_mapping_open_copy(rs_mapping *map, const char *path) {
  rs_status status = RS_OK;
  size_t size = 0;
  *map = (rs_mapping){0};
  int fd = open_regular(path, &size, &status);
  if (fd < 0) return status;
  int copy = size > 0 ? private_copy(fd, size, path, &status) : -1;
  if (copy >= 0) {
    status = map_file(map, copy, size, path);
    close(copy);
  }
  close(fd);
  return status;
}

/* The system tells the holder of a lease that somebody waits for it by a signal, which is to be one that does nothing. */
static void hold_writers(int fd) {
  if (fcntl(fd, F_SETSIG, SIGURG) == 0) fcntl(fd, F_SETLEASE, F_RDLCK);
}

rs_status rs_mapping_open_copied_later(rs_mapping *map, const char *path) {
  rs_status status = RS_OK;
  size_t size = 0;
  *map = (rs_mapping){0};
  int fd = open_regular(path, &size, &status);
  if (fd < 0) return status;
  hold_writers(fd);
  status = map_file(map, fd, size, path);
  if (status == RS_OK)
    map->kept = 1 + fd;
  else
    close(fd);
  return status;
}

/* Move the mapping of the copy to the addresses of the file's: the kernel lets nobody look in between. */
static rs_status take_place(const rs_mapping *map, int copy, const char *path) {
  rs_mapping other = {0};
  rs_status status = map_file(&other, copy, map->size, path);
  if (status != RS_OK) return status;
  void *there = mremap((void *)other.data, map->size, map->size, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)map->data);
  if (there != MAP_FAILED) return RS_OK;
  status = refused("map", path);
  rs_mapping_close(&other);
  return status;
}

rs_status rs_mapping_detach(rs_mapping *map, const char *path) {
  rs_status status = RS_OK;
  if (!map->kept) return RS_OK;
  int copy = map->size > 0 ? private_copy(map->kept - 1, map->size, path, &status) : -1;
  if (copy >= 0) {
    status = take_place(map, copy, path);
    close(copy);
  }
  close(map->kept - 1); /* and with it goes the lease */
  map->kept = 0;
  return status;
}

/* Writers. */

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

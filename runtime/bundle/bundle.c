/* bundle.c - the reading half of bundle.h. libarchive parses the tar over the mapping; what it reports is believed only
 * where it agrees with the manifest, byte range by byte range. */
#include "bundle/bundle.h"

#include <archive.h>
#include <archive_entry.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json.h"
#include "bundle/digest.h"
#include "bundle/name.h"

enum { TAR_BLOCK = 512, ENTRY_LIMIT = RS_BUNDLE_MEMBER_LIMIT + 2, BEFORE = 2 /* manifest and seal */ };

struct rs_bundle {
  rs_storage *region;
  char *path;
  rs_member *entries; /* ENTRY_LIMIT of them; the first BEFORE are the manifest and its seal */
  int n;
};

/* The tar. */

static bool is_zero(const char *data, size_t n) {
  while (n > 0 && *data == 0) data++, n--;
  return n == 0;
}

/* What may not be in a bundle, or NULL. */
static const char *unwanted(struct archive_entry *entry) {
  if (archive_entry_hardlink(entry) || archive_entry_filetype(entry) == AE_IFLNK) return "a link";
  if (archive_entry_filetype(entry) == AE_IFDIR) return "a folder";
  if (archive_entry_filetype(entry) != AE_IFREG) return "a device or another special file";
  if (archive_entry_sparse_count(entry) > 0) return "a sparse file";
  if (!archive_entry_size_is_set(entry) || archive_entry_size(entry) < 0) return "of unknown size";
  return NULL;
}

/* Refuse a name that may not be; it is shown without what a terminal would act on. */
static rs_status refuse_name(const rs_bundle *b, const char *name) {
  char shown[RS_BUNDLE_NAME_LIMIT + 1];
  size_t n = strnlen(name, RS_BUNDLE_NAME_LIMIT);
  for (size_t i = 0; i < n; i++) shown[i] = name[i] >= ' ' && name[i] <= '~' ? name[i] : '?';
  shown[n] = 0;
  return rs_fail(RS_EFORMAT,
                 "%s is refused: member '%s' has a name that could leave the bundle; names are made of a-z 0-9 "
                 ". _ - in parts between '/'. Do not unpack this file",
                 b->path, shown);
}

static rs_status check_name(const rs_bundle *b, const char *name) {
  if (!name) return rs_fail(RS_EFORMAT, "%s is refused: a member's name is not plain text", b->path);
  if (!rs_member_name_is_plain(name)) return refuse_name(b, name);
  for (int i = 0; i < b->n; i++)
    if (!strcmp(b->entries[i].name, name))
      return rs_fail(RS_EFORMAT, "%s is refused: it holds member '%s' twice", b->path, name);
  return RS_OK;
}

/* 'where' relates the trouble to the last member met: "in", "behind". */
static rs_status truncated(const rs_bundle *b, const char *where) {
  return rs_fail(RS_EFORMAT,
                 "%s is truncated or damaged %s member '%s' (the file has %zu bytes): copy or publish it again",
                 b->path, where, b->entries[b->n - 1].name, b->region->bytes);
}

/* Where the data of the entry lies in the mapping; it must be there whole and in one piece. */
static rs_status locate(const rs_bundle *b, struct archive *tar, rs_member *m) {
  const char *base = b->region->data;
  const void *block = NULL;
  size_t got = 0;
  la_int64_t offset = 0;
  m->data = base + archive_read_header_position(tar) + TAR_BLOCK;
  if (m->size > 0) {
    if (archive_read_data_block(tar, &block, &got, &offset) != ARCHIVE_OK) return truncated(b, "in");
    m->data = block;
    if (offset != 0 || m->data < base || m->data > base + b->region->bytes)
      return rs_fail(RS_EFORMAT, "%s is refused: member '%s' is not stored plainly", b->path, m->name);
  }
  size_t at = (size_t)(m->data - base);
  return at > b->region->bytes || m->size > b->region->bytes - at ? truncated(b, "in") : RS_OK;
}

/* Nothing but zeros may lie between the previous member and 'end', the position of the next header or of the end. */
static rs_status check_gap(const rs_bundle *b, size_t end) {
  if (b->n == 0)
    return end == 0 ? RS_OK : rs_fail(RS_EFORMAT, "%s is not a bundle: it starts with stray bytes", b->path);
  const rs_member *last = &b->entries[b->n - 1];
  size_t at = (size_t)(last->data - (const char *)b->region->data) + last->size;
  if (end < at || end - at >= TAR_BLOCK || !is_zero((const char *)b->region->data + at, end - at))
    return rs_fail(RS_EFORMAT, "%s is refused: there are stray bytes behind member '%s'", b->path, last->name);
  return RS_OK;
}

static rs_status take_entry(rs_bundle *b, struct archive *tar, struct archive_entry *entry) {
  const char *name = archive_entry_pathname(entry);
  rs_status status = check_name(b, name);
  if (status != RS_OK) return status;
  if (unwanted(entry))
    return rs_fail(RS_EFORMAT, "%s is refused: member '%s' is %s; a bundle holds plain files only", b->path, name,
                   unwanted(entry));
  if (b->n == ENTRY_LIMIT)
    return rs_fail(RS_EFORMAT, "%s is refused: it holds more than %d members", b->path, RS_BUNDLE_MEMBER_LIMIT);
  status = check_gap(b, (size_t)archive_read_header_position(tar));
  if (status != RS_OK) return status;
  rs_member *m = &b->entries[b->n];
  m->size = (size_t)archive_entry_size(entry);
  m->name = rs_strdup(name);
  if (!m->name) return rs_nomem("bundle", strlen(name));
  b->n++;
  return locate(b, tar, m);
}

/* Behind the last member: its padding, then at least two blocks of zeros and nothing else. */
static rs_status check_end(const rs_bundle *b) {
  if (b->n == 0) return rs_fail(RS_EFORMAT, "%s is not a bundle: it holds no members", b->path);
  const rs_member *last = &b->entries[b->n - 1];
  const char *base = b->region->data;
  size_t at = (size_t)(last->data - base) + last->size, padded = (at + TAR_BLOCK - 1) / TAR_BLOCK * TAR_BLOCK;
  if (padded > b->region->bytes || b->region->bytes - padded < 2 * TAR_BLOCK) return truncated(b, "behind");
  if (!is_zero(base + at, b->region->bytes - at))
    return rs_fail(RS_EFORMAT, "%s is refused: there are stray bytes behind its end", b->path);
  return RS_OK;
}

static rs_status walk_entries(rs_bundle *b, struct archive *tar) {
  struct archive_entry *entry;
  for (;;) {
    int result = archive_read_next_header(tar, &entry);
    if (result == ARCHIVE_EOF) return check_end(b);
    if (result != ARCHIVE_OK) {
      const char *reason = archive_error_string(tar);
      if (b->n == 0) return rs_fail(RS_EFORMAT, "%s is not a bundle: %s", b->path, reason ? reason : "not a tar file");
      return truncated(b, "behind");
    }
    rs_status status = take_entry(b, tar, entry);
    if (status != RS_OK) return status;
  }
}

static rs_status walk(rs_bundle *b) {
  struct archive *tar = archive_read_new();
  if (!tar) return rs_nomem("bundle", 0);
  rs_status status = RS_OK;
  if (archive_read_support_format_tar(tar) != ARCHIVE_OK ||
      archive_read_open_memory(tar, b->region->data, b->region->bytes) != ARCHIVE_OK) {
    const char *reason = archive_error_string(tar);
    status = rs_fail(RS_EFORMAT, "%s is not a bundle: %s", b->path, reason ? reason : "not a tar file");
  }
  if (status == RS_OK) status = walk_entries(b, tar);
  archive_read_free(tar);
  return status;
}

/* The manifest. */

static bool is_hex(const char *text) {
  return text && strlen(text) == RS_SHA256_TEXT && strspn(text, "0123456789abcdef") == RS_SHA256_TEXT;
}

static rs_status check_seal(rs_bundle *b) {
  rs_member *manifest = &b->entries[0], *seal = &b->entries[1];
  char wanted[RS_SEAL_BYTES + 1];
  if (b->n < BEFORE || strcmp(manifest->name, "manifest.json") || strcmp(seal->name, "manifest.sha256"))
    return rs_fail(RS_EFORMAT, "%s is not a bundle: it does not start with manifest.json and manifest.sha256", b->path);
  if (manifest->size > RS_BUNDLE_MANIFEST_LIMIT)
    return rs_fail(RS_EFORMAT, "%s is refused: its manifest holds %zu bytes, more than %d", b->path, manifest->size,
                   RS_BUNDLE_MANIFEST_LIMIT);
  rs_digest_job job = {.pieces = &(rs_piece){manifest->data, manifest->size}, .size = manifest->size};
  rs_status status = rs_digest_all(&job, 1);
  if (status != RS_OK) return status;
  memcpy(manifest->sha256, job.hex, sizeof job.hex);
  rs_seal(wanted, job.hex);
  if (seal->size == RS_SEAL_BYTES && !memcmp(seal->data, wanted, RS_SEAL_BYTES)) return RS_OK;
  return rs_fail(RS_EFORMAT,
                 "%s is damaged: manifest.json does not have the hash in manifest.sha256; copy or publish it "
                 "again",
                 b->path);
}

static rs_status lies(const rs_bundle *b, const rs_member *m, const char *trouble) {
  return rs_fail(RS_EFORMAT, "%s is refused: its manifest %s for member '%s'", b->path, trouble, m->name);
}

static rs_status check_chunks(const rs_bundle *b, const rs_member *m, const json_t *chunks) {
  int64_t n = rs_chunks(m->size);
  if (n <= 1) return chunks ? lies(b, m, "has hashes of chunks that are not") : RS_OK;
  if ((int64_t)json_array_size(chunks) != n) return lies(b, m, "lacks the hashes of each MiB");
  for (int64_t i = 0; i < n; i++)
    if (!is_hex(json_string_value(json_array_get(chunks, (size_t)i)))) return lies(b, m, "has a broken hash");
  return RS_OK;
}

static rs_status match_member(const rs_bundle *b, rs_member *m, const json_t *claim) {
  const char *name = json_string_value(json_object_get(claim, "name"));
  const char *sha256 = json_string_value(json_object_get(claim, "sha256"));
  const json_t *bytes = json_object_get(claim, "bytes");
  if (!name || strcmp(name, m->name))
    return rs_fail(RS_EFORMAT, "%s is refused: its manifest has '%.100s' where the file has member '%s'", b->path,
                   name ? name : "(nothing)", m->name);
  if (!json_is_integer(bytes) || json_integer_value(bytes) < 0) return lies(b, m, "has no size");
  if ((uint64_t)json_integer_value(bytes) != m->size) return lies(b, m, "has another size than the file");
  if (!is_hex(sha256)) return lies(b, m, "has a broken hash");
  memcpy(m->sha256, sha256, RS_SHA256_TEXT + 1);
  return check_chunks(b, m, json_object_get(claim, "chunks"));
}

static rs_status match_members(rs_bundle *b, const json_t *manifest) {
  const json_t *format = json_object_get(manifest, "format"), *members = json_object_get(manifest, "members");
  if (!json_is_integer(format) || json_integer_value(format) != RS_BUNDLE_FORMAT)
    return rs_fail(RS_EFORMAT, "%s has bundle format %lld; this recsys-run reads format %d", b->path,
                   (long long)json_integer_value(format), RS_BUNDLE_FORMAT);
  size_t listed = json_array_size(members), held = (size_t)(b->n - BEFORE);
  if (listed > held)
    return rs_fail(RS_EFORMAT, "%s is truncated or damaged: its manifest lists %zu members, the file holds %zu",
                   b->path, listed, held);
  if (listed < held)
    return rs_fail(RS_EFORMAT, "%s is refused: member '%s' is not in its manifest", b->path,
                   b->entries[BEFORE + listed].name);
  rs_status status = RS_OK;
  for (size_t i = 0; status == RS_OK && i < held; i++)
    status = match_member(b, &b->entries[BEFORE + i], json_array_get(members, i));
  return status;
}

/* The bytes. */

static rs_status flipped(const rs_bundle *b, const rs_member *m, size_t from, size_t bytes) {
  return rs_fail(RS_EFORMAT,
                 "%s is damaged: member '%s' does not have its SHA-256 (bytes %zu to %zu of %zu): copy or "
                 "publish it again",
                 b->path, m->name, from, from + bytes, m->size);
}

/* One job for each chunk of each member; an empty member has one. */
static int64_t chunk_jobs(const rs_bundle *b, const rs_piece *pieces, rs_digest_job *jobs) {
  int64_t n = 0;
  for (int i = BEFORE; i < b->n; i++) {
    size_t at = 0, size = pieces[i].size;
    do {
      size_t take = size - at < RS_BUNDLE_CHUNK ? size - at : RS_BUNDLE_CHUNK;
      if (jobs) jobs[n] = (rs_digest_job){.pieces = &pieces[i], .offset = at, .size = take};
      n++;
      at += take;
    } while (at < size);
  }
  return n;
}

static rs_status compare_chunks(const rs_bundle *b, const json_t *members, const rs_digest_job *job) {
  for (int i = BEFORE; i < b->n; i++) {
    const rs_member *m = &b->entries[i];
    const json_t *chunks = json_object_get(json_array_get(members, (size_t)(i - BEFORE)), "chunks");
    for (int64_t c = 0, n = chunks ? rs_chunks(m->size) : 1; c < n; c++, job++) {
      const char *wanted = chunks ? json_string_value(json_array_get(chunks, (size_t)c)) : m->sha256;
      if (strcmp(job->hex, wanted)) return flipped(b, m, job->offset, job->size);
    }
  }
  return RS_OK;
}

/* Hash each member in chunks, all threads at once, and compare with the manifest. */
static rs_status verify_chunks(const rs_bundle *b, const json_t *members) {
  rs_piece pieces[ENTRY_LIMIT];
  for (int i = BEFORE; i < b->n; i++) pieces[i] = (rs_piece){b->entries[i].data, b->entries[i].size};
  size_t bytes = (size_t)chunk_jobs(b, pieces, NULL) * sizeof(rs_digest_job);
  rs_digest_job *jobs = rs_alloc(bytes);
  if (!jobs) return rs_nomem("bundle", bytes);
  rs_status status = rs_digest_all(jobs, chunk_jobs(b, pieces, jobs));
  if (status == RS_OK) status = compare_chunks(b, members, jobs);
  rs_free(jobs);
  return status;
}

rs_status rs_bundle_verify_late(const rs_bundle *b) {
  json_t *manifest = NULL;
  rs_status status = rs_region_detach(b->region, b->path);
  if (status == RS_OK) status = rs_json_object(&manifest, b->entries[0].data, b->entries[0].size, b->path);
  if (status == RS_OK) status = verify_chunks(b, json_object_get(manifest, "members"));
  json_decref(manifest);
  return status;
}

rs_status rs_bundle_verify(const rs_bundle *b) {
  rs_digest_job jobs[ENTRY_LIMIT];
  rs_piece pieces[ENTRY_LIMIT];
  int n = rs_bundle_count(b);
  for (int i = 0; i < n; i++) {
    const rs_member *m = rs_bundle_member(b, i);
    pieces[i] = (rs_piece){m->data, m->size};
    jobs[i] = (rs_digest_job){.pieces = &pieces[i], .size = m->size};
  }
  rs_status status = rs_digest_all(jobs, n);
  for (int i = 0; status == RS_OK && i < n; i++) {
    const rs_member *m = rs_bundle_member(b, i);
    if (strcmp(jobs[i].hex, m->sha256)) status = flipped(b, m, 0, m->size);
  }
  return status;
}

/* Opening and looking. */

static rs_status check(rs_bundle *b, bool verify) {
  json_t *manifest = NULL;
  rs_status status = walk(b);
  if (status == RS_OK) status = check_seal(b);
  if (status == RS_OK) status = rs_json_object(&manifest, b->entries[0].data, b->entries[0].size, b->path);
  if (status == RS_OK) status = match_members(b, manifest);
  if (status == RS_OK && verify) status = verify_chunks(b, json_object_get(manifest, "members"));
  json_decref(manifest);
  return status;
}

static rs_status open_region(rs_bundle **out, const char *path, bool verify, bool copy) {
  rs_bundle *b = rs_alloc_zero(sizeof *b);
  *out = NULL;
  if (!b) return rs_nomem("bundle", sizeof *b);
  b->path = rs_strdup(path);
  b->entries = rs_alloc_zero(ENTRY_LIMIT * sizeof *b->entries);
  rs_status status = RS_OK;
  if (!b->path || !b->entries)
    status = rs_nomem("bundle", 0);
  else
    status = copy ? rs_region_open_copy(&b->region, path, !verify) : rs_region_open(&b->region, path);
  if (status == RS_OK) status = check(b, verify);
  if (status == RS_OK)
    *out = b;
  else
    rs_bundle_free(b);
  return status;
}

rs_status rs_bundle_open(rs_bundle **out, const char *path, bool verify) {
  return open_region(out, path, verify, false);
}

rs_status rs_bundle_open_copy(rs_bundle **out, const char *path, bool verify) {
  return open_region(out, path, verify, true);
}

void rs_bundle_free(rs_bundle *b) {
  if (!b) return;
  for (int i = 0; i < b->n; i++) rs_free((char *)b->entries[i].name);
  rs_free(b->entries);
  rs_free(b->path);
  rs_storage_release(b->region);
  rs_free(b);
}

int rs_bundle_count(const rs_bundle *b) { return b->n - BEFORE; }
const rs_member *rs_bundle_member(const rs_bundle *b, int index) { return &b->entries[BEFORE + index]; }
const rs_member *rs_bundle_manifest(const rs_bundle *b) { return &b->entries[0]; }

const rs_member *rs_bundle_find(const rs_bundle *b, const char *name) {
  for (int i = BEFORE; i < b->n; i++)
    if (!strcmp(b->entries[i].name, name)) return &b->entries[i];
  return NULL;
}

rs_status rs_bundle_tensors(const rs_bundle *b, const char *name, rs_tensors *out) {
  const rs_member *m = rs_bundle_find(b, name);
  char what[512];
  if (!m) return rs_fail(RS_EFORMAT, "%s has no member '%.120s'", b->path, name);
  snprintf(what, sizeof what, "%.300s: member %s", b->path, m->name);
  return rs_safetensors_read(out, b->region, (size_t)(m->data - (const char *)b->region->data), m->size, what);
}

/* bundle_write.c - the writing half of bundle.h: hash every member, seal the manifest, then stream the tar. */
#include <archive.h>
#include <archive_entry.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/json.h"
#include "bundle/digest.h"
#include "bundle/name.h"

/* A source as pieces of bytes, with the hashes of the whole and of its chunks. */
typedef struct part {
  const char *name;
  rs_safetensors_image image;
  rs_piece *pieces;
  int64_t n_pieces;
  size_t size;
  rs_digest_job *whole; /* within draft.jobs; the chunks follow it */
  int64_t n_chunks;     /* 0 when the whole is one chunk */
} part;

typedef struct draft {
  part *parts;
  int n;
  rs_digest_job *jobs;
  int64_t n_jobs;
} draft;

static void draft_free(draft *d) {
  for (int i = 0; d->parts && i < d->n; i++) {
    rs_safetensors_image_free(&d->parts[i].image);
    rs_free(d->parts[i].pieces);
  }
  rs_free(d->parts);
  rs_free(d->jobs);
}

static rs_status check_sources(int n, const rs_bundle_source *sources) {
  if (n < 0 || n > RS_BUNDLE_MEMBER_LIMIT)
    return rs_fail(RS_EARG, "bundle: %d members; at most %d are served", n, RS_BUNDLE_MEMBER_LIMIT);
  for (int i = 0; i < n; i++) {
    if (!rs_member_name_is_plain(sources[i].name) || rs_member_name_is_reserved(sources[i].name))
      return rs_fail(RS_EARG, "bundle: a member cannot be called '%.120s'", sources[i].name);
    for (int k = 0; k < i; k++)
      if (!strcmp(sources[i].name, sources[k].name))
        return rs_fail(RS_EARG, "bundle: two members are called '%s'", sources[i].name);
  }
  return RS_OK;
}

static rs_status prepare_part(part *p, const rs_bundle_source *source) {
  p->name = source->name;
  rs_status status = source->tensors ? rs_safetensors_image_of(&p->image, source->tensors) : RS_OK;
  if (status != RS_OK) return status;
  p->n_pieces = 1 + p->image.body.n;
  p->pieces = rs_alloc((size_t)p->n_pieces * sizeof *p->pieces);
  if (!p->pieces) return rs_nomem("bundle", (size_t)p->n_pieces * sizeof *p->pieces);
  p->size = source->tensors ? p->image.bytes : source->size;
  p->pieces[0] =
      source->tensors ? (rs_piece){p->image.header.data, p->image.header.size} : (rs_piece){source->data, source->size};
  for (int64_t i = 0; i < p->image.body.n; i++) {
    const rs_tensor *t = &p->image.body.items[i].tensor;
    p->pieces[1 + i] = (rs_piece){rs_tensor_data(t), rs_tensor_bytes(t)};
  }
  int64_t chunks = rs_chunks(p->size);
  p->n_chunks = chunks > 1 ? chunks : 0;
  return RS_OK;
}

static rs_status prepare(draft *d, int n, const rs_bundle_source *sources) {
  rs_status status = RS_OK;
  d->n = n;
  d->parts = rs_alloc_zero((size_t)n * sizeof *d->parts);
  if (!d->parts) return rs_nomem("bundle", (size_t)n * sizeof *d->parts);
  for (int i = 0; status == RS_OK && i < n; i++) {
    status = prepare_part(&d->parts[i], &sources[i]);
    d->n_jobs += 1 + d->parts[i].n_chunks;
  }
  return status;
}

static rs_status hash(draft *d) {
  d->jobs = rs_alloc((size_t)d->n_jobs * sizeof *d->jobs);
  if (!d->jobs) return rs_nomem("bundle", (size_t)d->n_jobs * sizeof *d->jobs);
  rs_digest_job *job = d->jobs;
  for (int i = 0; i < d->n; i++) {
    part *p = &d->parts[i];
    p->whole = job;
    *job++ = (rs_digest_job){.pieces = p->pieces, .size = p->size};
    for (int64_t c = 0; c < p->n_chunks; c++) {
      size_t at = (size_t)c * RS_BUNDLE_CHUNK, left = p->size - at;
      *job++ =
          (rs_digest_job){.pieces = p->pieces, .offset = at, .size = left < RS_BUNDLE_CHUNK ? left : RS_BUNDLE_CHUNK};
    }
  }
  return rs_digest_all(d->jobs, d->n_jobs);
}

/* The manifest. */

static json_t *member_of(const part *p) {
  json_t *member = json_pack("{s:s, s:I, s:s}", "name", p->name, "bytes", (json_int_t)p->size, "sha256", p->whole->hex);
  if (!member || !p->n_chunks) return member;
  json_t *chunks = json_array();
  int failed = json_object_set_new(member, "chunks", chunks);
  for (int64_t c = 0; c < p->n_chunks && !failed; c++)
    failed = json_array_append_new(chunks, json_string(p->whole[1 + c].hex));
  if (!failed) return member;
  json_decref(member);
  return NULL;
}

static json_t *members_of(const draft *d) {
  json_t *members = json_array();
  for (int i = 0; i < d->n && members; i++)
    if (json_array_append_new(members, member_of(&d->parts[i]))) {
      json_decref(members);
      members = NULL;
    }
  return members;
}

/* '{', "format", the fields as the writer wrote them (their numbers keep every digit), "members", '}'. */
static rs_status splice(rs_buffer *text, const char *fields, size_t bytes, const char *members) {
  const char *begin = memchr(fields, '{', bytes), *end = memrchr(fields, '}', bytes);
  size_t inside = (size_t)(end - begin - 1);
  while (inside > 0 && strchr(" \t\r\n", begin[inside])) inside--;
  rs_status status = rs_buffer_printf(text, "{\n  \"format\": %d,", RS_BUNDLE_FORMAT);
  if (status == RS_OK) status = rs_buffer_append(text, begin + 1, inside);
  if (status == RS_OK) status = rs_buffer_printf(text, "%s\n  \"members\": %s\n}\n", inside ? "," : "", members);
  if (status == RS_OK && text->size > RS_BUNDLE_MANIFEST_LIMIT)
    status = rs_fail(RS_EARG, "bundle: a manifest of %zu bytes; at most %d are served", text->size,
                     RS_BUNDLE_MANIFEST_LIMIT);
  return status;
}

static rs_status check_fields(const char *text, size_t bytes) {
  json_t *fields = NULL;
  rs_status status = rs_json_object(&fields, text, bytes, "manifest");
  if (status == RS_EFORMAT) return RS_EARG; /* the writer's own mistake, not the world's */
  if (status == RS_OK && (json_object_get(fields, "format") || json_object_get(fields, "members")))
    status = rs_fail(RS_EARG, "bundle: the manifest's fields 'format' and 'members' are written by the bundle itself");
  json_decref(fields);
  return status;
}

static rs_status make_manifest(rs_buffer *text, const char *fields, size_t bytes, const draft *d) {
  rs_status status = check_fields(fields, bytes);
  if (status != RS_OK) return status;
  json_t *members = members_of(d);
  char *dumped = members ? json_dumps(members, JSON_INDENT(2)) : NULL;
  status = dumped ? splice(text, fields, bytes, dumped) : rs_nomem("manifest", 0);
  rs_free(dumped);
  json_decref(members);
  return status;
}

/* The tar. */

static la_ssize_t write_bytes(struct archive *tar, void *writer, const void *bytes, size_t n) {
  if (rs_writer_write(writer, bytes, n) == RS_OK) return (la_ssize_t)n;
  archive_set_error(tar, -1, "%s", rs_message());
  return -1;
}

static rs_status refused(struct archive *tar, const char *path) {
  const char *reason = tar ? archive_error_string(tar) : "out of memory";
  return rs_fail(tar ? RS_EIO : RS_ENOMEM, "cannot write %s: %s", path, reason ? reason : "no reason given");
}

/* A plain 512-byte header: what varies between machines and times (owner, dates) is left at zero. */
static int write_header(struct archive *tar, const char *name, size_t size) {
  struct archive_entry *entry = archive_entry_new();
  if (!entry) return ARCHIVE_FATAL;
  archive_entry_set_pathname(entry, name);
  archive_entry_set_filetype(entry, AE_IFREG);
  archive_entry_set_perm(entry, 0644);
  archive_entry_set_size(entry, (la_int64_t)size);
  archive_entry_set_mtime(entry, 0, 0);
  int result = archive_write_header(tar, entry);
  archive_entry_free(entry);
  return result;
}

static bool write_pieces(struct archive *tar, const char *name, const rs_piece *pieces, int64_t n) {
  size_t size = 0;
  for (int64_t i = 0; i < n; i++) size += pieces[i].size;
  if (write_header(tar, name, size) != ARCHIVE_OK) return false;
  for (int64_t i = 0; i < n; i++)
    if (pieces[i].size && archive_write_data(tar, pieces[i].data, pieces[i].size) != (la_ssize_t)pieces[i].size)
      return false;
  return true;
}

static bool write_tar(struct archive *tar, rs_writer *writer, const rs_piece *manifest, const char *seal,
                      const draft *d) {
  if (archive_write_set_format_pax_restricted(tar) != ARCHIVE_OK) return false;
  if (archive_write_set_bytes_per_block(tar, 1 << 16) != ARCHIVE_OK) return false;
  if (archive_write_set_bytes_in_last_block(tar, 1) != ARCHIVE_OK) return false;
  if (archive_write_open(tar, writer, NULL, write_bytes, NULL) != ARCHIVE_OK) return false;
  if (!write_pieces(tar, "manifest.json", manifest, 1)) return false;
  if (!write_pieces(tar, "manifest.sha256", &(rs_piece){seal, strlen(seal)}, 1)) return false;
  for (int i = 0; i < d->n; i++)
    if (!write_pieces(tar, d->parts[i].name, d->parts[i].pieces, d->parts[i].n_pieces)) return false;
  return archive_write_close(tar) == ARCHIVE_OK;
}

static rs_status write_file(const char *path, const rs_piece *manifest, const char *seal, const draft *d) {
  rs_writer writer = {0};
  rs_status status = rs_writer_open(&writer, path);
  if (status != RS_OK) return status;
  struct archive *tar = archive_write_new();
  if (!tar || !write_tar(tar, &writer, manifest, seal, d)) status = refused(tar, path);
  if (tar && status != RS_OK) archive_write_fail(tar); /* else its free would go on writing */
  archive_write_free(tar);
  if (status == RS_OK) return rs_writer_commit(&writer);
  rs_writer_abort(&writer);
  return status;
}

static rs_status seal_and_write(const char *path, const rs_buffer *manifest, const draft *d,
                                char digest[RS_SHA256_TEXT + 1]) {
  rs_piece piece = {manifest->data, manifest->size};
  rs_digest_job job = {.pieces = &piece, .size = piece.size};
  char seal[RS_SEAL_BYTES + 1];
  rs_status status = rs_digest_all(&job, 1);
  if (status != RS_OK) return status;
  rs_seal(seal, job.hex);
  if (digest) memcpy(digest, job.hex, sizeof job.hex);
  return write_file(path, &piece, seal, d);
}

rs_status rs_bundle_write(const char *path, const char *manifest, size_t manifest_bytes, int n,
                          const rs_bundle_source *sources, char digest[RS_SHA256_TEXT + 1]) {
  draft d = {0};
  rs_buffer text = {0};
  rs_status status = check_sources(n, sources);
  if (status == RS_OK) status = prepare(&d, n, sources);
  if (status == RS_OK) status = hash(&d);
  if (status == RS_OK) status = make_manifest(&text, manifest, manifest_bytes, &d);
  if (status == RS_OK) status = seal_and_write(path, &text, &d, digest);
  rs_buffer_free(&text);
  draft_free(&d);
  return status;
}

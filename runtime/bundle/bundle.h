/* bundle.h - a model as one file: a tar of JSON, text and safetensors with a manifest that vouches for every byte.
 *
 * | member           | holds                                                                         |
 * |------------------|-------------------------------------------------------------------------------|
 * | manifest.json    | first: the writer's own fields, "format", and name, bytes and SHA-256 of each  |
 * | manifest.sha256  | second: the SHA-256 of manifest.json, as `sha256sum -c` reads it               |
 * | the others       | in the manifest's order                                                       |
 *
 * Tar data starts at multiples of 512 bytes and safetensors data at multiples of 64 within, so a mapped bundle is used
 * where it lies: libarchive walks the headers, nothing is ever extracted. A member of more than a MiB also has a hash
 * for each MiB, which all threads check. A bundle holds data, never code, and is not trusted until it has been checked
 * whole. An open bundle is immutable and may be read from many threads. Its file must not be changed in place (writers
 * replace it), unless it was opened as a copy. */
#ifndef RS_BUNDLE_H
#define RS_BUNDLE_H
#include "bundle/safetensors.h"

enum {
  RS_BUNDLE_FORMAT = 1,
  RS_BUNDLE_CHUNK = 1 << 20,           /* bytes that one hash covers */
  RS_BUNDLE_MEMBER_LIMIT = 256,        /* members besides the manifest and its hash */
  RS_BUNDLE_NAME_LIMIT = 100,          /* bytes in a member's name */
  RS_BUNDLE_MANIFEST_LIMIT = 16 << 20, /* bytes */
  RS_SHA256_TEXT = 64                  /* hexadecimal digits */
};

/* What becomes a member: either 'tensors' (written as safetensors) or 'size' bytes at 'data'. */
typedef struct rs_bundle_source {
  const char *name; /* of a-z 0-9 . _ - in parts between '/', not starting with '.' */
  const rs_tensors *tensors;
  const void *data;
  size_t size;
} rs_bundle_source;

/* Replace the file at 'path' atomically by a bundle of 'n' sources. 'manifest' is a JSON object without the keys
 * "format" and "members", which are added. The same arguments give the same bytes. RS_EARG for a name or a manifest
 * that cannot be; 'digest', when not NULL, becomes the SHA-256 of manifest.json: equal for equal bundles. */
rs_status rs_bundle_write(const char *path, const char *manifest, size_t manifest_bytes, int n,
                          const rs_bundle_source *sources, char digest[RS_SHA256_TEXT + 1]);

typedef struct rs_bundle rs_bundle;

typedef struct rs_member {
  const char *name;
  const char *data; /* in the mapping */
  size_t size;      /* bytes */
  char sha256[RS_SHA256_TEXT + 1];
} rs_member;

/* Map and check the bundle at 'path'. Always checked: the tar (regular files only, plain names, none twice, none
 * missing from the manifest or absent, nothing between or behind them), the manifest against its hash, and sizes. With
 * 'verify' also the bytes of every member. RS_EFORMAT with a message that names the file, the member and what to do;
 * RS_EIO. */
rs_status rs_bundle_open(rs_bundle **out, const char *path, bool verify);
/* The same of a file that others may write into, by a copy of it that is ours: with 'verify' it is made before anything
 * is looked at, without by rs_bundle_verify_late, and until then the file is mapped. */
rs_status rs_bundle_open_copy(rs_bundle **out, const char *path, bool verify);
void rs_bundle_free(rs_bundle *b); /* NULL is fine; tensors taken from it live on */

int rs_bundle_count(const rs_bundle *b);
/* Members in order, 0 .. count-1; the manifest and its hash are not among them. */
const rs_member *rs_bundle_member(const rs_bundle *b, int index);
const rs_member *rs_bundle_find(const rs_bundle *b, const char *name); /* NULL when absent */
const rs_member *rs_bundle_manifest(const rs_bundle *b);

/* Append the tensors of a safetensors member, mapped where they lie. RS_EFORMAT when it is absent or broken. */
rs_status rs_bundle_tensors(const rs_bundle *b, const char *name, rs_tensors *out);

/* What 'verify' does at opening, for a bundle that was opened without: by all threads, while others read it. */
rs_status rs_bundle_verify_late(const rs_bundle *b);

/* Hash every member as a whole and compare with the manifest: slower than 'verify' (one thread a member) and
 * independent of the hashes for each MiB. */
rs_status rs_bundle_verify(const rs_bundle *b);

#endif

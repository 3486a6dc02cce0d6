/* csv_input.h - the text of a file, plain, gzip or zstd, told apart by its first bytes.
 *
 * Private to the file readers. A plain file is mapped and there at once. A compressed one comes in windows of 16 MiB
 * and what is left of the one before, so that memory does not grow with the file; only a single line may be longer. */
#ifndef RS_CSV_INPUT_H
#define RS_CSV_INPUT_H
#include "base/file.h"
#include "frame/csv.h"

/* All-zero is a valid closed input. */
typedef struct rs_csv_input {
  const char *path; /* not owned */
  rs_csv_compression compression;
  rs_mapping map;         /* the file's bytes */
  const char *text, *end; /* what can be read now */
  bool more;              /* the text goes on behind 'end', which is then behind a newline */
  rs_buffer buffer;       /* of a compressed file: text, and the line that is not whole yet */
  void *stream;
  size_t consumed;  /* compressed bytes */
  int64_t produced; /* bytes of text */
  int64_t most;     /* allowed */
} rs_csv_input;

/* 'most': the bytes of text that a compressed file may hold; 0: 64 GiB. RS_EIO, RS_EFORMAT for a damaged stream. */
rs_status rs_csv_input_open(rs_csv_input *in, const char *path, int64_t most);
void rs_csv_input_close(rs_csv_input *in);
/* Go on: what stands before 'unread' is no longer needed, and all pointers into the text are void. 'more' must be set.
 * RS_EFORMAT when the stream is damaged or cut off, names the byte, or when it holds more than is allowed. */
rs_status rs_csv_input_advance(rs_csv_input *in, const char *unread);

#endif

/* batch.h - recommendations for a file of users, into a file: the requests and answers of the service, in bulk.
 *
 * The users' file is mapped and answered block by block, by all threads, each block written in its order: memory does not
 * grow with it. The answers go to OUT.part; about once a second, when the disk has them, a record of how far they go is
 * put beside it (OUT.part.at). Who begins again with the same key goes on from there, so that after a kill at any moment
 * the finished file has the bytes of one that nobody disturbed; it gets its name when it is whole. */
#ifndef RS_BATCH_H
#define RS_BATCH_H
#include "serve/json_in.h"

typedef enum rs_users_format {
  RS_USERS_IDS,  /* an id a line; empty lines are passed over */
  RS_USERS_CSV,  /* a header with a column "user"; k, now and exclude_seen are as in a request, the others are fields, lists
                    separated by '|'; an empty one is missing */
  RS_USERS_JSONL /* a request a line, as to the service; one that cannot be answered is told in its place, an empty one,
                    too; in CSV, where there are no places, empty ones are passed over and a wrong one ends the batch */
} rs_users_format;

typedef struct rs_batch_options {
  const char *users, *out; /* files */
  rs_users_format format;
  bool csv;             /* write CSV: user, rank, item, score, title where there are any, source; else JSON Lines */
  const char *standard; /* a JSON object: what holds for every request; NULL: nothing */
  const char *key;      /* what the answers depend on, of at most 100 characters without blanks */
  rs_json_limits limits;
  int64_t every_ms; /* between two records of how far it is; 0: a second */
} rs_batch_options;

typedef struct rs_batch rs_batch;

/* Begin, or go on. RS_EBUSY when another process writes the file; RS_EIO, RS_EFORMAT, RS_EARG name the file and line.
 * The model must outlive the batch and must not change meanwhile. */
rs_status rs_batch_open(rs_batch **out, const rs_server_model *m, const rs_batch_options *options);

/* Answer a block more; *done when the file is in its place. RS_EARG and RS_EFORMAT name the file and the line, in CSV also
 * the column. After a failure the batch can only be freed; what is written so far stays for the next time. */
rs_status rs_batch_step(rs_batch *b, bool *done);

typedef struct rs_batch_facts {
  int64_t bytes, read;              /* of the users' file: in all, and so far */
  int64_t users, items;             /* answered so far */
  int64_t fallbacks, short_of_k;    /* of these users: by popularity; with fewer than k items */
  int64_t refused;                  /* lines that could not be answered */
  int64_t resumed;                  /* bytes of the users' file that an earlier run had answered */
} rs_batch_facts;
rs_batch_facts rs_batch_facts_of(const rs_batch *b);

/* Names of fields of users that nothing reads, as far as this run has seen them, each terminated; each once, 1 KiB in all. */
const rs_buffer *rs_batch_ignored(const rs_batch *b);

/* NULL is fine. An unfinished one leaves what the next goes on from, but for one that a line has ended: nothing. */
void rs_batch_free(rs_batch *b);

#endif

/* status.h - how the core reports failure: a status, and a message beside it for people.
 *
 * Every core function that can fail returns an rs_status. On failure the calling thread's message
 * says what went wrong in terms of shapes, values and names; only bind/ turns it into a Lua error. */
#ifndef RS_STATUS_H
#define RS_STATUS_H

typedef enum rs_status {
  RS_OK = 0,
  RS_ENOMEM,  /* memory refused */
  RS_ESHAPE,  /* shapes do not fit each other */
  RS_EDTYPE,  /* the dtype is not served here */
  RS_ERANGE,  /* a value or code lies outside its range */
  RS_EARG,    /* an argument makes no sense */
  RS_EIO,     /* the system refused a file operation */
  RS_EFORMAT, /* the bytes are not what they should be */
  RS_ENUMERIC, /* a NaN or an infinity where none may be */
  RS_EBUSY,    /* another process holds it; worth trying again */
  RS_ECONSTRAINT /* a database's constraint: unique, foreign key, not null */
} rs_status;

/* Keep a formatted message for this thread and return 'status', so that a failing function ends
 * with 'return rs_fail(RS_ESHAPE, "matmul: ...", ...)'. Messages over 1 KiB are cut. */
rs_status rs_fail(rs_status status, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The message of this thread's last failure; "" before any. */
const char *rs_message(void);

/* The short word for a status that Lua sees as an error code: "memory", "shape", "dtype", "range",
 * "argument", "io", "format", "numeric", "busy", "constraint"; "ok" for RS_OK. */
const char *rs_status_word(rs_status status);

#endif

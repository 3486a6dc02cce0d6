/* jsonl_block.h - the lines of one block of a JSON Lines text. Private to its reader. */
#ifndef RS_JSONL_BLOCK_H
#define RS_JSONL_BLOCK_H
#include "frame/csv_block.h"
#include "frame/jsonl_line.h"

/* The state of a block: what its lines need, and which fields they had. */
typedef struct rs_json_block {
  rs_json_line line;
  bool *had; /* line.fields->n */
} rs_json_block;

/* A format whose layout's 'fields' are rs_json_fields. */
extern const rs_csv_format rs_jsonl_rows;

/* The line at *at without its end and the blanks around it, which moves behind it; false at the end of the text. */
bool rs_jsonl_next(const char **at, const char *end, const char **line, size_t *length);

#endif

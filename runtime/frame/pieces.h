/* pieces.h - a column of strings cut into a column of lists: what splitting and tokenising have in common.
 *
 * Each distinct string is cut once, blocks of them in parallel with a dictionary each; the dictionaries are merged in
 * the order of the blocks, so that the result is the one of cutting string after string. */
#ifndef RS_PIECES_H
#define RS_PIECES_H
#include "base/buffer.h"
#include "frame/column.h"

/* Pieces of the strings of one block. */
typedef struct rs_pieces {
  rs_dictionary *dictionary;
  rs_buffer codes;           /* int32_t each, string after string */
  rs_buffer scratch, points; /* room for the cutter */
} rs_pieces;

/* Cut one string into pieces, adding each with rs_pieces_add. Runs on any thread. */
typedef rs_status rs_cutter(rs_pieces *p, const void *argument, const char *text, size_t length);

rs_status rs_pieces_add(rs_pieces *p, const char *text, size_t length);

/* Lists of the pieces of each string, without a name; a missing string gives an empty list. 'out' must be empty and
 * becomes the caller's. */
rs_status rs_pieces_cut(rs_column *out, const rs_column *strings, rs_cutter *cut, const void *argument);

#endif

/* pieces.h - lists of strings made piece by piece: what splitting, tokenising and n-grams have in common.
 *
 * Blocks of units (distinct strings, rows) are cut in parallel with a dictionary each; the dictionaries are merged in
 * the order of the blocks, so that the result is the one of cutting unit after unit. */
#ifndef RS_PIECES_H
#define RS_PIECES_H
#include "base/buffer.h"
#include "frame/column.h"

/* Pieces of the units of one block. */
typedef struct rs_pieces {
  rs_dictionary *dictionary;
  rs_buffer codes;           /* int32_t each, unit after unit */
  rs_buffer scratch, points; /* room for the cutter */
} rs_pieces;

/* Cut one string into pieces, adding each with rs_pieces_add. Runs on any thread. */
typedef rs_status rs_cutter(rs_pieces *p, const void *argument, const char *text, size_t length);

rs_status rs_pieces_add(rs_pieces *p, const char *text, size_t length);

/* Make the pieces of one unit, adding each with rs_pieces_add. Runs on any thread. */
typedef rs_status rs_piece_maker(rs_pieces *p, const void *context, int64_t unit);

/* Lists of the pieces of units 0 .. n-1, a row each, without a name. 'out' must be empty and becomes the caller's. */
rs_status rs_pieces_make(rs_column *out, int64_t n, rs_piece_maker *make, const void *context);

/* Lists of the pieces of each string, each distinct one cut once, without a name; a missing string gives an empty list.
 * 'out' must be empty and becomes the caller's. */
rs_status rs_pieces_cut(rs_column *out, const rs_column *strings, rs_cutter *cut, const void *argument);

#endif

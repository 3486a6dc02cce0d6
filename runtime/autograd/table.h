/* table.h - what the lookups in embedding tables share. */
#ifndef RS_TABLE_H
#define RS_TABLE_H
#include "autograd/tape.h"

/* RS_ESHAPE or RS_EDTYPE unless input 0 is a matrix of reals or bf16 and input 1 i32 codes; RS_ERANGE when a code is outside
 * the table, with the table's name, the code and the number of rows. */
rs_status rs_need_table(const rs_node *self);
/* The part of it about input 'codes' as codes of input 'table', a matrix. */
rs_status rs_need_codes(const rs_node *self, int table, int codes);

#endif

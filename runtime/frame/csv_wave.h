/* csv_wave.h - all blocks of a text, a wave at a time, on all threads.
 *
 * Private to the CSV reader. A wave is a fixed number of blocks, whatever the number of threads; the first ones are
 * small, so that most texts are known to all when the many come. What is kept of a wave until the next has been read is
 * its cells, a fraction of its text. */
#ifndef RS_CSV_WAVE_H
#define RS_CSV_WAVE_H
#include "frame/csv_block.h"
#include "frame/csv_table.h"

typedef struct rs_csv_wave {
  rs_csv_block *blocks;
  rs_csv_placement *placements;
  int n, capacity;
} rs_csv_wave;

/* All-zero but for the table is a valid idle reader. */
typedef struct rs_csv_waves {
  rs_csv_table *table;
  rs_csv_wave waves[2]; /* read now, and the one before, which is being copied */
  int64_t count;        /* waves so far */
  size_t block;         /* bytes of a block; 0: 256 KiB */
  size_t expected;      /* bytes of text in all, as far as known: sizes the table */
  size_t seen;
} rs_csv_waves;

/* Told of each block once its rows have their place, in file order. */
typedef rs_status rs_csv_note(void *context, const rs_csv_block *b);

/* Read the records from 'begin' on, up to the end of the layout's text, or to a record that is not wholly there: *stop
 * is where reading must go on. */
rs_status rs_csv_waves_read(rs_csv_waves *w, const rs_csv_layout *layout, const char *begin, const char **stop,
                            rs_csv_note *note, void *context);
/* Forget what was read, for another pass. */
void rs_csv_waves_restart(rs_csv_waves *w);
void rs_csv_waves_free(rs_csv_waves *w);

#endif

/* post_in.h - posts from untrusted bytes: one JSON object, an array of them, or JSON Lines.
 *
 * A post that is wrong is refused in its place, and the others are taken: 'trouble' says why. What is no JSON at all is
 * refused as a whole; a line of JSON Lines is a whole of its own. */
#ifndef RS_SERVE_POST_IN_H
#define RS_SERVE_POST_IN_H
#include "serve/online.h"

enum { RS_POSTED_ID = 256, RS_POSTED_TITLE = 4096 }; /* bytes, at the most */

typedef struct rs_post_rules {
  bool lines;    /* JSON Lines */
  int64_t now;   /* ms since 1970 UTC: when they came, */
  int64_t when;  /* and when what tells no time was */
  int64_t until; /* the latest time that is believed; one that is later would make all else look old */
  int64_t most;  /* posts of one body */
  int64_t from;  /* the earliest time of an event that is believed: before it are seconds in place of ms; 0: any is */
} rs_post_rules;

/* { "user", "item", "time", "id", "type", "fields" }: an id that is a whole number stands for its digits; time in ms or as
 * rs_parse_time has it, absent: now; "type" is short for a field of that name. */
rs_status rs_posts_of_events(rs_posts **out, const char *bytes, size_t size, const rs_post_rules *rules);

/* { "id", "title", "created", "attributes", "removed" }: created as a time, absent: now; attributes: the other columns of
 * the item frame; removed true: it is to be recommended no more. */
rs_status rs_posts_of_items(rs_posts **out, const char *bytes, size_t size, const rs_post_rules *rules);

#endif

/* post_in_fuzz.c - bodies of posted events and items, whole and in lines: any bytes. */
#include <string.h>

#include "base/fuzzing.h"
#include "serve/post_in.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size == 0) return 0;
  rs_posts *posts = NULL;
  rs_post_rules rules = {data[0] & 1, 1000, 900, 2000, 64, 0};
  const char *bytes = (const char *)data + 1;
  rs_status status = data[0] & 2 ? rs_posts_of_items(&posts, bytes, size - 1, &rules)
                                 : rs_posts_of_events(&posts, bytes, size - 1, &rules);
  for (int64_t i = 0; status == RS_OK && i < posts->n; i++) {
    const rs_post *p = &posts->posts[i];
    if (p->outcome != RS_POST_REFUSED && (!p->item || p->item_length < 1 || p->time > rules.until)) __builtin_trap();
    if (p->outcome == RS_POST_REFUSED && !p->trouble) __builtin_trap();
  }
  rs_posts_free(posts);
  return 0;
}

/* media.c - see media.h. RFC 9110, 8.3 and 12.5.1, as far as our kinds need it. */
#include "serve/media.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const struct {
  const char *name;
  rs_media media;
} names[] = {{"application/json", RS_MEDIA_JSON},
             {"application/jsonlines", RS_MEDIA_LINES},
             {"application/x-jsonlines", RS_MEDIA_LINES},
             {"application/x-ndjson", RS_MEDIA_LINES},
             {"text/csv", RS_MEDIA_CSV}};

enum { NAMES = sizeof names / sizeof *names };

const char *rs_media_name(rs_media media) {
  for (int i = 0; i < NAMES; i++)
    if (names[i].media == media) return names[i].name;
  return "application/octet-stream";
}

/* One piece of a header: the text up to a separator, without blanks around it. */
typedef struct piece {
  const char *text;
  size_t length;
} piece;

static bool is_blank(char c) { return c == ' ' || c == '\t'; }

/* Cut the next piece off '*from', which ends at 'end' or with the text; false when there is none left. */
static bool next_piece(const char **from, char end, piece *out) {
  const char *at = *from, *stop = at ? strchr(at, end) : NULL;
  if (!at) return false;
  size_t length = stop ? (size_t)(stop - at) : strlen(at);
  *from = stop ? stop + 1 : NULL;
  while (length > 0 && is_blank(*at)) at++, length--;
  while (length > 0 && is_blank(at[length - 1])) length--;
  *out = (piece){at, length};
  return true;
}

static bool is(piece p, const char *text) { return strlen(text) == p.length && !strncasecmp(p.text, text, p.length); }

static rs_media named(piece p) {
  for (int i = 0; i < NAMES; i++)
    if (is(p, names[i].name)) return names[i].media;
  return RS_MEDIA_OTHER;
}

rs_media rs_media_of(const char *content_type, bool *header) {
  piece p;
  *header = false;
  if (!content_type || !*content_type) return RS_MEDIA_JSON;
  if (!next_piece(&content_type, ';', &p)) return RS_MEDIA_OTHER;
  rs_media media = named(p);
  while (next_piece(&content_type, ';', &p)) {
    if (is(p, "header=present")) *header = true;
    bool charset = p.length > 8 && !strncasecmp(p.text, "charset=", 8);
    if (charset && !is(p, "charset=utf-8") && !is(p, "charset=\"utf-8\"")) return RS_MEDIA_OTHER;
  }
  return media;
}

/* What a range of media types wants: one of ours, or, of a wildcard that one of ours fits, 'natural' where that fits. */
static rs_media ranged(piece p, rs_media natural) {
  if (is(p, "*/*")) return natural;
  if (is(p, "text/*")) return RS_MEDIA_CSV;
  if (is(p, "application/*")) return natural == RS_MEDIA_CSV ? RS_MEDIA_JSON : natural;
  return named(p);
}

rs_media rs_media_wanted(const char *accept, rs_media natural) {
  rs_media best = RS_MEDIA_OTHER;
  double most = 0;
  piece range, p;
  if (!accept || !*accept) return natural;
  while (next_piece(&accept, ',', &range)) {
    double weight = 1;
    char text[256];
    if (range.length == 0 || range.length >= sizeof text) continue;
    memcpy(text, range.text, range.length);
    text[range.length] = 0;
    const char *from = text;
    next_piece(&from, ';', &p);
    rs_media media = ranged(p, natural);
    while (next_piece(&from, ';', &p))
      if (p.length > 2 && !strncasecmp(p.text, "q=", 2)) weight = strtod(p.text + 2, NULL);
    if (media == RS_MEDIA_OTHER || !(weight > 0)) continue;
    if (weight > most || (weight == most && media == natural)) best = media, most = weight;
  }
  return best;
}

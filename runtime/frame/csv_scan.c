/* csv_scan.c - see csv_scan.h.
 *
 * Plain fields are skipped 16 bytes at a time; quotes cost a second look only where they stand at a field's
 * begin. A quoted field may run over lines; when its record turns out malformed, just the line where the record
 * began is given up, as its quote may be the torn one. */
#include "frame/csv_scan.h"

#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* The first of the bytes a, b, c at or behind 'at', or 'end'. */
static const char *find(const char *at, const char *end, char a, char b, char c) {
#ifdef __SSE2__
  const __m128i va = _mm_set1_epi8(a), vb = _mm_set1_epi8(b), vc = _mm_set1_epi8(c);
  for (; end - at >= 16; at += 16) {
    __m128i block = _mm_loadu_si128((const __m128i *)(const void *)at);
    __m128i hit =
        _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(block, va), _mm_cmpeq_epi8(block, vb)), _mm_cmpeq_epi8(block, vc));
    int mask = _mm_movemask_epi8(hit);
    if (mask) return at + __builtin_ctz((unsigned)mask);
  }
#endif
  while (at < end && *at != a && *at != b && *at != c) at++;
  return at;
}

static bool at_separator(const rs_csv_dialect *d, const char *at, const char *end) {
  return at < end && *at == d->separator[0] &&
         (d->separator_length == 1 ||
          (end - at >= d->separator_length && memcmp(at, d->separator, (size_t)d->separator_length) == 0));
}

/* Whether a line, or the text, ends at 'at'; a carriage return before the newline belongs to it. */
static bool at_line_end(const char *at, const char *end) {
  return at == end || *at == '\n' || (*at == '\r' && (at + 1 == end || at[1] == '\n'));
}

int64_t rs_csv_lines(const char *at, const char *end) {
  int64_t n = 0;
  for (; at < end; at++) n += *at == '\n';
  return n;
}

/* Read an unquoted field; returns its end. */
static const char *plain_field(const rs_csv_scanner *s, const char *at, rs_csv_field *f) {
  const rs_csv_dialect *d = s->dialect;
  const char *begin = at;
  char escape = d->escape == RS_CSV_MYSQL ? '\\' : '\n';
  bool escaped = false;
  for (;; at++) {
    at = find(at, s->end, d->separator[0], '\n', escape);
    if (at == s->end || *at == '\n') break;
    if (*at == '\\' && escape == '\\') {
      escaped = true;
      if (at + 1 < s->end) at++;
    } else if (at_separator(d, at, s->end))
      break;
  }
  const char *stop = at;
  if ((at == s->end || *at == '\n') && stop > begin && stop[-1] == '\r') stop--;
  *f = (rs_csv_field){begin, (size_t)(stop - begin), false, escaped};
  return stop;
}

/* Where a quoted field that begins at 'at' must have ended. */
static const char *quoted_end(const rs_csv_scanner *s, const char *at) {
  const char *end = s->end - at > RS_CSV_QUOTED_MAX ? at + RS_CSV_QUOTED_MAX : s->end;
  if (!s->expected || s->n_fields <= s->expected) return end;
  const char *newline = memchr(at, '\n', (size_t)(end - at));
  return newline ? newline : end;
}

/* Read the field whose opening quote is at 'at'; returns what follows the closing quote, NULL when there is none. */
static const char *quoted_field(rs_csv_scanner *s, const char *at, rs_csv_field *f) {
  const rs_csv_dialect *d = s->dialect;
  const char *begin = ++at, *end = quoted_end(s, at);
  char escape = d->escape == RS_CSV_DOUBLED ? d->quote : '\\';
  bool escaped = false;
  for (;;) {
    at = find(at, end, d->quote, escape, escape);
    if (at == end) return s->looked += end - begin, NULL;
    if (*at == d->quote && !(escape == d->quote && at + 1 < end && at[1] == d->quote)) break;
    if (end - at < 2) return s->looked += end - begin, NULL;
    escaped = true;
    at += 2;
  }
  *f = (rs_csv_field){begin, (size_t)(at - begin), true, escaped};
  return at + 1;
}

/* Read fields up to the record's end into s->fields; returns that end. */
static const char *read_fields(rs_csv_scanner *s, const char *at) {
  rs_csv_field spare;
  s->n_fields = 0;
  for (;;) {
    rs_csv_field *f = s->n_fields < s->capacity ? &s->fields[s->n_fields] : &spare;
    s->n_fields++;
    if (s->dialect->quotes && at < s->end && *at == s->dialect->quote) {
      s->torn = at;
      at = quoted_field(s, at, f);
      if (!at) {
        s->fault = s->expected && s->n_fields > s->expected ? RS_CSV_FIELDS : RS_CSV_TORN;
        return s->torn;
      }
    } else
      at = plain_field(s, at, f);
    if (at_separator(s->dialect, at, s->end)) {
      at += s->dialect->separator_length;
      continue;
    }
    if (!at_line_end(at, s->end)) s->fault = RS_CSV_BROKEN;
    return at;
  }
}

/* Give up all but the first line of the record. Returns where it ends. */
static const char *first_line(const rs_csv_scanner *s) {
  const char *newline = memchr(s->record, '\n', (size_t)(s->end - s->record)), *stop = newline ? newline : s->end;
  return stop > s->record && stop[-1] == '\r' ? stop - 1 : stop;
}

bool rs_csv_skip_blank(rs_csv_scanner *s) {
  while (s->at < s->end && at_line_end(s->at, s->end)) s->at += *s->at == '\r' ? (s->at + 1 < s->end ? 2 : 1) : 1;
  return s->at < s->end;
}

bool rs_csv_next(rs_csv_scanner *s) {
  if (!rs_csv_skip_blank(s)) return false;
  s->fault = RS_CSV_SOUND;
  s->record = s->at;
  const char *stop = read_fields(s, s->at);
  s->starved = s->more && (s->fault == RS_CSV_TORN ? s->end - s->torn <= RS_CSV_QUOTED_MAX : stop == s->end);
  if (s->starved) return false;
  s->looked += stop - s->record;
  if (s->fault == RS_CSV_SOUND && s->expected && s->n_fields != s->expected) s->fault = RS_CSV_FIELDS;
  if (s->fault != RS_CSV_SOUND) stop = first_line(s);
  s->record_end = stop;
  if (stop < s->end && *stop == '\r') stop++;
  s->at = stop < s->end ? stop + 1 : stop;
  return true;
}

rs_status rs_csv_unescape(const rs_csv_dialect *d, const rs_csv_field *f, rs_buffer *scratch, const char **text,
                          size_t *length) {
  *text = f->text;
  *length = f->length;
  if (!f->escaped) return RS_OK;
  scratch->size = 0;
  rs_status status = rs_buffer_reserve(scratch, f->length);
  if (status != RS_OK) return status;
  char *to = scratch->data;
  for (const char *at = f->text, *end = at + f->length; at < end; at++) {
    bool pair = at + 1 < end;
    if (d->escape == RS_CSV_DOUBLED)
      at += pair && *at == d->quote;
    else if (pair && *at == '\\' &&
             (at[1] == d->quote || at[1] == '\\' || at[1] == '\n' || at[1] == '\r' ||
              (d->escape == RS_CSV_MYSQL && at[1] == d->separator[0])))
      at++;
    *to++ = *at;
  }
  scratch->size = (size_t)(to - scratch->data);
  *text = scratch->data;
  *length = scratch->size;
  return RS_OK;
}

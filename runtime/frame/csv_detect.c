/* csv_detect.c - which separator, escape and encoding a CSV text uses, by looking at it.
 *
 * Separator: the one under which the first rows have most nearly the same number of fields. Escape: a pair
 * of quotes inside a field speaks for doubling, a backslash and a quote with text behind it for backslashes; when
 * neither is seen, the reading with fewer malformed rows wins. Encoding: a text with more stray bytes than UTF-8
 * sequences is Latin-1; a few stray bytes in UTF-8 are damage. */
#include <string.h>

#include "frame/csv_scan.h"

enum { SAMPLE_BYTES = 1 << 18, SAMPLE_RECORDS = 200, EVIDENCE_BYTES = 1 << 24, MAX_FIELDS = 1024, LOOKS = 8 };

/* Length of the UTF-8 sequence at 'at', 0 when it is ill-formed (overlong, surrogate, cut off). */
static int utf8_length(const unsigned char *at, const unsigned char *end) {
  unsigned char c = *at;
  int n = c < 0x80 ? 1 : c >= 0xC2 && c < 0xE0 ? 2 : c >= 0xE0 && c < 0xF0 ? 3 : c >= 0xF0 && c < 0xF5 ? 4 : 0;
  if (n == 0 || end - at < n) return 0;
  for (int i = 1; i < n; i++)
    if ((at[i] & 0xC0) != 0x80) return 0;
  if ((c == 0xE0 && at[1] < 0xA0) || (c == 0xED && at[1] > 0x9F) || (c == 0xF0 && at[1] < 0x90) ||
      (c == 0xF4 && at[1] > 0x8F))
    return 0;
  return n;
}

/* The first byte at or behind 'at' that is not ASCII, or 'end'. */
static const unsigned char *skip_ascii(const unsigned char *at, const unsigned char *end) {
  uint64_t word;
  for (; end - at >= 8; at += 8) {
    memcpy(&word, at, 8);
    if (word & UINT64_C(0x8080808080808080)) break;
  }
  while (at < end && *at < 0x80) at++;
  return at;
}

/* Count the well-formed sequences beyond ASCII and the bytes that belong to none. */
static void utf8_census(const char *text, size_t length, int64_t *sequences, int64_t *strays) {
  const unsigned char *at = (const unsigned char *)text, *end = at + length;
  *sequences = *strays = 0;
  while ((at = skip_ascii(at, end)) < end) {
    int n = utf8_length(at, end);
    if (n > 0)
      ++*sequences;
    else
      ++*strays;
    at += n > 0 ? n : 1;
  }
}

bool rs_utf8_is_valid(const char *text, size_t length) {
  int64_t sequences, strays;
  utf8_census(text, length, &sequences, &strays);
  return strays == 0;
}

rs_status rs_latin1_to_utf8(rs_buffer *out, const char *text, size_t length) {
  out->size = 0;
  rs_status status = rs_buffer_reserve(out, 2 * length + 1);
  if (status != RS_OK) return status;
  unsigned char *to = (unsigned char *)out->data;
  for (size_t i = 0; i < length; i++) {
    unsigned char c = (unsigned char)text[i];
    if (c < 0x80)
      *to++ = c;
    else {
      *to++ = (unsigned char)(0xC0 | c >> 6);
      *to++ = (unsigned char)(0x80 | (c & 0x3F));
    }
  }
  out->size = (size_t)((char *)to - out->data);
  return RS_OK;
}

void rs_csv_census(const char *text, size_t size, int64_t *sequences, int64_t *strays) {
  int64_t more_sequences, more_strays;
  utf8_census(text, size, &more_sequences, &more_strays);
  *sequences += more_sequences;
  *strays += more_strays;
}

/* How well a dialect explains the first records. */
typedef struct fit {
  int records, fields; /* records seen; the number of fields that most of them have */
  double share;        /* of the records that have it and no fault */
} fit;

static fit measure(const rs_csv_dialect *d, const char *text, const char *end, int limit) {
  static const fit none = {0, 0, 0};
  int counts[MAX_FIELDS] = {0};
  rs_csv_scanner s = {.dialect = d, .at = text, .end = end};
  fit f = none;
  while (f.records < limit && s.looked < LOOKS * (end - text) && rs_csv_next(&s)) {
    f.records++;
    if (s.fault == RS_CSV_SOUND && s.n_fields < MAX_FIELDS) counts[s.n_fields]++;
  }
  for (int n = 1; n < MAX_FIELDS; n++)
    if (counts[n] > counts[f.fields]) f.fields = n;
  if (f.records > 0) f.share = (double)counts[f.fields] / f.records;
  return f;
}

/* The end of the last whole line within 'limit' bytes, or of the text. */
static const char *sample_end(const char *text, size_t size, size_t limit) {
  if (size <= limit) return text + size;
  const char *newline = memrchr(text, '\n', limit);
  return newline ? newline + 1 : text + limit;
}

static void set_separator(rs_csv_dialect *d, const char *separator) {
  d->separator_length = (int)strlen(separator);
  memcpy(d->separator, separator, (size_t)d->separator_length + 1);
}

static void detect_separator(rs_csv_dialect *d, const char *text, size_t size) {
  static const char *const candidates[] = {",", "\t", ";", "|", "::"};
  const char *end = sample_end(text, size, SAMPLE_BYTES), *best = ",";
  fit best_fit = {0, 1, 0};
  rs_csv_dialect trial = *d;
  for (int i = 0; i < 5; i++)
    for (int escape = RS_CSV_DOUBLED; escape <= RS_CSV_BACKSLASH; escape++) {
      if (d->escape != RS_CSV_DETECT && (int)d->escape != escape) continue;
      trial.escape = (rs_csv_escape)escape;
      set_separator(&trial, candidates[i]);
      fit f = measure(&trial, text, end, SAMPLE_RECORDS);
      if (f.fields < 2) continue;
      bool steady = f.share >= 0.9, best_steady = best_fit.share >= 0.9;
      if (steady && best_steady ? f.fields > best_fit.fields : f.share > best_fit.share) {
        best_fit = f;
        best = candidates[i];
      }
    }
  set_separator(d, best);
}

static bool is_border(const rs_csv_dialect *d, const char *at, const char *text, const char *end) {
  return at < text || at >= end || *at == '\n' || *at == '\r' || *at == d->separator[0] ||
         *at == d->separator[d->separator_length - 1];
}

/* Count what speaks for either escape in the first bytes. */
static void weigh(const rs_csv_dialect *d, const char *text, const char *end, int64_t *doubled, int64_t *backslash) {
  *doubled = *backslash = 0;
  for (const char *at = text; at < end && (at = memchr(at, d->quote, (size_t)(end - at))); at++) {
    bool slash = at > text && at[-1] == '\\', pair = at + 1 < end && at[1] == d->quote;
    if (pair && !slash) {
      if (!is_border(d, at - 1, text, end) || !is_border(d, at + 2, text, end)) ++*doubled;
      at++;
    } else if (slash && !pair && !is_border(d, at + 1, text, end))
      ++*backslash;
  }
}

/* Whether a backslash stands before a separator or a newline: text that MySQL has escaped, perhaps. */
static bool has_escaped_border(const rs_csv_dialect *d, const char *text, const char *end) {
  for (const char *at = text; at < end && (at = memchr(at, '\\', (size_t)(end - at))); at++)
    if (at + 1 < end && (at[1] == '\n' || at[1] == d->separator[0])) return true;
  return false;
}

static void detect_escape(rs_csv_dialect *d, const char *text, size_t size) {
  const char *end = sample_end(text, size, EVIDENCE_BYTES);
  int64_t doubled = 0, backslash = 0;
  if (d->quotes) weigh(d, text, end, &doubled, &backslash);
  d->escape = backslash > doubled ? RS_CSV_BACKSLASH : RS_CSV_DOUBLED;
  if (doubled != backslash || !memchr(text, '\\', (size_t)(end - text))) return;
  end = sample_end(text, size, SAMPLE_BYTES * 4);
  double best = measure(d, text, end, INT32_MAX).share;
  rs_csv_dialect trial = *d;
  for (int escape = RS_CSV_BACKSLASH; escape <= RS_CSV_MYSQL && best < 1; escape++) {
    trial.escape = (rs_csv_escape)escape;
    if (escape == RS_CSV_MYSQL && !has_escaped_border(d, text, end)) break;
    double share = measure(&trial, text, end, INT32_MAX).share;
    if (share > best) {
      best = share;
      d->escape = trial.escape;
    }
  }
}

rs_status rs_csv_detect(rs_csv_dialect *d, const rs_csv_options *options, const char *text, size_t size) {
  *d = (rs_csv_dialect){.quotes = !options->no_quotes,
                        .quote = options->quote ? options->quote : '"',
                        .escape = options->escape,
                        .encoding = options->encoding ? options->encoding : RS_CSV_UTF8};
  if (options->separator) {
    size_t length = strlen(options->separator);
    if (length == 0 || length >= sizeof d->separator || strpbrk(options->separator, "\r\n\\") ||
        (d->quotes && strchr(options->separator, d->quote)))
      return rs_fail(RS_EARG, "csv: the separator '%s' cannot be one: 1 to 7 bytes, no newline, quote or backslash",
                     options->separator);
    set_separator(d, options->separator);
  } else
    detect_separator(d, text, size);
  if (d->escape == RS_CSV_DETECT) detect_escape(d, text, size);
  return RS_OK;
}

/* lower.c - see lower.h. Unicode has one unconditional lower-case mapping to more than one character (U+0130) and one
 * that depends on its surroundings, the final sigma: a capital sigma that a cased letter precedes and none follows,
 * case-ignorable characters (accents, apostrophes) between them not counted. */
#include "frame/lower.h"

#include <string.h>
#include <utf8proc.h>

enum { DOTTED_I = 0x130, DOT_ABOVE = 0x307, SIGMA = 0x3A3, SMALL_SIGMA = 0x3C3, FINAL_SIGMA = 0x3C2 };

/* The code point at text[at], its bytes into *width; -1 and 1 for a byte that is not UTF-8. */
static utf8proc_int32_t point_at(const char *text, size_t at, size_t length, size_t *width) {
  utf8proc_int32_t point;
  utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)text + at, (utf8proc_ssize_t)(length - at), &point);
  *width = n > 0 ? (size_t)n : 1;
  return n > 0 ? point : -1;
}

/* Punctuation inside words, by Unicode's word boundaries (MidLetter, MidNumLet, Single_Quote), rising. */
static bool joins_letters(utf8proc_int32_t point) {
  static const utf8proc_int32_t all[] = {0x27,   0x2E,   0x3A,   0xB7,   0x387,  0x55F,  0x5F4,  0x2018, 0x2019,
                                         0x2024, 0x2027, 0xFE13, 0xFE52, 0xFE55, 0xFF07, 0xFF0E, 0xFF1A};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++)
    if (all[i] == point) return true;
  return false;
}

static bool is_case_ignorable(utf8proc_int32_t point) {
  if (point < 0) return false;
  switch (utf8proc_category(point)) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_SK: return true;
    default: return joins_letters(point);
  }
}

/* Of characters that are not case-ignorable: the letters with case, and what Unicode adds to them by name. */
static bool is_cased(utf8proc_int32_t point) {
  static const utf8proc_int32_t others[][2] = {{0xAA, 0xAA},      {0xBA, 0xBA},       {0x2160, 0x217F},
                                               {0x24B6, 0x24E9},  {0x1F130, 0x1F149}, {0x1F150, 0x1F169},
                                               {0x1F170, 0x1F189}};
  if (point < 0) return false;
  utf8proc_category_t category = utf8proc_category(point);
  if (category == UTF8PROC_CATEGORY_LU || category == UTF8PROC_CATEGORY_LL || category == UTF8PROC_CATEGORY_LT)
    return true;
  for (size_t i = 0; i < sizeof others / sizeof *others; i++)
    if (others[i][0] <= point && point <= others[i][1]) return true;
  return false;
}

/* Whether the sigma at text[at .. next) ends a word. */
static bool is_final(const char *text, size_t at, size_t next, size_t length) {
  size_t width;
  utf8proc_int32_t point = -1;
  while (at > 0) {
    do at--;
    while (at > 0 && ((unsigned char)text[at] & 0xC0) == 0x80);
    point = point_at(text, at, length, &width);
    if (!is_case_ignorable(point)) break;
    point = -1;
  }
  if (!is_cased(point)) return false;
  for (; next < length; next += width) {
    point = point_at(text, next, length, &width);
    if (!is_case_ignorable(point)) return !is_cased(point);
  }
  return true;
}

static void put(rs_buffer *out, utf8proc_int32_t point) {
  out->size += (size_t)utf8proc_encode_char(point, (utf8proc_uint8_t *)out->data + out->size);
}

/* Room for three bytes where there were two is all that a mapping needs. */
static void lower_points(rs_buffer *out, const char *text, size_t length) {
  for (size_t i = 0, width; i < length; i += width) {
    unsigned char c = (unsigned char)text[i];
    width = 1;
    if (c < 0x80) {
      out->data[out->size++] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
      continue;
    }
    utf8proc_int32_t point = point_at(text, i, length, &width);
    if (point < 0) {
      out->data[out->size++] = ' ';
    } else if (point == DOTTED_I) {
      put(out, 'i');
      put(out, DOT_ABOVE);
    } else if (point == SIGMA) {
      put(out, is_final(text, i, i + width, length) ? FINAL_SIGMA : SMALL_SIGMA);
    } else {
      put(out, utf8proc_tolower(point));
    }
  }
}

rs_status rs_lower(rs_buffer *out, const char *text, size_t length, bool *ascii) {
  out->size = 0;
  rs_status status = rs_buffer_reserve(out, length + length / 2 + 4);
  if (status != RS_OK) return status;
  unsigned char any = 0;
  for (size_t i = 0; i < length; i++) {
    unsigned char c = (unsigned char)text[i];
    any |= c;
    out->data[i] = (char)(c + ((unsigned char)(c - 'A') < 26 ? 32 : 0));
  }
  *ascii = any < 0x80;
  if (*ascii)
    out->size = length;
  else
    lower_points(out, text, length);
  return RS_OK;
}

/* shortest.c - see shortest.h.
 *
 * Six digits are fewer than an f32 tells apart: where they read back, so does no other text of six, and without their
 * trailing zeros they are the shortest. Else seven, eight or nine are; nine always do. The digits are a whole number
 * times a power of ten that a double holds, so that their product or quotient is what a correct reader gives for the
 * text (Clinger 1990, doi:10.1145/93542.93557). Numbers beyond that go the long way, by snprintf. */
#include "base/shortest.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EXACT = 22 }; /* 10^22 is the last power of ten that a double holds */

static const double powers[EXACT + 1] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                         1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

/* digits * 10^scale, correctly rounded: |scale| <= EXACT. */
static double value_of(int64_t digits, int scale) {
  return scale < 0 ? (double)digits / powers[-scale] : (double)digits * powers[scale];
}

/* Whether a double near the text's value is the f32, with its neighbours: then so is the text itself, read as f32. */
static bool reads_back(double read, float value) {
  double step = fabs(read) * 0x1p-52;
  return (float)read == value && (float)(read - step) == value && (float)(read + step) == value;
}

/* Whole digits and a scale that give the positive value with 'n' digits; false when these do not read back. */
static bool digits_of(float value, int n, int ten, int64_t *digits, int *scale) {
  *scale = ten - n + 1;
  *digits = (int64_t)(*scale < 0 ? (double)value * powers[-*scale] + 0.5 : (double)value / powers[*scale] + 0.5);
  return reads_back(value_of(*digits, *scale), value);
}

/* floor(log10(value)) of a positive value, perhaps one too large or too small. */
static int tens(float value) {
  int two;
  frexpf(value, &two);
  return (int)floor((two - 1) * 0.30102999566398120);
}

static bool shortest_digits(float value, int64_t *digits, int *scale) {
  int ten = tens(value);
  if (ten < 9 - EXACT || ten > EXACT - 2) return false; /* nine digits' scale, and that of ten and one more */
  if ((ten < 0 ? (double)value * powers[-ten - 1] >= 1 : (double)value >= powers[ten + 1])) ten++;
  for (int n = 6; n <= 9; n++)
    if (digits_of(value, n, ten, digits, scale)) return true;
  return false;
}

/* By the library: for very small numbers, of which the smallest have less than six digits, and very large ones. */
static void long_digits(float value, int64_t *digits, int *scale) {
  char text[40];
  for (int n = 1; n <= 9; n++) {
    snprintf(text, sizeof text, "%.*e", n - 1, (double)value);
    if (strtof(text, NULL) != value || (float)strtod(text, NULL) != value) continue;
    char *e = strchr(text, 'e');
    *scale = atoi(e + 1) - (n - 1);
    *digits = 0;
    for (const char *p = text; p < e; p++)
      if (*p >= '0' && *p <= '9') *digits = *digits * 10 + (*p - '0');
    return;
  }
}

/* Digits as text: plain where that is not much longer, else with an exponent. */
static size_t lay_out(char *out, const char *digits, int n, int point) {
  char *p = out;
  if (point > 0 && point <= 10) { /* 1234, 12.34 */
    for (int i = 0; i < point || i < n; i++) {
      if (i == point) *p++ = '.';
      *p++ = i < n ? digits[i] : '0';
    }
  } else if (point <= 0 && point > -6) { /* 0.001234 */
    *p++ = '0', *p++ = '.';
    for (int i = point; i < 0; i++) *p++ = '0';
    memcpy(p, digits, (size_t)n);
    p += n;
  } else {
    *p++ = digits[0];
    if (n > 1) *p++ = '.';
    memcpy(p, digits + 1, (size_t)n - 1);
    p += n - 1;
    p += sprintf(p, "e%d", point - 1);
  }
  *p = 0;
  return (size_t)(p - out);
}

size_t rs_shortest_f32(char *out, float value) {
  char text[24] = "0";
  int64_t digits = 0;
  int scale = 0, n = 0;
  if (value != value) return memcpy(out, "nan", 4), 3;
  if (value == 0) return memcpy(out, "0", 2), 1;
  bool negative = value < 0;
  if (negative) *out = '-', value = -value;
  if (isinf(value)) return memcpy(out + negative, "inf", 4), 3 + (size_t)negative;
  if (!shortest_digits(value, &digits, &scale)) long_digits(value, &digits, &scale);
  for (; digits % 10 == 0; digits /= 10) scale++;
  for (int64_t rest = digits; rest > 0; rest /= 10) n++;
  for (int i = n; i-- > 0; digits /= 10) text[i] = (char)('0' + digits % 10);
  return (size_t)negative + lay_out(out + negative, text, n, n + scale);
}

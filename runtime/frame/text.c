/* text.c - see text.h.
 *
 * Numbers: up to 19 digits are gathered into an integer; below 2^53 with a power of ten up to 22 both are exact
 * doubles, so one multiplication or division is correctly rounded (Clinger 1990, doi:10.1145/93542.93557). What
 * is left goes to strtod in the C locale. Days of a date: Howard Hinnant's days_from_civil. */
#include "frame/text.h"

#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double powers_of_ten[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                       1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

static locale_t c_locale;
static pthread_once_t c_locale_once = PTHREAD_ONCE_INIT;
static void make_c_locale(void) { c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0); }

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

/* strtod on a text without a final zero, which the scanner below has found well-formed. */
static bool slow_number(const char *text, size_t length, double *value) {
  char copy[512];
  if (length >= sizeof copy) return false;
  memcpy(copy, text, length);
  copy[length] = 0;
  pthread_once(&c_locale_once, make_c_locale);
  *value = c_locale ? strtod_l(copy, NULL, c_locale) : strtod(copy, NULL);
  return isfinite(*value);
}

bool rs_parse_number(const char *text, size_t length, double *value) {
  const char *at = text, *end = text + length;
  uint64_t mantissa = 0;
  int digits = 0, dropped = 0, exponent = 0; /* dropped: digits that found no room in the mantissa */
  bool negative = at < end && *at == '-', any = false;
  if (at < end && (*at == '-' || *at == '+')) at++;
  for (; at < end && is_digit(*at); at++, any = true) {
    if (digits < 19)
      mantissa = mantissa * 10 + (uint64_t)(*at - '0'), digits += mantissa > 0;
    else
      dropped++;
  }
  if (at < end && *at == '.')
    for (at++; at < end && is_digit(*at); at++, any = true) {
      if (digits < 19)
        mantissa = mantissa * 10 + (uint64_t)(*at - '0'), digits += mantissa > 0, exponent--;
      else
        dropped++;
    }
  if (!any) return false;
  if (at < end && (*at == 'e' || *at == 'E')) {
    int sign = 1, power = 0;
    at++;
    if (at < end && (*at == '-' || *at == '+')) sign = *at++ == '-' ? -1 : 1;
    if (at == end || !is_digit(*at)) return false;
    for (; at < end && is_digit(*at); at++)
      if (power < 100000) power = power * 10 + (*at - '0');
    exponent += sign * power;
  }
  if (at != end) return false;
  if (dropped || mantissa > (UINT64_C(1) << 53) || exponent < -22 || exponent > 22)
    return slow_number(text, length, value);
  double v = (double)mantissa;
  v = exponent < 0 ? v / powers_of_ten[-exponent] : v * powers_of_ten[exponent];
  *value = negative ? -v : v;
  return true;
}

bool rs_number_is_faithful(const char *text, size_t length) {
  const char *end = text + length;
  if (text < end && *text == '+') return false; /* a telephone number */
  if (text < end && *text == '-') text++;
  const char *at = text;
  while (at < end && is_digit(*at)) at++;
  if (at - text > 1 && *text == '0') return false;
  return at < end || at - text <= 15;
}

/* Reads exactly 'n' digits at *at. */
static bool take_digits(const char **at, const char *end, int n, int *value) {
  if (end - *at < n) return false;
  *value = 0;
  for (int i = 0; i < n; i++) {
    if (!is_digit((*at)[i])) return false;
    *value = *value * 10 + ((*at)[i] - '0');
  }
  *at += n;
  return true;
}

static bool take_char(const char **at, const char *end, char c) {
  if (*at == end || **at != c) return false;
  ++*at;
  return true;
}

static int64_t days_from_civil(int64_t year, int month, int day) {
  year -= month <= 2;
  int64_t era = (year >= 0 ? year : year - 399) / 400;
  int64_t year_of_era = year - era * 400;
  int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
  return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719468;
}

static bool valid_date(int year, int month, int day) {
  static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
  return month >= 1 && month <= 12 && day >= 1 && day <= lengths[month - 1] + (leap && month == 2);
}

/* ".123" as milliseconds; digits past the third are read and dropped. */
static bool take_fraction(const char **at, const char *end, int *ms) {
  int weight = 100;
  const char *begin = *at;
  for (*ms = 0; *at < end && is_digit(**at); ++*at, weight /= 10) *ms += weight * (**at - '0');
  return *at > begin;
}

/* "Z", "+05:30", "+0530", "+05" as minutes east; nothing is UTC. */
static bool take_zone(const char **at, const char *end, int *minutes) {
  *minutes = 0;
  if (*at == end || take_char(at, end, 'Z') || take_char(at, end, 'z')) return true;
  int sign = take_char(at, end, '+') ? 1 : take_char(at, end, '-') ? -1 : 0, hour = 0, minute = 0;
  if (!sign || !take_digits(at, end, 2, &hour)) return false;
  if (*at < end) {
    take_char(at, end, ':');
    if (!take_digits(at, end, 2, &minute)) return false;
  }
  *minutes = sign * (hour * 60 + minute);
  return hour <= 23 && minute <= 59;
}

/* 31-Jan-2024, 4-Feb-1971 */
static bool parse_named_month(const char *at, const char *end, int64_t *ms) {
  static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
  int day, year, month = 0;
  int digits = end - at == 10 ? 1 : 2;
  if (!take_digits(&at, end, digits, &day) || !take_char(&at, end, '-') || end - at != 8) return false;
  while (month < 12 && memcmp(months + 3 * month, at, 3) != 0) month++;
  at += 3;
  if (month == 12 || !take_char(&at, end, '-') || !take_digits(&at, end, 4, &year)) return false;
  if (!valid_date(year, month + 1, day)) return false;
  *ms = days_from_civil(year, month + 1, day) * 86400000;
  return true;
}

bool rs_parse_time(const char *text, size_t length, int64_t *ms) {
  const char *at = text, *end = text + length;
  int year, month, day, hour = 0, minute = 0, second = 0, fraction = 0, zone = 0;
  if (length > 2 && (text[1] == '-' || text[2] == '-')) return parse_named_month(at, end, ms);
  if (!take_digits(&at, end, 4, &year) || !take_char(&at, end, '-') || !take_digits(&at, end, 2, &month) ||
      !take_char(&at, end, '-') || !take_digits(&at, end, 2, &day) || !valid_date(year, month, day))
    return false;
  if (at < end) {
    if (!take_char(&at, end, 'T') && !take_char(&at, end, ' ') && !take_char(&at, end, 't')) return false;
    if (!take_digits(&at, end, 2, &hour) || !take_char(&at, end, ':') || !take_digits(&at, end, 2, &minute))
      return false;
    if (take_char(&at, end, ':') && !take_digits(&at, end, 2, &second)) return false;
    if ((take_char(&at, end, '.') || take_char(&at, end, ',')) && !take_fraction(&at, end, &fraction)) return false;
    take_char(&at, end, ' '); /* "12:30:15 +05:30" */
    if (!take_zone(&at, end, &zone)) return false;
  }
  if (at != end || hour > 24 || minute > 59 || second > 60 || (hour == 24 && minute + second + fraction > 0))
    return false;
  int64_t seconds = days_from_civil(year, month, day) * 86400 + hour * 3600 + (minute - zone) * 60 + second;
  *ms = seconds * 1000 + fraction;
  return true;
}

static size_t format_integer(char *out, uint64_t n) {
  char digits[20];
  size_t length = 0;
  do digits[length++] = (char)('0' + n % 10);
  while (n /= 10);
  for (size_t i = 0; i < length; i++) out[i] = digits[length - 1 - i];
  out[length] = 0;
  return length;
}

/* Most numbers in files have few decimals: 12.345 is 12345 / 10^3 exactly when that division, correctly rounded as
 * reading is, gives the same double. 0 when it takes more than 6 decimals. */
static size_t format_short(char *out, double value) {
  double size = fabs(value);
  if (!(size >= 1e-4 && size < 1e9)) return 0;
  for (int decimals = 1; decimals <= 6; decimals++) {
    double scaled = floor(size * powers_of_ten[decimals] + 0.5);
    if (scaled / powers_of_ten[decimals] != size) continue;
    uint64_t power = (uint64_t)powers_of_ten[decimals], n = (uint64_t)scaled;
    size_t length = 0;
    if (value < 0) out[length++] = '-';
    length += format_integer(out + length, n / power);
    out[length++] = '.';
    format_integer(out + length, power + n % power); /* a 1 before the decimals keeps their zeros */
    memmove(out + length, out + length + 1, (size_t)decimals + 1);
    return length + (size_t)decimals;
  }
  return 0;
}

size_t rs_format_number(char *out, double value) {
  if (isnan(value)) return (size_t)snprintf(out, RS_TEXT_MAX, "nan");
  if (isinf(value)) return (size_t)snprintf(out, RS_TEXT_MAX, value < 0 ? "-inf" : "inf");
  if (fabs(value) < 1e15 && value == floor(value) && !(value == 0 && signbit(value))) {
    if (value < 0) *out = '-';
    return (value < 0) + format_integer(out + (value < 0), (uint64_t)fabs(value));
  }
  size_t short_length = format_short(out, value);
  if (short_length) return short_length;
  for (int digits = 15;; digits++) {
    int length = snprintf(out, RS_TEXT_MAX, "%.*g", digits, value);
    for (char *c = out; *c; c++)
      if (*c == ',') *c = '.'; /* a locale's decimal comma */
    double back;
    if (digits == 17 || (rs_parse_number(out, (size_t)length, &back) && back == value)) return (size_t)length;
  }
}

size_t rs_format_time(char *out, int64_t ms) {
  int64_t days = ms / 86400000, rest = ms % 86400000;
  if (rest < 0) rest += 86400000, days--;
  int64_t shifted = days + 719468;
  int64_t era = (shifted >= 0 ? shifted : shifted - 146096) / 146097;
  int64_t day_of_era = shifted - era * 146097;
  int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
  int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  int month = (int)((5 * day_of_year + 2) / 153), day = (int)(day_of_year - (153 * month + 2) / 5 + 1);
  month = month < 10 ? month + 3 : month - 9;
  long long year = year_of_era + era * 400 + (month <= 2);
  int second = (int)(rest / 1000);
  return (size_t)snprintf(
      out, RS_TEXT_MAX,
      year >= 0 && year <= 9999 ? "%04lld-%02d-%02dT%02d:%02d:%02d.%03dZ" : "%+07lld-%02d-%02dT%02d:%02d:%02d.%03dZ",
      year, month, day, second / 3600, second / 60 % 60, second % 60, (int)(rest % 1000));
}

/* proxies.c - see proxies.h. Addresses are compared as those of IPv6, in which IPv4 has a network of its own. */
#include "http/proxies.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/alloc.h"

enum { MAPPED = 96, WORD = 64 }; /* bits before a mapped IPv4 address; bytes that no word of an option has */

typedef struct network {
  struct in6_addr first;
  int bits;
} network;

struct rs_proxies {
  int n;
  network of[RS_PROXIES];
};

/* ---- addresses ---- */

static struct in6_addr mapped(const struct in_addr *four) {
  struct in6_addr six = {.s6_addr = {[10] = 0xff, [11] = 0xff}};
  memcpy(six.s6_addr + 12, four, sizeof *four);
  return six;
}

static struct in6_addr number_of(const struct sockaddr *a) {
  if (a->sa_family == AF_INET) return mapped(&((const struct sockaddr_in *)(const void *)a)->sin_addr);
  return ((const struct sockaddr_in6 *)(const void *)a)->sin6_addr;
}

/* 'text' has n bytes; 'bits' are those before the ones that its notation writes. */
static bool read_number(const char *text, size_t n, struct in6_addr *number, int *bits) {
  char word[INET6_ADDRSTRLEN];
  struct in_addr four;
  if (n >= sizeof word) return false;
  memcpy(word, text, n);
  word[n] = 0;
  *bits = 0;
  if (inet_pton(AF_INET6, word, number) == 1) return true;
  if (inet_pton(AF_INET, word, &four) != 1) return false;
  *number = mapped(&four);
  *bits = MAPPED;
  return true;
}

/* Decimal digits alone, up to 'most'; -1: it is no such number. */
static int read_count(const char *text, size_t n, int most) {
  int count = 0;
  if (n < 1 || n > 5) return -1;
  for (size_t i = 0; i < n; i++) {
    if (text[i] < '0' || text[i] > '9') return -1;
    count = count * 10 + (text[i] - '0');
  }
  return count <= most ? count : -1;
}

/* ---- networks ---- */

static bool lies_in(const struct in6_addr *a, const network *of) {
  int whole = of->bits / 8, rest = of->bits % 8;
  if (memcmp(a, &of->first, (size_t)whole) != 0) return false;
  return rest == 0 || (a->s6_addr[whole] ^ of->first.s6_addr[whole]) >> (8 - rest) == 0;
}

static bool is_first(const network *of) {
  for (int bit = of->bits; bit < 128; bit++)
    if (of->first.s6_addr[bit / 8] >> (7 - bit % 8) & 1) return false;
  return true;
}

/* Whether all of IPv4 lies in it. */
static bool has_all(const network *of) {
  struct in_addr none = {0};
  struct in6_addr four = mapped(&none);
  return of->bits <= MAPPED && lies_in(&four, of);
}

static rs_status read_network(network *out, const char *word, size_t n) {
  const char *slash = memchr(word, '/', n);
  size_t size = slash ? (size_t)(slash - word) : n;
  int before = 0, prefix;
  if (!read_number(word, size, &out->first, &before))
    return rs_fail(RS_EARG, "'%.*s' is no address of a proxy, as 10.0.0.5, 10.0.0.0/8 or fd00::/8 are", (int)n, word);
  prefix = slash ? read_count(slash + 1, n - size - 1, 128 - before) : 128 - before;
  if (prefix < 0)
    return rs_fail(RS_EARG, "'%.*s': behind the slash stands how many bits name the network, 1 to %d", (int)n, word,
                   128 - before);
  out->bits = before + prefix;
  if (has_all(out))
    return rs_fail(RS_EARG, "'%.*s' is everybody: who is trusted as a proxy can say that he is anybody", (int)n, word);
  if (is_first(out)) return RS_OK;
  return rs_fail(RS_EARG, "'%.*s' has bits behind the %d that name the network: is it an address, or are they to be 0?",
                 (int)n, word, prefix);
}

rs_status rs_proxies_parse(rs_proxies **out, const char *words) {
  rs_status status = RS_OK;
  rs_proxies *p = rs_alloc_zero(sizeof *p);
  if (!p) return rs_nomem("proxies", sizeof *p);
  for (const char *at = words; status == RS_OK;) {
    size_t n = strcspn(at, ",");
    if (p->n == RS_PROXIES) status = rs_fail(RS_EARG, "more than %d proxies: name their network", RS_PROXIES);
    else if (n >= WORD) status = rs_fail(RS_EARG, "'%.20s...' is no address of a proxy", at);
    else status = read_network(&p->of[p->n++], at, n);
    if (!at[n]) break;
    at += n + 1;
  }
  if (status == RS_OK) *out = p;
  else rs_proxies_free(p);
  return status;
}

void rs_proxies_free(rs_proxies *p) { rs_free(p); }

static bool have(const rs_proxies *p, const struct in6_addr *number) {
  for (const network *of = p->of; of < p->of + p->n; of++)
    if (lies_in(number, of)) return true;
  return false;
}

bool rs_proxies_have(const rs_proxies *p, const struct sockaddr *address) {
  if (!p || (address->sa_family != AF_INET && address->sa_family != AF_INET6)) return false;
  struct in6_addr number = number_of(address);
  return have(p, &number);
}

/* ---- lists ---- */

static bool is_blank(char c) { return c == ' ' || c == '\t'; }

/* An entry of a list: an address, perhaps with a port, of IPv6 in brackets then. */
static bool read_entry(const char *text, size_t n, struct in6_addr *number) {
  int bits;
  while (n > 0 && is_blank(*text)) text++, n--;
  while (n > 0 && is_blank(text[n - 1])) n--;
  if (n > 0 && *text == '[') {
    const char *end = memchr(text, ']', n);
    size_t behind = end ? n - (size_t)(end + 1 - text) : 0;
    if (!end || (behind > 0 && (end[1] != ':' || read_count(end + 2, behind - 1, 65535) < 0))) return false;
    return read_number(text + 1, (size_t)(end - text - 1), number, &bits) && bits == 0;
  }
  const char *colon = memchr(text, ':', n);
  if (!colon || memchr(colon + 1, ':', n - (size_t)(colon + 1 - text))) return read_number(text, n, number, &bits);
  size_t size = (size_t)(colon - text);
  if (read_count(colon + 1, n - size - 1, 65535) < 0) return false;
  return read_number(text, size, number, &bits) && bits == MAPPED;
}

/* Go on from the end of a list: false when the search has ended, 'number' being whom it has come to, if to anybody. */
static bool search(const rs_proxies *p, const char *list, struct in6_addr *number, bool *found) {
  for (const char *end = list + strlen(list);;) {
    const char *from = end;
    struct in6_addr entry;
    while (from > list && from[-1] != ',') from--;
    if (!read_entry(from, (size_t)(end - from), &entry)) return false;
    *number = entry;
    *found = true;
    if (!have(p, &entry)) return false;
    if (from == list) return true;
    end = from - 1;
  }
}

static void give(struct sockaddr_storage *client, const struct in6_addr *number) {
  *client = (struct sockaddr_storage){0};
  if (IN6_IS_ADDR_V4MAPPED(number)) {
    client->ss_family = AF_INET;
    memcpy(&((struct sockaddr_in *)(void *)client)->sin_addr, number->s6_addr + 12, 4);
  } else {
    client->ss_family = AF_INET6;
    ((struct sockaddr_in6 *)(void *)client)->sin6_addr = *number;
  }
}

bool rs_proxies_client(const rs_proxies *p, const rs_http_pair *headers, int n, struct sockaddr_storage *client) {
  struct in6_addr number;
  bool found = false, on = true;
  for (int i = n - 1; i >= 0 && on; i--)
    if (!strcmp(headers[i].name, "x-forwarded-for")) on = search(p, headers[i].value, &number, &found);
  if (found) give(client, &number);
  return found;
}
